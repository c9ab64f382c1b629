#include "fault_log.h"
#include "short_memory.h"
#include "test_program.h"

using namespace backlog;

namespace {

/// A log, and what it says.
struct Log {
  FaultLog faults;

  std::vector<LogLine> update(const std::vector<Fault> &current) {
    std::vector<LogLine> lines;
    faults.update(current, lines);
    return lines;
  }
};

} // namespace

START_TEST(one_line_when_it_begins_and_one_when_it_ends) {
  Log log;
  ck_assert(log.update({}).empty());
  auto lines = log.update({{"TCP listeners", "no tcp_diag"}, {"TCP listeners", "again"}});
  ck_assert_uint_eq(lines.size(), 1);
  ck_assert(lines[0].level == LogLine::Level::warning);
  assert_text(lines[0].text, "no TCP listeners: no tcp_diag");
  ck_assert(log.update({{"TCP listeners", "another reason"}}).empty());
  lines = log.update({{"kernel counters", "gone"}});
  ck_assert_uint_eq(lines.size(), 1);
  ck_assert(lines[0].level == LogLine::Level::warning);
  ck_assert(log.update({{"kernel counters", "gone"}}).empty());
  lines = log.update({{"kernel counters", "gone"}});
  ck_assert_uint_eq(lines.size(), 1);
  ck_assert(lines[0].level == LogLine::Level::notice);
  assert_text(lines[0].text, "TCP listeners can be read again");
}
END_TEST

START_TEST(what_comes_and_goes_is_said_once) {
  Log log;
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
  Log log;
  const std::string blue = of_net_namespace("blue");
  log.update({{"TCP listeners" + blue, "reason"},
              {"SYN queues" + blue + " in every interval", "reason"},
              {"TCP listeners" + of_net_namespace("blue2"), "reason"},
              {"TCP listeners", "reason"}});
  log.faults.forget("blue");
  std::string texts;
  for (int i = 0; i < FaultSpell::calm; ++i)
    for (const LogLine &line : log.update({}))
      texts += line.text + "\n";
  assert_text(texts, "TCP listeners can be read again\n"
                     "TCP listeners of net namespace blue2 can be read again\n");
}
END_TEST

START_TEST(each_line_is_said_once_whichever_allocation_fails) {
  const std::string reason(40, 'r'); // longer than what a string holds without memory
  const std::vector<std::pair<std::vector<Fault>, std::string>> updates = {
      {{{"TCP listeners", reason}, {"Unix listeners", reason}},
       "no TCP listeners: " + reason + "\nno Unix listeners: " + reason + "\n"},
      {{{"Unix listeners", reason}}, ""},
      {{{"Unix listeners", reason}}, ""},
      {{{"Unix listeners", reason}}, "TCP listeners can be read again\n"}};
  std::size_t failures = 0;
  for (std::size_t enough = 0; failures == enough; ++enough) {
    Log log;
    std::string said;
    bool has_failed = false;
    for (const auto &[faults, wanted] : updates) {
      std::vector<LogLine> lines;
      for (bool is_done = false; !is_done;) {
        allocations_left = has_failed ? std::nullopt : std::optional(enough);
        try {
          log.faults.update(faults, lines);
          is_done = true;
        } catch (const std::bad_alloc &) {
          has_failed = true;
        }
        allocations_left.reset();
      }
      said.clear();
      for (const LogLine &line : lines)
        said += line.text + "\n";
      assert_text(said, wanted);
    }
    failures += has_failed ? 1 : 0;
  }
  ck_assert_uint_gt(failures, 5);
}
END_TEST

int main() {
  return run_tests("fault_log", one_line_when_it_begins_and_one_when_it_ends,
                   what_comes_and_goes_is_said_once,
                   what_ends_with_its_net_namespace_is_no_good_news,
                   each_line_is_said_once_whichever_allocation_fails);
}
