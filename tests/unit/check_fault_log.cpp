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
  ck_assert_uint_eq(lines.size(), 1);
  ck_assert(lines[0].begins);
  ck_assert(log.update({{"kernel counters", "gone"}}).empty());
  lines = log.update({{"kernel counters", "gone"}});
  ck_assert_uint_eq(lines.size(), 1);
  ck_assert(!lines[0].begins);
  assert_text(lines[0].text, "TCP listeners can be read again");
}
END_TEST

START_TEST(what_comes_and_goes_is_said_once) {
  FaultLog log;
  ck_assert_uint_eq(log.update({{"table file", "no space"}}).size(), 1);
  for (int i = 0; i < 10; ++i) {
    ck_assert(log.update({}).empty());
    ck_assert(log.update({}).empty());
    ck_assert(log.update({{"table file", "no space"}}).empty());
  }
  for (int i = 1; i < FaultSpell::calm; ++i)
    ck_assert(log.update({}).empty());
  ck_assert_uint_eq(log.update({}).size(), 1);
  ck_assert(log.update({}).empty());
  ck_assert_uint_eq(log.update({{"table file", "no space"}}).size(), 1);
}
END_TEST

START_TEST(what_ends_with_its_net_namespace_is_no_good_news) {
  FaultLog log;
  const std::string blue = of_net_namespace("blue");
  log.update({{"TCP listeners" + blue, "reason"},
              {"SYN queues" + blue + " in every interval", "reason"},
              {"TCP listeners" + of_net_namespace("blue2"), "reason"},
              {"TCP listeners", "reason"}});
  log.forget("blue");
  std::string texts;
  for (int i = 0; i < FaultSpell::calm; ++i)
    for (const FaultLog::Line &line : log.update({}))
      texts += line.text + "\n";
  assert_text(texts, "TCP listeners can be read again\n"
                     "TCP listeners of net namespace blue2 can be read again\n");
}
END_TEST

int main() {
  return run_tests("fault_log", one_line_when_it_begins_and_one_when_it_ends,
                   what_comes_and_goes_is_said_once,
                   what_ends_with_its_net_namespace_is_no_good_news);
}
