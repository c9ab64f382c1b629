#include "syn_queue_lengths.h"
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
  std::vector<Address> listeners{};
  std::vector<Address> half_open{};
  std::vector<std::uint64_t> lengths{}; ///< by address, in the order of the listeners
};

const Case cases[] = {
    {.name = "exact before wildcard",
     .listeners = {{"0.0.0.0"}, {"127.0.0.1"}},
     .half_open = {{"127.0.0.1"}, {"127.0.0.1"}, {"127.0.0.2"}},
     .lengths = {1, 2}},
    {.name = "exact before wildcard, IPv6",
     .listeners = {{"::"}, {"2001:db8::1"}},
     .half_open = {{"2001:db8::1"}, {"2001:db8::2"}, {"2001:db8::3"}},
     .lengths = {2, 1}},
    {.name = "another port",
     .listeners = {{"0.0.0.0", 80}, {"0.0.0.0", 81}},
     .half_open = {{"127.0.0.1", 81}},
     .lengths = {0, 1}},
    {.name = "families are apart",
     .listeners = {{"0.0.0.0"}, {"::"}},
     .half_open = {{"127.0.0.1"}, {"::1"}, {"::1"}},
     .lengths = {1, 2}},
    {.name = "bytes alike, families apart",
     .listeners = {{"127.0.0.1"}, {"7f00:1::"}},
     .half_open = {{"7f00:1::"}},
     .lengths = {0, 1}},
    {.name = "bound device before any device, whatever the order of the dump",
     .listeners = {{"0.0.0.0"},
                   {.text = "0.0.0.0", .port = 80, .device = eth0},
                   {.text = "0.0.0.0", .port = 80, .device = eth1}},
     .half_open = {{.text = "10.0.0.1", .port = 80, .device = eth0},
                   {.text = "10.0.0.1", .port = 80, .device = eth0},
                   {.text = "10.0.0.1", .port = 80, .device = eth1},
                   {"10.0.0.1"}},
     .lengths = {1, 2, 1}},
    {.name = "another device",
     .listeners = {{.text = "0.0.0.0", .port = 80, .device = eth0}},
     .half_open = {{.text = "10.0.0.1", .port = 80, .device = eth1}, {"10.0.0.1"}},
     .lengths = {0}},
    {.name = "an address counts for more than a device",
     .listeners = {{.text = "0.0.0.0", .port = 80, .device = eth0}, {"10.0.0.1"}},
     .half_open = {{.text = "10.0.0.1", .port = 80, .device = eth0},
                   {.text = "10.0.0.2", .port = 80, .device = eth0}},
     .lengths = {1, 1}},
    // Link-local connections are told with their interface, whatever the listener is bound to.
    {.name = "link-local client of an unbound wildcard",
     .listeners = {{"::"}},
     .half_open = {{.text = "fe80::1", .port = 80, .device = eth0}},
     .lengths = {1}},
    {.name = "link-local client of a listener bound to the address",
     .listeners = {{"::"}, {.text = "fe80::1", .port = 80, .device = eth0}},
     .half_open = {{.text = "fe80::1", .port = 80, .device = eth0},
                   {.text = "fe80::1", .port = 80, .device = eth1}},
     .lengths = {1, 1}},
    {.name = "IPv4 clients of a dual-stack listener",
     .listeners = {{"::"}},
     .half_open = {{"::ffff:127.0.0.1"}, {"::ffff:10.0.0.1"}, {"::1"}},
     .lengths = {3}},
    {.name = "IPv4 clients of dual stack beside an IPv4 listener on one address",
     .listeners = {{"::"}, {"127.0.0.1"}},
     .half_open = {{"::ffff:10.0.0.1"}, {"127.0.0.1"}},
     .lengths = {1, 1}},
    {.name = "listener on a mapped address",
     .listeners = {{"::"}, {"::ffff:127.0.0.1"}},
     .half_open = {{"::ffff:127.0.0.1"}, {"::ffff:127.0.0.2"}},
     .lengths = {1, 1}},
    {.name = "IPv4 clients are none of a v6only listener",
     .listeners = {{"::", 80, 0, true}, {"::"}},
     .half_open = {{"::1"}, {"::ffff:127.0.0.1"}},
     .lengths = {1, 1}},
    {.name = "IPv6 clients are the first one's of v6only and dual stack",
     .listeners = {{"::"}, {"::", 80, 0, true}, {"::"}},
     .half_open = {{"::1"}, {"::ffff:127.0.0.1"}},
     .lengths = {2, 0}},
    {.name = "IPv4 clients of a dual-stack wildcard beside v6only on a device",
     .listeners = {{.text = "::", .port = 80, .device = eth0, .v6only = true}, {"::"}},
     .half_open = {{.text = "::1", .port = 80, .device = eth0},
                   {.text = "::ffff:127.0.0.1", .port = 80, .device = eth0}},
     .lengths = {1, 1}},
    {.name = "no listener for IPv4 clients",
     .listeners = {{"::", 80, 0, true}},
     .half_open = {{"::ffff:127.0.0.1"}},
     .lengths = {0}},
    {.name = "v6only beside IPv4",
     .listeners = {{"::", 80, 0, true}, {"0.0.0.0"}},
     .half_open = {{"::1"}, {"127.0.0.1"}},
     .lengths = {1, 1}},
    {.name = "the members of a SO_REUSEPORT group are counted once",
     .listeners = {{"0.0.0.0"}, {"0.0.0.0"}, {"0.0.0.0"}},
     .half_open = {{"127.0.0.1"}, {"127.0.0.1"}},
     .lengths = {2}},
    {.name = "no listener",
     .listeners = {{"127.0.0.1"}},
     .half_open = {{"127.0.0.2"}, {"127.0.0.1", 81}, {"::1"}},
     .lengths = {0}},
    {.name = "no listeners at all", .half_open = {{"127.0.0.1"}}},
    {.name = "nothing half-open", .listeners = {{"0.0.0.0"}}, .lengths = {0}},
};

} // namespace

START_TEST(half_open_connections_find_their_listener) {
  for (const Case &c : cases) {
    SynQueueCounter count;
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

int main() { return run_tests("syn_queue_lengths", half_open_connections_find_their_listener); }
