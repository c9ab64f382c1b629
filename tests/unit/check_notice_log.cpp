#include "fault_spell.h"
#include "notice_log.h"
#include "short_memory.h"
#include "test_program.h"

#include <string>

using namespace backlog;
using namespace std::chrono_literals;

namespace {
constexpr NoticeLog::TimePoint start{1000h};
}

START_TEST(each_notice_is_said_once) {
  NoticeLog log;
  assert_text(log.say("a", "one", start).value_or("-"), "one");
  assert_text(log.say("a", "one", start + 1h).value_or("-"), "-");
  assert_text(log.say("a", "two", start + 1h).value_or("-"), "two");
  assert_text(log.say("a", "one", start + 1000h).value_or("-"), "-");
  assert_text(log.say("b", "one", start + 1000h).value_or("-"), "one");
}
END_TEST

START_TEST(a_kind_that_says_much_silences_itself_only_and_for_a_day) {
  NoticeLog log;
  int said = 0;
  std::string last;
  for (int i = 0; i < 5000; ++i)
    if (const auto line = log.say("noise", std::to_string(i), start + i * 1s)) {
      ++said;
      last = *line;
    }
  ck_assert_int_eq(said, 100);
  assert_text(last, "99 (and no more of this kind for a day)");
  assert_text(log.say("other", "heard", start + 5000s).value_or("-"), "heard");
  assert_text(log.say("noise", "next day", start + 24h).value_or("-"), "next day");
  assert_text(log.say("noise", "1", start + 24h).value_or("-"), "-"); // is remembered
}
END_TEST

START_TEST(what_is_remembered_is_bounded) {
  NoticeLog log;
  for (int i = 0; i < 1100; ++i)
    ck_assert(log.say("noise", std::to_string(i), start + i * 24h));
  ck_assert(!log.say("noise", "1000", start + 1100 * 24h));
  ck_assert(log.say("noise", "0", start + 1100 * 24h));
}
END_TEST

START_TEST(a_fault_begins_once_and_ends_once) {
  struct Case {
    const char *what;
    const char *times; ///< `x` it failed, `.` it went well
    const char *said;  ///< `b` it begins, `e` it ends
  };
  for (const Case &c : {Case{"never", "...", "   "}, Case{"once", ".x....", " b  e "},
                        Case{"for long", "xxxxx...", "b      e"},
                        Case{"now and then", "x.x..x.x...x", "b         eb"}}) {
    FaultSpell spell;
    std::string said;
    for (const char time : std::string(c.times)) {
      if (time == 'x')
        said += spell.fails() ? 'b' : ' ';
      else
        said += spell.goes_well() ? 'e' : ' ';
    }
    assert_text(std::string(c.what) + ":" + said, std::string(c.what) + ":" + c.said);
  }
}
END_TEST

START_TEST(a_notice_is_said_once_whichever_allocation_fails) {
  const std::string text(40, 'n');
  std::size_t failures = 0;
  for (std::size_t enough = 0; failures == enough; ++enough) {
    NoticeLog log;
    const NoticeLog::TimePoint now;
    std::optional<std::string> said;
    allocations_left = enough;
    try {
      said = log.say("a", text, now);
    } catch (const std::bad_alloc &) {
      ++failures;
    }
    allocations_left.reset();
    if (!said)
      said = log.say("a", text, now);
    assert_text(said.value_or("-"), text);
    ck_assert(!log.say("a", text, now));
  }
  ck_assert_uint_gt(failures, 2);
}
END_TEST

int main() {
  return run_tests("notice_log", each_notice_is_said_once,
                   a_kind_that_says_much_silences_itself_only_and_for_a_day,
                   what_is_remembered_is_bounded, a_notice_is_said_once_whichever_allocation_fails,
                   a_fault_begins_once_and_ends_once);
}
