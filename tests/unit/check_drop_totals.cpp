#include "drop_totals.h"
#include "test_program.h"

using namespace backlog;
using namespace std::chrono_literals;

namespace {
constexpr DropTotals::TimePoint start{1000h};
}

START_TEST(first_told_is_0_then_the_counter) {
  DropTotals totals;
  totals.add("a", 5, start);
  totals.add("b", 1, start);
  ck_assert_uint_eq(totals.tell("a"), 0);
  ck_assert_uint_eq(totals.tell("a"), 5);
  totals.add("a", 2, start + 10s);
  ck_assert_uint_eq(totals.tell("a"), 7);
  ck_assert_uint_eq(totals.tell("b"), 0);
}
END_TEST

START_TEST(the_standing_counter_and_since_when) {
  DropTotals totals;
  ck_assert(!totals.standing("a"));
  totals.add("a", 5, start);
  totals.add("a", 2, start + 10s);
  ck_assert_uint_eq(totals.standing("a")->drops, 7);
  ck_assert(totals.standing("a")->since == start);
  ck_assert_uint_eq(totals.tell("a"), 0);
  totals.prune(start + 30h);
  ck_assert(!totals.standing("a"));
  totals.add("a", 1, start + 31h);
  ck_assert_uint_eq(totals.standing("a")->drops, 1);
  ck_assert(totals.standing("a")->since == start + 31h);
}
END_TEST

START_TEST(counter_survives_an_absence) {
  DropTotals totals;
  totals.add("a", 5, start);
  (void)totals.tell("a");
  totals.prune(start);
  totals.prune(start + 24h);
  ck_assert_uint_eq(totals.size(), 1);
  totals.add("a", 1, start + 24h);
  ck_assert_uint_eq(totals.tell("a"), 6);
  totals.prune(start + 48h);
  ck_assert_uint_eq(totals.size(), 1);
}
END_TEST

START_TEST(vanished_for_more_than_a_day_begins_anew) {
  DropTotals totals;
  totals.add("a", 5, start);
  (void)totals.tell("a");
  totals.add("b", 3, start + 1s);
  totals.prune(start + 24h + 1s);
  ck_assert_uint_eq(totals.size(), 1);
  totals.add("a", 2, start + 25h);
  ck_assert_uint_eq(totals.tell("a"), 0);
  ck_assert_uint_eq(totals.tell("a"), 2);
}
END_TEST

START_TEST(of_the_vanished_the_last_ten_thousand_are_kept) {
  DropTotals totals;
  for (int i = 0; i < 10005; ++i)
    totals.add("gone_" + std::to_string(i), 1, start + i * 1ms);
  const DropTotals::TimePoint now = start + 1min;
  for (int i = 0; i < 20000; ++i)
    totals.add("here_" + std::to_string(i), 1, now);
  totals.prune(now);
  ck_assert_uint_eq(totals.size(), 30000);
  (void)totals.tell("gone_5");
  ck_assert_uint_eq(totals.tell("gone_5"), 1);
  (void)totals.tell("gone_4");
  ck_assert_uint_eq(totals.tell("gone_4"), 0);
}
END_TEST

START_TEST(no_more_than_ten_thousand_of_those_that_vanish_at_once) {
  DropTotals totals;
  for (int i = 0; i < 10005; ++i)
    totals.add("gone_" + std::to_string(i), 1, start);
  totals.add("here", 1, start + 10s);
  totals.prune(start + 10s);
  ck_assert_uint_eq(totals.size(), 10001);
}
END_TEST

int main() {
  return run_tests("drop_totals", first_told_is_0_then_the_counter,
                   the_standing_counter_and_since_when, counter_survives_an_absence,
                   vanished_for_more_than_a_day_begins_anew,
                   of_the_vanished_the_last_ten_thousand_are_kept,
                   no_more_than_ten_thousand_of_those_that_vanish_at_once);
}
