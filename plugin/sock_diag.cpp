#include "sock_diag.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>

namespace backlog {

namespace {

// netlink_recvmsg() caps the datagrams of a dump at 32 KiB whatever the buffer.
constexpr std::size_t dump_buffer_bytes = 32768;
constexpr timeval answer_timeout{.tv_sec = 1, .tv_usec = 0};
constexpr std::uint32_t listen_only = 1U << TCP_LISTEN;
constexpr std::uint8_t with_memory = 1U << (INET_DIAG_SKMEMINFO - 1);
constexpr std::size_t drops_index = 8; // SK_MEMINFO_DROPS, since Linux 4.7

template <class T> T read_payload(const nlattr *attribute) {
  T value;
  std::memcpy(&value, mnl_attr_get_payload(attribute), sizeof value);
  return value;
}

void take_attribute(const nlattr *attribute, TcpListener &listener) {
  const std::size_t length = mnl_attr_get_payload_len(attribute);
  switch (mnl_attr_get_type(attribute)) {
  case INET_DIAG_SKMEMINFO:
    if (length >= (drops_index + 1) * sizeof(std::uint32_t))
      std::memcpy(&listener.drops.emplace(),
                  static_cast<const std::uint32_t *>(mnl_attr_get_payload(attribute)) + drops_index,
                  sizeof(std::uint32_t));
    break;
  case INET_DIAG_SKV6ONLY:
    if (length >= sizeof(std::uint8_t))
      listener.address.v6only = read_payload<std::uint8_t>(attribute) != 0;
    break;
  case INET_DIAG_CGROUP_ID:
    if (length >= sizeof(std::uint64_t))
      listener.cgroup_id = read_payload<std::uint64_t>(attribute);
    break;
  default:
    break;
  }
}

/// The negative errno that NLMSG_ERROR and NLMSG_DONE begin with, 0 for success.
Failure control_result(const nlmsghdr &message) {
  int result = 0;
  if (mnl_nlmsg_get_payload_len(&message) < sizeof result) {
    if (message.nlmsg_type == NLMSG_DONE)
      return std::nullopt;
    return Error{EBADMSG, "read sock_diag error"};
  }
  std::memcpy(&result, mnl_nlmsg_get_payload(&message), sizeof result);
  if (result >= 0)
    return std::nullopt;
  return Error{-result, "dump sockets by sock_diag"};
}

} // namespace

Result<DumpReader::Progress> DumpReader::take(std::span<const std::byte> datagram,
                                              Sink sink) const {
  const auto *message = reinterpret_cast<const nlmsghdr *>(datagram.data());
  int left = static_cast<int>(datagram.size());
  for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
    if (message->nlmsg_seq != sequence_ || message->nlmsg_pid != port_id_)
      return Error{EPROTO, "match sock_diag answer to request"};
    if ((message->nlmsg_flags & NLM_F_DUMP_INTR) != 0)
      return Error{EINTR, "dump sockets by sock_diag"};
    if (message->nlmsg_type == NLMSG_DONE || message->nlmsg_type == NLMSG_ERROR) {
      if (const Failure failure = control_result(*message))
        return *failure;
      return Progress::done;
    }
    if (message->nlmsg_type >= NLMSG_MIN_TYPE)
      sink(*message);
  }
  if (left != 0)
    return Error{EBADMSG, "read sock_diag message"};
  return Progress::more;
}

Result<TcpListener> parse_tcp_listener(const nlmsghdr &message) {
  if (mnl_nlmsg_get_payload_len(&message) < sizeof(inet_diag_msg))
    return Error{EBADMSG, "read sock_diag message"};
  const auto *entry = static_cast<const inet_diag_msg *>(mnl_nlmsg_get_payload(&message));

  TcpListener listener;
  listener.address.ipv6 = entry->idiag_family == AF_INET6;
  listener.address.port = ntohs(entry->id.idiag_sport);
  listener.address.device = entry->id.idiag_if;
  std::memcpy(listener.address.bytes.data(), entry->id.idiag_src, listener.address.ipv6 ? 16 : 4);
  listener.cookie =
      std::uint64_t{entry->id.idiag_cookie[1]} << 32U | std::uint64_t{entry->id.idiag_cookie[0]};
  listener.inode = entry->idiag_inode;
  listener.queue_length = entry->idiag_rqueue;
  listener.limit = entry->idiag_wqueue;

  const auto *attribute =
      static_cast<const nlattr *>(mnl_nlmsg_get_payload_offset(&message, sizeof(inet_diag_msg)));
  const auto *tail = static_cast<const char *>(mnl_nlmsg_get_payload_tail(&message));
  while (
      mnl_attr_ok(attribute, static_cast<int>(tail - reinterpret_cast<const char *>(attribute)))) {
    take_attribute(attribute, listener);
    attribute = mnl_attr_next(attribute);
  }
  return listener;
}

void SockDiag::Close::operator()(mnl_socket *socket) const { mnl_socket_close(socket); }

SockDiag::SockDiag(mnl_socket *socket) : socket_(socket), buffer_(dump_buffer_bytes) {}

