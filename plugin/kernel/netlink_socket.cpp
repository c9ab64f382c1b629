#include "netlink_socket.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <libmnl/libmnl.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <sys/time.h>

namespace backlog {

namespace {

// netlink_recvmsg() limits the datagrams of a dump to 32 KiB, whatever the buffer.
constexpr std::size_t buffer_bytes = 32768;
constexpr timeval answer_timeout{.tv_sec = 1, .tv_usec = 0};
constexpr int highest_errno = 4095; // MAX_ERRNO in include/linux/err.h

/// Reads the error at the start of NLMSG_ERROR and NLMSG_DONE, a negative errno or 0 for success.
Failure control_result(const nlmsghdr &message) {
  int result = 0;
  if (mnl_nlmsg_get_payload_len(&message) < sizeof result) {
    if (message.nlmsg_type == NLMSG_DONE)
      return std::nullopt;
    return Error{EBADMSG, "read netlink error"};
  }
  std::memcpy(&result, mnl_nlmsg_get_payload(&message), sizeof result);
  if (result >= 0)
    return std::nullopt;
  if (result < -highest_errno)
    return Error{EBADMSG, "read netlink error"};
  return Error{-result, "dump by netlink"};
}

} // namespace

Result<DumpReader::Progress> DumpReader::take(std::span<const std::byte> datagram,
                                              Sink sink) const {
  // Not mnl_nlmsg_ok(), which treats a length of 2^31 and more as negative and accepts it.
  while (!datagram.empty()) {
    const auto *message = reinterpret_cast<const nlmsghdr *>(datagram.data());
    if (datagram.size() < sizeof *message || message->nlmsg_len < sizeof *message ||
        message->nlmsg_len > datagram.size())
      return Error{EBADMSG, "read netlink message"};
    if (message->nlmsg_seq != sequence_ || message->nlmsg_pid != port_id_)
      return Error{EPROTO, "match netlink answer to request"};
    if ((message->nlmsg_flags & NLM_F_DUMP_INTR) != 0)
      return Error{EINTR, "dump by netlink"};
    if (message->nlmsg_type == NLMSG_DONE || message->nlmsg_type == NLMSG_ERROR) {
      if (const Failure failure = control_result(*message))
        return *failure;
      return Progress::done;
    }
    if (message->nlmsg_type >= NLMSG_MIN_TYPE)
      sink(*message);
    datagram = datagram.subspan(
        std::min(datagram.size(), std::size_t{NLMSG_ALIGN(std::size_t{message->nlmsg_len})}));
  }
  return Progress::more;
}

void NetlinkSocket::Close::operator()(mnl_socket *socket) const { mnl_socket_close(socket); }

NetlinkSocket::NetlinkSocket(mnl_socket *socket, const Protocol &protocol, Buffer buffer)
    : socket_(socket), protocol_(protocol.name), buffer_(std::move(buffer)) {
  buffer_.resize(buffer_bytes);
}

Error NetlinkSocket::error(int code, const char *verb, const char *object) const {
  return {code, std::string(verb) + " " + protocol_ + " " + object};
}

Result<NetlinkSocket> NetlinkSocket::open(const Protocol &protocol, Buffer buffer) {
  mnl_socket *socket = mnl_socket_open2(protocol.number, SOCK_CLOEXEC);
  if (socket == nullptr)
    return Error{errno, std::string("open ") + protocol.name + " socket"};
  NetlinkSocket netlink(socket, protocol, std::move(buffer));
  if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0)
    return netlink.error(errno, "bind", "socket");
  if (setsockopt(mnl_socket_get_fd(socket), SOL_SOCKET, SO_RCVTIMEO, &answer_timeout,
                 sizeof answer_timeout) < 0)
    return netlink.error(errno, "set timeout of", "socket");
  // The kernel makes the first datagram of a dump inside sendmsg(), no larger than the previous
  // receive asked for. One receive with the full buffer tells it the size.
  if (recv(mnl_socket_get_fd(socket), netlink.buffer_.data(), netlink.buffer_.size(),
           MSG_DONTWAIT) < 0 &&
      errno != EAGAIN)
    return netlink.error(errno, "receive from", "socket");
  return netlink;
}

Failure NetlinkSocket::send(nlmsghdr &request, std::uint16_t flags) {
  request.nlmsg_flags = NLM_F_REQUEST | flags;
  request.nlmsg_seq = ++sequence_;
  while (mnl_socket_sendto(socket_.get(), &request, request.nlmsg_len) < 0)
    if (errno != EINTR)
      return error(errno, "send", "request");
  return std::nullopt;
}

Result<DumpReader::Progress> NetlinkSocket::receive(DumpReader::Sink sink) {
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
      return error(errno == EAGAIN ? ETIMEDOUT : errno, "receive", "answer");
    if (sender.nl_pid != 0) // sent by a process, not by the kernel
      continue;
    if ((envelope.msg_flags & MSG_TRUNC) != 0)
      return error(EMSGSIZE, "receive", "answer");
    const DumpReader reader(sequence_, mnl_socket_get_portid(socket_.get()));
    return reader.take(std::span(buffer_.data(), static_cast<std::size_t>(length)), sink);
  }
}

Failure NetlinkSocket::dump(nlmsghdr &request, DumpReader::Sink sink) {
  if (Failure failure = send(request, NLM_F_DUMP))
    return failure;
  for (;;) {
    const auto progress = receive(sink);
    if (!progress)
      return progress.error();
    if (*progress == DumpReader::Progress::done)
      return std::nullopt;
  }
}

} // namespace backlog
