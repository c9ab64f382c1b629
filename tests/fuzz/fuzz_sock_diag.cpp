// Any bytes as a datagram of sock_diag: refused, or read by each of the readers of entries within
// its bounds. The first byte tells whether its messages answer the request, so that most do.

#include "fuzz_input.h"
#include "local_addresses.h"
#include "sock_diag.h"

#include <cerrno>
#include <cstddef>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/unix_diag.h>
#include <vector>

using namespace backlog;

namespace {

constexpr std::uint32_t sequence = 7; // as in tests/fixtures/sock_diag
constexpr std::uint32_t port_id = 4242;

/// Makes each message an answer to the request, as far as the lengths lead.
void make_answers(std::vector<std::byte> &datagram) {
  for (std::size_t at = 0; datagram.size() - at >= sizeof(nlmsghdr);) {
    auto *message = reinterpret_cast<nlmsghdr *>(datagram.data() + at);
    message->nlmsg_seq = sequence;
    message->nlmsg_pid = port_id;
    if (message->nlmsg_len < sizeof(nlmsghdr) || message->nlmsg_len > datagram.size() - at)
      return;
    at += std::min<std::size_t>(NLMSG_ALIGN(std::size_t{message->nlmsg_len}), datagram.size() - at);
  }
}

bool is_tcp_address(const TcpAddress &address) {
  return address.ipv6 || std::all_of(address.bytes.begin() + 4, address.bytes.end(),
                                     [](std::uint8_t byte) { return byte == 0; });
}

void read_entry(const nlmsghdr &message) {
  const std::size_t length = mnl_nlmsg_get_payload_len(&message);
  const char *begin = reinterpret_cast<const char *>(&message);

  const auto tcp = parse_tcp_listener(message);
  require(static_cast<bool>(tcp) == (length >= sizeof(inet_diag_msg)));
  require(!tcp || is_tcp_address(tcp->address));

  const auto half_open = parse_half_open(message);
  require(static_cast<bool>(half_open) == static_cast<bool>(tcp));
  require(!half_open || !*half_open || is_tcp_address((*half_open)->local));

  const auto waiting = parse_waiting(message);
  require(tcp || !waiting);
  require(!waiting || !*waiting || (tcp->inode == 0 && (*waiting)->cookie == tcp->cookie));

  const auto end = parse_tcp_end(message, TcpAddress{}, TcpAddress{});
  require(static_cast<bool>(end) == static_cast<bool>(tcp));
  require(!end || !*end || **end == tcp->inode);

  const auto local = parse_local_address(message);
  require(!local || (is_tcp_address(*local) && local->port == 0));

  const auto unix_listener = parse_unix_listener(message);
  require(length >= sizeof(unix_diag_msg) || !unix_listener);
  if (unix_listener && !unix_listener->address.empty()) {
    const std::string_view address = unix_listener->address;
    require(address.data() >= begin &&
            address.data() + address.size() <= begin + message.nlmsg_len);
    require(address.front() == '\0' || address.find('\0') == std::string_view::npos);
  }

  const auto peers = parse_unix_peers(message);
  require(!peers || peers->size() * sizeof(std::uint32_t) <= length);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
  FuzzInput input(data, size);
  const bool answers = (input.byte() & 1) == 0;
  const std::string_view rest = input.rest();
  // An allocation of just that size: who reads beyond it is caught.
  std::vector<std::byte> datagram(rest.size());
  std::copy_n(reinterpret_cast<const std::byte *>(rest.data()), rest.size(), datagram.begin());
  if (answers)
    make_answers(datagram);
  const auto progress = DumpReader(sequence, port_id).take(datagram, [](const nlmsghdr &message) {
    read_entry(message);
  });
  require(progress || (progress.error().code > 0 && progress.error().code <= 4095));
  require(progress || !answers || progress.error().code != EPROTO);
  return 0;
}