Result<SockDiag> SockDiag::open() {
  mnl_socket *socket = mnl_socket_open2(NETLINK_SOCK_DIAG, SOCK_CLOEXEC);
  if (socket == nullptr)
    return Error{errno, "open sock_diag socket"};
  SockDiag diag(socket);
  if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0)
    return Error{errno, "bind sock_diag socket"};
  if (setsockopt(mnl_socket_get_fd(socket), SOL_SOCKET, SO_RCVTIMEO, &answer_timeout,
                 sizeof answer_timeout) < 0)
    return Error{errno, "set timeout of sock_diag socket"};
  // The first datagram of a dump is made inside sendmsg(), no larger than what was asked for
  // before; one receive with the full buffer tells the kernel the size.
  if (recv(mnl_socket_get_fd(socket), diag.buffer_.data(), diag.buffer_.size(), MSG_DONTWAIT) < 0 &&
      errno != EAGAIN)
    return Error{errno, "receive from sock_diag socket"};
  return diag;
}

Failure SockDiag::dump_tcp_listeners(TcpSink sink) {
  Failure damage;
  const auto each = [&](const nlmsghdr &message) {
    const Result<TcpListener> listener = parse_tcp_listener(message);
    if (listener)
      sink(*listener);
    else
      damage = listener.error();
  };

  if (tcp_request_ == TcpRequest::both_families) {
    const Failure failure = dump_tcp_both_families(each);
    if (!failure)
      return damage;
    if (failure->code != EINVAL && failure->code != EOPNOTSUPP && failure->code != ENOENT)
      return failure;
    tcp_request_ = TcpRequest::each_family;
  }
  if (Failure failure = dump_tcp_family(AF_INET, each))
    return failure;
  const Failure failure = dump_tcp_family(AF_INET6, each);
  // A kernel without IPv6 answers ENOENT where it has just answered for IPv4.
  if (failure && failure->code != ENOENT)
    return failure;
  return damage;
}

Failure SockDiag::dump_tcp_both_families(DumpReader::Sink sink) {
  std::array<char, MNL_NLMSG_HDRLEN + sizeof(inet_diag_req)> request{};
  nlmsghdr *header = mnl_nlmsg_put_header(request.data());
  header->nlmsg_type = TCPDIAG_GETSOCK;
  auto *body =
      static_cast<inet_diag_req *>(mnl_nlmsg_put_extra_header(header, sizeof(inet_diag_req)));
  body->idiag_family = AF_INET; // inet_diag_dump_compat() dumps every family whatever this says
  body->idiag_states = listen_only;
  body->idiag_ext = with_memory;
  return dump(*header, sink);
}

Failure SockDiag::dump_tcp_family(int family, DumpReader::Sink sink) {
  std::array<char, MNL_NLMSG_HDRLEN + sizeof(inet_diag_req_v2)> request{};
  nlmsghdr *header = mnl_nlmsg_put_header(request.data());
  header->nlmsg_type = SOCK_DIAG_BY_FAMILY;
  auto *body =
      static_cast<inet_diag_req_v2 *>(mnl_nlmsg_put_extra_header(header, sizeof(inet_diag_req_v2)));
  body->sdiag_family = static_cast<std::uint8_t>(family);
  body->sdiag_protocol = IPPROTO_TCP;
  body->idiag_states = listen_only;
  body->idiag_ext = with_memory;
  return dump(*header, sink);
}

Failure SockDiag::dump(nlmsghdr &request, DumpReader::Sink sink) {
  request.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request.nlmsg_seq = ++sequence_;
  while (mnl_socket_sendto(socket_.get(), &request, request.nlmsg_len) < 0)
    if (errno != EINTR)
      return Error{errno, "send sock_diag request"};
  return receive(DumpReader(sequence_, mnl_socket_get_portid(socket_.get())), sink);
}

Failure SockDiag::receive(const DumpReader &reader, DumpReader::Sink sink) {
  for (;;) {
    sockaddr_nl sender{};
    iovec part{.iov_base = buffer_.data(), .iov_len = buffer_.size()};
    msghdr envelope{};
    envelope.msg_name = &sender;
    envelope.msg_namelen = sizeof sender;
    envelope.msg_iov = &part;
    envelope.msg_iovlen = 1;
    const ssize_t length = recvmsg(mnl_socket_get_fd(socket_.get()), &envelope, 0);
    if (length < 0 && errno == EINTR)
      continue;
    if (length < 0)
      return Error{errno == EAGAIN ? ETIMEDOUT : errno, "receive sock_diag answer"};
    if (sender.nl_pid != 0) // not the kernel
      continue;
    if ((envelope.msg_flags & MSG_TRUNC) != 0)
      return Error{EMSGSIZE, "receive sock_diag answer"};

    const auto progress =
        reader.take(std::span(buffer_.data(), static_cast<std::size_t>(length)), sink);
    if (!progress)
      return progress.error();
    if (*progress == DumpReader::Progress::done)
      return std::nullopt;
  }
}

} // namespace backlog
