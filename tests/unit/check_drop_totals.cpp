#include "drop_totals.h"
#include "test_program.h"

#include <optional>
#include <string>
#include <vector>

using namespace backlog;
using namespace std::chrono_literals;

namespace {
constexpr DropTotals::TimePoint start{1000h};
}

namespace {

/// Of a name that is there.
void count(DropTotals &totals, const std::string &name, std::uint64_t drops,
           DropTotals::TimePoint now, bool is_stable = true) {
  totals.admit(name, now, is_stable);
  totals.add(name, drops);
}

/// The counters that a series tells in each interval, "begin,end" where both; `-` for none.
/// intervals: its drops, `-` where it is none.
std::string told(const std::vector<std::optional<std::uint64_t>> &intervals) {
  DropTotals totals;
  std::string text;
  DropTotals::TimePoint now = start;
  for (const auto &drops : intervals) {
    now += 10s;
    text += text.empty() ? "" : " ";
    if (!drops) {
      text += "-";
    } else {
      count(totals, "a", *drops, now);
      const DropTotals::Value value = totals.take_value("a", *drops);
      text += (value.at_begin ? std::to_string(*value.at_begin) + "," : "") +
              std::to_string(value.at_end);
    }
    totals.end_interval(now);
  }
  return text;
}

} // namespace

START_TEST(a_series_begins_with_what_it_had_before_the_interval) {
  constexpr auto none = std::nullopt;
  assert_text(told({0, 0, 3}), "0 0 3");
  assert_text(told({5, 2, 0}), "0,5 7 7");
  assert_text(told({5, none, 2, 1}), "0,5 - 5,7 8");
  assert_text(told({5, none, none, 0, 1}), "0,5 - - 5 6");
}
END_TEST

START_TEST(the_standing_counter_and_since_when) {
  DropTotals totals;
  ck_assert(!totals.standing("a"));
  totals.admit("a", start, true);
  ck_assert_uint_eq(totals.standing("a")->drops, 0);
  count(totals, "a", 5, start);
  count(totals, "a", 2, start + 10s);
  ck_assert_uint_eq(totals.standing("a")->drops, 7);
  ck_assert(totals.standing("a")->since == start);
  totals.end_interval(start + 30h);
  ck_assert(!totals.standing("a"));
  count(totals, "a", 1, start + 31h);
  ck_assert_uint_eq(totals.standing("a")->drops, 1);
  ck_assert(totals.standing("a")->since == start + 31h);
}
END_TEST

START_TEST(counter_survives_an_absence_of_a_day) {
  DropTotals totals;
  count(totals, "a", 5, start);
  count(totals, "b", 5, start + 1s);
  totals.end_interval(start);
  totals.end_interval(start + 24h);
  count(totals, "a", 1, start + 24h);
  ck_assert_uint_eq(totals.standing("a")->drops, 6);
  totals.end_interval(start + 24h + 2s);
  ck_assert(!totals.standing("b"));
  totals.end_interval(start + 48h);
  ck_assert_uint_eq(totals.size(), 1);
}
END_TEST

START_TEST(of_the_vanished_ten_thousand_are_kept) {
  struct Names {
    std::string prefix;
    int count;
    std::uint64_t drops;
    bool is_stable;
    std::chrono::seconds vanished_at;
  };
  struct Case {
    const char *what;
    Names first;
    Names second;
    std::size_t of_first; ///< are kept
  };
  for (const Case &c : std::vector<Case>{
           {"the last to vanish", {"a", 10, 1, true, 0s}, {"b", 9995, 1, true, 1s}, 5},
           {"a service outlives ephemeral names",
            {"a", 10, 1, true, 0s},
            {"b", 20000, 1, false, 1s},
            10},
           {"what has counted outlives what has not",
            {"a", 10, 1, false, 0s},
            {"b", 20000, 0, true, 1s},
            10},
           {"at once", {"a", 10000, 1, true, 0s}, {"b", 10, 1, false, 0s}, 10000},
       }) {
    DropTotals totals;
    for (const Names &names : {c.first, c.second})
      for (int i = 0; i < names.count; ++i)
        count(totals, names.prefix + std::to_string(i), names.drops, start + names.vanished_at,
              names.is_stable);
    const DropTotals::TimePoint now = start + 1min;
    for (int i = 0; i < 20000; ++i)
      count(totals, "here" + std::to_string(i), 0, now, false);
    totals.end_interval(now);
    ck_assert_uint_eq(totals.size(), 30000);
    std::size_t kept = 0;
    for (int i = 0; i < c.first.count; ++i)
      kept += totals.standing(c.first.prefix + std::to_string(i)) ? 1 : 0;
    assert_text(std::string(c.what) + " " + std::to_string(kept),
                std::string(c.what) + " " + std::to_string(c.of_first));
  }
}
END_TEST

int main() {
  return run_tests("drop_totals", a_series_begins_with_what_it_had_before_the_interval,
                   the_standing_counter_and_since_when, counter_survives_an_absence_of_a_day,
                   of_the_vanished_ten_thousand_are_kept);
}
