#include "local_ports.h"
#include "test_program.h"

using namespace backlog;
using namespace std::chrono_literals;

START_TEST(port_ranges) {
  const auto range = parse_port_range("32768\t60999\n");
  ck_assert(range == (PortRange{32768, 60999}));
  ck_assert(range->contains(32768) && range->contains(60999));
  ck_assert(!range->contains(32767) && !range->contains(61000));
  for (const char *text : {"32768\n", "1\t65536\n", "", "\n", "a b"})
    ck_assert(!parse_port_range(text));
}
END_TEST

START_TEST(reserved_ports) {
  using Ranges = std::vector<PortRange>;
  ck_assert(parse_reserved_ports("\n") == Ranges());
  ck_assert(parse_reserved_ports("") == Ranges());
  ck_assert(parse_reserved_ports("3306\n") == (Ranges{{3306, 3306}}));
  ck_assert(parse_reserved_ports("3306,6379,9000-9010\n") ==
            (Ranges{{3306, 3306}, {6379, 6379}, {9000, 9010}}));
  for (const char *text : {"x\n", "1-\n", "-1\n", "1,x\n", "65536\n", "1 2\n", "1-2-3\n"})
    ck_assert_msg(!parse_reserved_ports(text), "%s", text);
}
END_TEST

START_TEST(ports_that_the_kernel_gives_out) {
  const LocalPorts ports{{1024, 65535}, {{3306, 3306}, {9000, 9010}}};
  for (const std::uint16_t port : {1024, 3305, 3307, 8999, 9011, 65535})
    ck_assert_msg(ports.gives_out(port), "%d", port);
  for (const std::uint16_t port : {0, 80, 1023, 3306, 9000, 9005, 9010})
    ck_assert_msg(!ports.gives_out(port), "%d", port);
}
END_TEST

START_TEST(which_names_are_unstable) {
  struct Case {
    std::chrono::nanoseconds listening_for{0};
    bool has_id = false;
    bool port_is_given_out = false;
    bool unstable = false;
  };
  constexpr Case cases[] = {
      {.listening_for = 0s, .has_id = false, .port_is_given_out = false, .unstable = false},
      {.listening_for = 0s, .has_id = false, .port_is_given_out = true, .unstable = true},
      {.listening_for = 9min + 59s, .has_id = false, .port_is_given_out = true, .unstable = true},
      {.listening_for = 10min, .has_id = false, .port_is_given_out = true, .unstable = false},
      {.listening_for = std::chrono::nanoseconds::max(),
       .has_id = false,
       .port_is_given_out = true,
       .unstable = false},
      {.listening_for = 0s, .has_id = true, .port_is_given_out = false, .unstable = true},
      {.listening_for = 240h,
       .has_id = true,
       .port_is_given_out = false,
       .unstable = true}, // the next start has another one, however long this one lasts
      {.listening_for = 240h, .has_id = true, .port_is_given_out = true, .unstable = true},
  };
  for (const Case &c : cases)
    ck_assert(is_unstable(c.has_id, c.port_is_given_out, c.listening_for) == c.unstable);
}
END_TEST

int main() {
  return run_tests("local_ports", port_ranges, reserved_ports, ports_that_the_kernel_gives_out,
                   which_names_are_unstable);
}
