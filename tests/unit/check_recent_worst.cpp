#include "recent_worst.h"

#include "test_program.h"

#include <string>
#include <vector>

using namespace backlog;
using namespace std::chrono_literals;

namespace {

using layout::Severity;
using layout::State;

RecentWorst::TimePoint at(std::chrono::milliseconds time) {
  return RecentWorst::TimePoint(1h + time);
}

struct Step {
  std::chrono::milliseconds time;
  WorstFigures interval;
  WorstFigures expected;
};

void assert_steps(const char *what, const std::vector<Step> &steps) {
  RecentWorst recent;
  for (const Step &step : steps)
    ck_assert_msg(recent.add("a", step.interval, at(step.time)) == step.expected, "%s at %lld ms",
                  what, static_cast<long long>(step.time.count()));
}

} // namespace

START_TEST(cases) {
  const WorstFigures calm;
  const WorstFigures burst{.peak = 9,
                           .used_percent = 100,
                           .dropped = 3,
                           .overflows = 2,
                           .state = State::overflow,
                           .severity = Severity::warning};
  assert_steps("nothing", {{0s, calm, calm}, {10s, calm, calm}});
  assert_steps("a burst is kept for five minutes",
               {{0s, calm, calm}, {10s, burst, burst}, {20s, calm, burst}, {309s, calm, burst}});
  assert_steps("and for less than six",
               {{0s, burst, burst}, {300s, calm, burst}, {340s, calm, calm}});
  assert_steps("wherever its minute begins",
               {{29999ms, burst, burst}, {329999ms, calm, burst}, {360s, calm, calm}});
  assert_steps("an interval longer than all",
               {{0s, burst, burst}, {900s, calm, calm}, {1800s, burst, burst}});
  assert_steps("the queues that had the peak",
               {{0s, {.peak = 5, .peak_capacity = 9}, {.peak = 5, .peak_capacity = 9}},
                {1s, {.peak = 5, .peak_capacity = 7}, {.peak = 5, .peak_capacity = 9}},
                {2s, {.peak = 4, .peak_capacity = 4}, {.peak = 5, .peak_capacity = 9}},
                {3s, {.peak = 6, .peak_capacity = 8}, {.peak = 6, .peak_capacity = 8}}});
  assert_steps("each figure by itself",
               {{0s,
                 {.peak = 5, .used_percent = 60, .state = State::high},
                 {.peak = 5, .used_percent = 60, .state = State::high}},
                {60s,
                 {.peak = 4, .used_percent = 80, .dropped = 7, .severity = Severity::failure},
                 {.peak = 5,
                  .used_percent = 80,
                  .dropped = 7,
                  .state = State::high,
                  .severity = Severity::failure}},
                {120s,
                 {.dropped = 1, .overflows = 1},
                 {.peak = 5,
                  .used_percent = 80,
                  .dropped = 8,
                  .overflows = 1,
                  .state = State::high,
                  .severity = Severity::failure}},
                // The first is over, the second is not.
                {345s,
                 calm,
                 {.peak = 4,
                  .used_percent = 80,
                  .dropped = 8,
                  .overflows = 1,
                  .severity = Severity::failure}}});
}
END_TEST

START_TEST(short_intervals_are_added_up) {
  RecentWorst recent;
  WorstFigures worst;
  for (int tenth = 0; tenth < 3000; ++tenth)
    worst = recent.add("a", {.peak = static_cast<std::uint64_t>(tenth % 10), .dropped = 1},
                       at(100ms * tenth));
  ck_assert_uint_eq(worst.peak, 9);
  ck_assert_uint_eq(worst.dropped, 3000);
}
END_TEST

START_TEST(listeners_do_not_meet_and_are_forgotten) {
  RecentWorst recent;
  (void)recent.add("a", {.peak = 9}, at(0s));
  (void)recent.add("b", {.peak = 3}, at(100s));
  (void)recent.add("calm", {}, at(100s));
  ck_assert_uint_eq(recent.size(), 2);
  ck_assert_uint_eq(recent.add("b", {}, at(200s)).peak, 3);
  recent.prune(at(340s));
  ck_assert_uint_eq(recent.size(), 1);
  ck_assert_uint_eq(recent.add("a", {}, at(341s)).peak, 0);
  recent.prune(at(500s));
  ck_assert_uint_eq(recent.size(), 0);
}
END_TEST

int main() {
  return run_tests("recent_worst", cases, short_intervals_are_added_up,
                   listeners_do_not_meet_and_are_forgotten);
}
