#include "local_addresses.h"

#include "sock_diag.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <memory>
#include <span>
#include <sys/socket.h>
#include <sys/time.h>

namespace backlog {

namespace {

constexpr std::size_t buffer_bytes = 32768;
constexpr timeval answer_timeout{.tv_sec = 1, .tv_usec = 0};
constexpr std::uint32_t sequence = 1;

struct Close {
  void operator()(mnl_socket *socket) const { mnl_socket_close(socket); }
};

} // namespace

std::optional<TcpAddress> parse_local_address(const nlmsghdr &message) {
  constexpr std::size_t head = MNL_NLMSG_HDRLEN + MNL_ALIGN(sizeof(ifaddrmsg));
  if (message.nlmsg_type != RTM_NEWADDR || message.nlmsg_len < head)
    return std::nullopt;
  const auto *entry = static_cast<const ifaddrmsg *>(mnl_nlmsg_get_payload(&message));
  if (entry->ifa_family != AF_INET && entry->ifa_family != AF_INET6)
    return std::nullopt;
  TcpAddress address;
  address.ipv6 = entry->ifa_family == AF_INET6;
  const std::size_t length = address.ipv6 ? address.bytes.size() : sizeof(std::uint32_t);
  bool has_local = false;
  bool has_any = false;
  std::span<const std::byte> rest(reinterpret_cast<const std::byte *>(&message) + head,
                                  message.nlmsg_len - head);
  while (rest.size() >= sizeof(nlattr)) {
    nlattr attribute{};
    std::memcpy(&attribute, rest.data(), sizeof attribute);
    if (attribute.nla_len < sizeof attribute || attribute.nla_len > rest.size())
      return std::nullopt;
    // Of a point-to-point link IFA_ADDRESS is the other end.
    const bool is_local = attribute.nla_type == IFA_LOCAL;
    if ((is_local || (attribute.nla_type == IFA_ADDRESS && !has_local)) &&
        attribute.nla_len == MNL_ATTR_HDRLEN + length) {
      std::memcpy(address.bytes.data(), rest.data() + MNL_ATTR_HDRLEN, length);
      has_any = true;
      has_local = has_local || is_local;
    }
    rest = rest.subspan(std::min(rest.size(), MNL_ALIGN(std::size_t{attribute.nla_len})));
  }
  return has_any ? std::optional(address) : std::nullopt;
}

Failure read_local_addresses(FunctionRef<void(const TcpAddress &)> sink,
                             std::vector<std::byte> &buffer) {
  const std::unique_ptr<mnl_socket, Close> socket(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC));
  if (!socket || mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0)
    return Error{errno, "open rtnetlink socket"};
  const int descriptor = mnl_socket_get_fd(socket.get());
  if (setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &answer_timeout, sizeof answer_timeout) < 0)
    return Error{errno, "set timeout of rtnetlink socket"};

  alignas(nlmsghdr) std::array<char, MNL_NLMSG_HDRLEN + MNL_ALIGN(sizeof(ifaddrmsg))>
      request_bytes{};
  nlmsghdr *request = mnl_nlmsg_put_header(request_bytes.data());
  mnl_nlmsg_put_extra_header(request, sizeof(ifaddrmsg)); // zeroed: AF_UNSPEC, both families
  request->nlmsg_type = RTM_GETADDR;
  request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request->nlmsg_seq = sequence;
  while (mnl_socket_sendto(socket.get(), request, request->nlmsg_len) < 0)
    if (errno != EINTR)
      return Error{errno, "send rtnetlink request"};

  buffer.resize(buffer_bytes);
  const DumpReader reader(sequence, mnl_socket_get_portid(socket.get()));
  const auto pass = [&](const nlmsghdr &message) {
    if (const auto address = parse_local_address(message))
      sink(*address);
  };
  for (;;) {
    const ssize_t length = mnl_socket_recvfrom(socket.get(), buffer.data(), buffer.size());
    if (length < 0 && errno == EINTR)
      continue;
    if (length < 0)
      return Error{errno == EAGAIN ? ETIMEDOUT : errno, "receive rtnetlink answer"};
    const auto progress =
        reader.take(std::span(buffer.data(), static_cast<std::size_t>(length)), pass);
    if (!progress)
      return progress.error();
    if (*progress == DumpReader::Progress::done)
      return std::nullopt;
  }
}

} // namespace backlog
