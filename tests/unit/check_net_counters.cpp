#include "net_counters.h"
#include "test_program.h"

#include <string>

using namespace backlog;

START_TEST(columns_are_found_by_name) {
  struct Case {
    const char *text = "";
    std::optional<std::uint64_t> overflows, drops, retransmissions;
  };
  const Case cases[] = {
      {"TcpExt: ListenOverflows ListenDrops\nTcpExt: 3 5\n", 3, 5, {}},
      {"TcpExt: ListenDrops Other ListenOverflows\nTcpExt: 5 9 3\n", 3, 5, {}},
      {"TcpExt: ListenDrops\nTcpExt: 5\n", {}, 5, {}},
      {"IpExt: ListenDrops\nIpExt: 7\nTcpExt: ListenDrops\nTcpExt: 5\n", {}, 5, {}},
      {"Tcp: RetransSegs\nTcp: 8\nTcpExt: ListenDrops\nTcpExt: 5\n", {}, 5, 8},
      {"TcpExt: ListenDrops XListenOverflows\nTcpExt: 18446744073709551615 1\n",
       {},
       UINT64_MAX,
       {}},
      {"TcpExt: ListenDrops ListenOverflows\nTcpExt: 5\n", {}, 5, {}},
      {"TcpExt: ListenOverflows ListenDrops\nTcpExt: x -1\n", {}, {}, {}},
      {"TcpExt: ListenDrops\nTcp: 5\n", {}, {}, {}},
      {"TcpExt: ListenDrops\n", {}, {}, {}},
      {"TcpExt:\nTcpExt:\n", {}, {}, {}},
      {"", {}, {}, {}},
      {"nonsense", {}, {}, {}},
      {"TcpExt: ListenDrops\nTcpExt: 5", {}, 5, {}},
  };
  for (const Case &c : cases) {
    NetCounters counters;
    parse_net_counters(c.text, counters);
    ck_assert_msg(counters[Counter::ListenOverflows] == c.overflows, "%s", c.text);
    ck_assert_msg(counters[Counter::ListenDrops] == c.drops, "%s", c.text);
    ck_assert_msg(counters[Counter::RetransSegs] == c.retransmissions, "%s", c.text);
  }
}
END_TEST

START_TEST(every_counter_has_its_own_name) {
  std::string names = "TcpExt:";
  std::string values = "TcpExt:";
  std::string tcp_names = "Tcp:";
  std::string tcp_values = "Tcp:";
  for (std::size_t i = 0; i < layout::counter_names.size(); ++i) {
    const std::string name(layout::counter_names[i]);
    ck_assert(!name.empty());
    const bool tcp = name == "RetransSegs" || name == "PassiveOpens" || name == "AttemptFails";
    (tcp ? tcp_names : names) += " " + name;
    (tcp ? tcp_values : values) += " " + std::to_string(100 + i);
  }
  NetCounters counters;
  parse_net_counters(names + "\n" + values + "\n" + tcp_names + "\n" + tcp_values + "\n", counters);
  for (std::size_t i = 0; i < layout::counter_names.size(); ++i)
    ck_assert(counters.values[i] == 100 + i);
}
END_TEST

START_TEST(this_kernel_has_them) {
  NetCountersReader reader;
  const auto counters = reader.read();
  ck_assert(counters);
  for (std::size_t i = 0; i < layout::counter_names.size(); ++i)
    ck_assert_msg((*counters).values[i].has_value(), "%s",
                  std::string(layout::counter_names[i]).c_str());
}
END_TEST

int main() {
  return run_tests("net_counters", columns_are_found_by_name, every_counter_has_its_own_name,
                   this_kernel_has_them);
}
