#include "fault_log.h"
#include "test_program.h"

using namespace backlog;

START_TEST(one_line_when_it_begins_and_one_when_it_ends) {
  FaultLog log;
  ck_assert(log.update({}).empty());
  auto lines = log.update({{"TCP listeners", "no tcp_diag"}, {"TCP listeners", "again"}});
  ck_assert_uint_eq(lines.size(), 1);
  ck_assert(lines[0].begins);
  assert_text(lines[0].text, "no TCP listeners: no tcp_diag");
  ck_assert(log.update({{"TCP listeners", "another reason"}}).empty());
  lines = log.update({{"kernel counters", "gone"}});
  ck_assert_uint_eq(lines.size(), 2);
  ck_assert(lines[0].begins && !lines[1].begins);
  assert_text(lines[1].text, "TCP listeners can be read again");
}
END_TEST

int main() { return run_tests("fault_log", one_line_when_it_begins_and_one_when_it_ends); }
