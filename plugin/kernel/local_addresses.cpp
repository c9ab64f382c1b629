#include "local_addresses.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <span>
#include <sys/socket.h>
#include <utility>

namespace backlog {

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
                             NetlinkSocket::Buffer &buffer) {
  auto socket =
      NetlinkSocket::open({.number = NETLINK_ROUTE, .name = "rtnetlink"}, std::move(buffer));
  if (!socket)
    return socket.error();
  alignas(nlmsghdr) std::array<char, MNL_NLMSG_HDRLEN + MNL_ALIGN(sizeof(ifaddrmsg))>
      request_bytes{};
  nlmsghdr *request = mnl_nlmsg_put_header(request_bytes.data());
  mnl_nlmsg_put_extra_header(request, sizeof(ifaddrmsg)); // zeroed: AF_UNSPEC, both families
  request->nlmsg_type = RTM_GETADDR;
  const auto pass = [&](const nlmsghdr &message) {
    if (const auto address = parse_local_address(message))
      sink(*address);
  };
  Failure failure = socket->dump(*request, pass);
  buffer = socket->take_buffer();
  return failure;
}

} // namespace backlog
