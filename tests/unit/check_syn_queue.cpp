#include "syn_queue.h"
#include "test_program.h"

#include <arpa/inet.h>
#include <string>
#include <vector>

using namespace backlog;

namespace {

constexpr std::uint32_t eth0 = 2, eth1 = 3;

/// An address as the field writes it: IPv6 where it has a colon.
struct Address {
  const char *text;
  std::uint16_t port = 80;
  std::uint32_t device = 0;
  bool v6only = false;
};

TcpAddress parsed(const Address &address) {
  TcpAddress result;
  result.ipv6 = std::string(address.text).find(':') != std::string::npos;
  result.port = address.port;
  result.device = address.device;
  result.v6only = address.v6only;
  ck_assert_int_eq(inet_pton(result.ipv6 ? AF_INET6 : AF_INET, address.text, result.bytes.data()),
                   1);
  return result;
}

struct Case {
  const char *name;
  std::vector<Address> listeners;
  std::vector<Address> half_open;
  std::vector<std::uint64_t> lengths; ///< by address, in the order of the listeners
};

const Case cases[] = {
    {"exact before wildcard",
     {{"0.0.0.0"}, {"127.0.0.1"}},
     {{"127.0.0.1"}, {"127.0.0.1"}, {"127.0.0.2"}},
     {1, 2}},
    {"exact before wildcard, IPv6",
     {{"::"}, {"2001:db8::1"}},
     {{"2001:db8::1"}, {"2001:db8::2"}, {"2001:db8::3"}},
     {2, 1}},
    {"another port", {{"0.0.0.0", 80}, {"0.0.0.0", 81}}, {{"127.0.0.1", 81}}, {0, 1}},
    {"families are apart", {{"0.0.0.0"}, {"::"}}, {{"127.0.0.1"}, {"::1"}, {"::1"}}, {1, 2}},
    {"bytes alike, families apart", {{"127.0.0.1"}, {"7f00:1::"}}, {{"7f00:1::"}}, {0, 1}},
    {"bound device before any device, whatever the order of the dump",
     {{"0.0.0.0"}, {"0.0.0.0", 80, eth0}, {"0.0.0.0", 80, eth1}},
     {{"10.0.0.1", 80, eth0}, {"10.0.0.1", 80, eth0}, {"10.0.0.1", 80, eth1}, {"10.0.0.1"}},
     {1, 2, 1}},
    {"another device", {{"0.0.0.0", 80, eth0}}, {{"10.0.0.1", 80, eth1}, {"10.0.0.1"}}, {0}},
    {"an address counts for more than a device",
     {{"0.0.0.0", 80, eth0}, {"10.0.0.1"}},
     {{"10.0.0.1", 80, eth0}, {"10.0.0.2", 80, eth0}},
     {1, 1}},
    // Link-local connections are told with their interface, whatever the listener is bound to.
    {"link-local client of an unbound wildcard", {{"::"}}, {{"fe80::1", 80, eth0}}, {1}},
    {"link-local client of a listener bound to the address",
     {{"::"}, {"fe80::1", 80, eth0}},
     {{"fe80::1", 80, eth0}, {"fe80::1", 80, eth1}},
     {1, 1}},
    {"IPv4 clients of a dual-stack listener",
     {{"::"}},
     {{"::ffff:127.0.0.1"}, {"::ffff:10.0.0.1"}, {"::1"}},
     {3}},
    {"IPv4 clients of dual stack beside an IPv4 listener on one address",
     {{"::"}, {"127.0.0.1"}},
     {{"::ffff:10.0.0.1"}, {"127.0.0.1"}},
     {1, 1}},
    {"listener on a mapped address",
     {{"::"}, {"::ffff:127.0.0.1"}},
     {{"::ffff:127.0.0.1"}, {"::ffff:127.0.0.2"}},
     {1, 1}},
    {"IPv4 clients are none of a v6only listener",
     {{"::", 80, 0, true}, {"::"}},
     {{"::1"}, {"::ffff:127.0.0.1"}},
     {1, 1}},
    {"IPv6 clients are the first one's of v6only and dual stack",
     {{"::"}, {"::", 80, 0, true}, {"::"}},
     {{"::1"}, {"::ffff:127.0.0.1"}},
     {2, 0}},
    {"IPv4 clients of a dual-stack wildcard beside v6only on a device",
     {{"::", 80, eth0, true}, {"::"}},
     {{"::1", 80, eth0}, {"::ffff:127.0.0.1", 80, eth0}},
     {1, 1}},
    {"no listener for IPv4 clients", {{"::", 80, 0, true}}, {{"::ffff:127.0.0.1"}}, {0}},
    {"v6only beside IPv4", {{"::", 80, 0, true}, {"0.0.0.0"}}, {{"::1"}, {"127.0.0.1"}}, {1, 1}},
    {"the members of a SO_REUSEPORT group are counted once",
     {{"0.0.0.0"}, {"0.0.0.0"}, {"0.0.0.0"}},
     {{"127.0.0.1"}, {"127.0.0.1"}},
     {2}},
    {"no listener", {{"127.0.0.1"}}, {{"127.0.0.2"}, {"127.0.0.1", 81}, {"::1"}}, {0}},
    {"no listeners at all", {}, {{"127.0.0.1"}}, {}},
    {"nothing half-open", {{"0.0.0.0"}}, {}, {0}},
};

} // namespace

START_TEST(half_open_connections_find_their_listener) {
  for (const Case &c : cases) {
    SynQueueCount count;
    for (const Address &listener : c.listeners)
      count.add_listener(parsed(listener));
    for (const Address &connection : c.half_open)
      count.add_half_open(parsed(connection));
    ck_assert_msg(count.total() == c.half_open.size(), "%s: total", c.name);
    ck_assert_msg(count.queues().size() == c.lengths.size(), "%s: %zu queues", c.name,
                  count.queues().size());
    for (std::size_t i = 0; i < c.lengths.size(); ++i) {
      ck_assert_msg(count.queues()[i].listener == parsed(c.listeners[i]), "%s: queue %zu", c.name,
                    i);
      ck_assert_msg(count.queues()[i].length == c.lengths[i], "%s: queue %zu has %zu", c.name, i,
                    static_cast<std::size_t>(count.queues()[i].length));
    }
  }
}
END_TEST

int main() { return run_tests("syn_queue", half_open_connections_find_their_listener); }
