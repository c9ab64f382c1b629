#include "net_limits.h"
#include "test_program.h"

using namespace backlog;

START_TEST(sysctl_numbers) {
  ck_assert(parse_sysctl_number("4096\n") == 4096);
  ck_assert(parse_sysctl_number("0\n") == 0);
  ck_assert(parse_sysctl_number("-1\n") == -1);
  ck_assert(parse_sysctl_number("2147483647") == 2147483647);
  ck_assert(!parse_sysctl_number(""));
  ck_assert(!parse_sysctl_number("\n"));
  ck_assert(!parse_sysctl_number("none\n"));
}
END_TEST

START_TEST(port_ranges) {
  const auto range = parse_port_range("32768\t60999\n");
  ck_assert(range == (PortRange{32768, 60999}));
  ck_assert(range->contains(32768) && range->contains(60999));
  ck_assert(!range->contains(32767) && !range->contains(61000));
  ck_assert(!parse_port_range("32768\n"));
  ck_assert(!parse_port_range("1\t65536\n"));
  ck_assert(!parse_port_range(""));
}
END_TEST

START_TEST(this_kernel_has_them) {
  NetLimitsReader reader;
  const NetLimits limits = reader.read();
  ck_assert(limits.somaxconn && limits.tcp_max_syn_backlog && limits.tcp_syncookies &&
            limits.tcp_abort_on_overflow);
  ck_assert(reader.read_port_range().has_value());
}
END_TEST

int main() { return run_tests("net_limits", sysctl_numbers, port_ranges, this_kernel_has_them); }
