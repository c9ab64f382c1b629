#include "reply_watchdog.h"
#include "test_program.h"

#include <algorithm>
#include <string>

using namespace backlog;
using namespace std::chrono_literals;

namespace {

struct Case {
  const char *what;
  std::chrono::milliseconds interval;
  std::chrono::milliseconds first_wait; ///< of the read callback, likewise the next
  std::chrono::milliseconds wait;
  std::string answers; ///< of each read: + it came, or one from before did; - none
  std::string overdue; ///< after each read: ! or a blank
};

} // namespace

START_TEST(overdue_answers) {
  const Case cases[] = {
      {"all come", 10s, 1s, 1s, "++++", "    "},
      {"a single one is late", 10s, 1s, 1s, "++-+-+", "      "},
      {"they stop, and come again", 10s, 1s, 1s, "+---++", "  !!  "},
      {"every other one", 10s, 1s, 1s, "+-+-+-", "      "},
      {"the first one does not come", 10s, 1s, 1s, "--+-+", "!!   "},
      {"short intervals", 250ms, 1s, 125ms, "+------+", "     !! "},
      {"short intervals from the start", 250ms, 1s, 125ms, "--+", "!! "},
      {"the first wait was cut short", 10s, 500ms, 1s, "--", " !"},
  };
  for (const Case &c : cases) {
    ReplyWatchdog watchdog(1s);
    ReplyWatchdog::TimePoint begin;
    std::string told;
    for (std::size_t i = 0; i < c.answers.size(); ++i) {
      const auto wait = i == 0 ? c.first_wait : c.wait;
      watchdog.note(c.answers[i] == '+', begin, begin + wait);
      begin += std::max(wait, c.interval);
      told += watchdog.is_overdue() ? '!' : ' ';
    }
    assert_text(std::string(c.what) + ": " + told, std::string(c.what) + ": " + c.overdue);
  }
}
END_TEST

int main() { return run_tests("reply_watchdog", overdue_answers); }
