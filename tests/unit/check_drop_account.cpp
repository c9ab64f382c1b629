#include "drop_account.h"
#include "test_program.h"

#include <optional>
#include <string>
#include <vector>

using namespace backlog;

START_TEST(what_listeners_have_and_the_two_are_the_counter) {
  struct Case {
    const char *what;
    std::vector<DropAccount::Interval> intervals;
    std::uint64_t dropped;
    std::uint64_t unattributed;
  };
  const auto unread = std::nullopt;
  for (const Case &c : std::vector<Case>{
           {"what came before the sampler is not counted",
            {{.listen_drops = 100, .counted = 3, .attributed = 3}},
            3,
            0},
           {"what is nobody's",
            {{.listen_drops = 100, .counted = 3, .attributed = 1},
             {.listen_drops = 104, .counted = 4, .attributed = 4}},
            7,
            2},
           {"a sampler that begins anew has not seen what came between",
            {{.listen_drops = 100, .counted = 0, .attributed = 0},
             {.listen_drops = 130, .counted = 10, .attributed = 9}},
            30,
            21},
           {"nor has one whose interval nobody took over",
            {{.listen_drops = 100, .counted = 0, .attributed = 0},
             {.listen_drops = 150, .counted = 0, .attributed = 0}},
            50,
            50},
           {"what was counted while the counter could not be read",
            {{.listen_drops = 100, .counted = 0, .attributed = 0},
             {.listen_drops = unread, .counted = 5, .attributed = 5},
             {.listen_drops = unread, .counted = 2, .attributed = 0},
             {.listen_drops = 110, .counted = 3, .attributed = 3}},
            10,
            2},
           {"never read", {{.listen_drops = unread, .counted = 5, .attributed = 4}}, 5, 1},
           {"a counter that falls is another's",
            {{.listen_drops = 100, .counted = 0, .attributed = 0},
             {.listen_drops = 4, .counted = 1, .attributed = 1},
             {.listen_drops = 6, .counted = 2, .attributed = 2}},
            3,
            0},
       }) {
    DropAccount account;
    std::uint64_t dropped = 0;
    std::uint64_t before = 0;
    for (const DropAccount::Interval &interval : c.intervals) {
      dropped += account.add(interval);
      ck_assert_uint_ge(account.unattributed(), before);
      before = account.unattributed();
    }
    assert_text(std::string(c.what) + " " + std::to_string(dropped) + " " +
                    std::to_string(account.unattributed()),
                std::string(c.what) + " " + std::to_string(c.dropped) + " " +
                    std::to_string(c.unattributed));
  }
}
END_TEST

START_TEST(another_namespace_goes_on_with_both_counters) {
  DropAccount account;
  (void)account.add({.listen_drops = 1000, .counted = 7, .attributed = 5});
  account.add_unreported(4);
  account.begin_anew();
  ck_assert_uint_eq(account.add({.listen_drops = 3000, .counted = 2, .attributed = 1}), 2);
  ck_assert_uint_eq(account.unattributed(), 3);
  ck_assert_uint_eq(account.unreported(), 4);
}
END_TEST

int main() {
  return run_tests("drop_account", what_listeners_have_and_the_two_are_the_counter,
                   another_namespace_goes_on_with_both_counters);
}
