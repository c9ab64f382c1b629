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

START_TEST(this_kernel_has_them) {
  NetLimitsReader reader;
  const NetLimits limits = reader.read();
  ck_assert(limits.somaxconn && limits.tcp_max_syn_backlog && limits.tcp_syncookies &&
            limits.tcp_abort_on_overflow);
  ck_assert(reader.read_local_ports().has_value());
}
END_TEST

int main() { return run_tests("net_limits", sysctl_numbers, this_kernel_has_them); }
