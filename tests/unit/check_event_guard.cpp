#include "event_guard.h"
#include "test_program.h"

#include <vector>

using namespace backlog;
using namespace std::chrono_literals;
using Verdict = EventGuard::Verdict;

namespace {

/// A quiet interval.
EventInterval interval() {
  EventInterval interval;
  interval.measured = 10s;
  interval.opened = 0;
  interval.counted = 0;
  return interval;
}

/// The verdict when the interval comes twice.
Verdict twice(const EventInterval &interval) {
  EventGuard guard(0.5);
  ck_assert(guard.note(interval) == Verdict::fine);
  return guard.note(interval);
}

/// One of each kind.
std::vector<EventInterval> bad_intervals() {
  std::vector<EventInterval> bad(4, interval());
  bad[0].cost = 1s;
  bad[1].opened = 1000;
  bad[2].seen = 100;
  bad[2].missed = 100;
  bad[3].dropped = 1000;
  return bad;
}

} // namespace

START_TEST(costs) {
  const struct {
    std::chrono::nanoseconds cost;
    Verdict verdict;
  } cases[] = {{0ms, Verdict::fine}, {50ms, Verdict::fine}, {51ms, Verdict::too_dear}};
  for (const auto &c : cases) {
    EventInterval costly = interval();
    costly.cost = c.cost;
    ck_assert(twice(costly) == c.verdict);
  }
}
END_TEST

START_TEST(arrivals) {
  const struct {
    std::uint64_t arrived = 0;
    std::optional<std::uint64_t> opened;
    Verdict verdict = Verdict::fine;
  } cases[] = {
      {0, 0, Verdict::fine},      {0, std::nullopt, Verdict::fine}, {0, 19, Verdict::fine},
      {0, 20, Verdict::deaf},     {10, 20, Verdict::fine},          {499, 1000, Verdict::deaf},
      {995, 1000, Verdict::fine}, {1000, 900, Verdict::fine},
  };
  for (const auto &c : cases) {
    EventInterval seen = interval();
    seen.arrived = c.arrived;
    seen.opened = c.opened;
    ck_assert(twice(seen) == c.verdict);
  }
}
END_TEST

START_TEST(drops) {
  const struct {
    std::uint64_t dropped = 0;
    std::optional<std::uint64_t> counted;
    bool sockets_left = false;
    Verdict verdict = Verdict::fine;
  } cases[] = {
      {0, 0, false, Verdict::fine},
      {1000, std::nullopt, false, Verdict::fine},
      {1000, 1000, false, Verdict::fine},
      {32, 0, false, Verdict::fine}, // one was read before the other
      {33, 0, false, Verdict::wrong_drops},
      {1050, 1000, false, Verdict::fine},
      {1051, 1000, false, Verdict::wrong_drops},
      {950, 1000, false, Verdict::fine},
      {949, 1000, false, Verdict::wrong_drops},
      {0, 1000, true, Verdict::fine}, // they were those of a socket that is gone
      {2000, 1000, true, Verdict::wrong_drops},
  };
  for (const auto &c : cases) {
    EventInterval seen = interval();
    seen.dropped = c.dropped;
    seen.counted = c.counted;
    seen.sockets_left = c.sockets_left;
    ck_assert(twice(seen) == c.verdict);
  }
}
END_TEST

START_TEST(skipped) {
  const struct {
    std::uint64_t seen = 0;
    std::uint64_t missed = 0;
    Verdict verdict = Verdict::fine;
  } cases[] = {
      {.seen = 10'000'000, .missed = 0, .verdict = Verdict::fine},
      {.seen = 10'000'000, .missed = 10'000, .verdict = Verdict::fine},
      {.seen = 10'000'000, .missed = 10'001, .verdict = Verdict::skipped},
      {.seen = 100, .missed = 20, .verdict = Verdict::fine}, // too few to tell
      {.seen = 100, .missed = 21, .verdict = Verdict::skipped},
  };
  for (const auto &c : cases) {
    EventInterval seen = interval();
    seen.seen = c.seen;
    seen.missed = c.missed;
    ck_assert(twice(seen) == c.verdict);
  }
}
END_TEST

START_TEST(no_room_once_is_enough) {
  EventGuard guard(0.5);
  EventInterval full = interval();
  full.lost = 1;
  ck_assert(guard.note(full) == Verdict::crowded);
}
END_TEST

START_TEST(one_interval_is_an_accident) {
  for (const EventInterval &bad : bad_intervals()) {
    EventGuard guard(0.5);
    for (int i = 0; i < 5; ++i) {
      ck_assert(guard.note(bad) == Verdict::fine);
      ck_assert(guard.note(interval()) == Verdict::fine);
    }
  }
}
END_TEST

START_TEST(counts_anew_when_it_has_detached) {
  for (const EventInterval &bad : bad_intervals()) {
    EventGuard guard(0.5);
    ck_assert(guard.note(bad) == Verdict::fine);
    guard.detached(EventGuard::TimePoint(1h));
    ck_assert(guard.note(bad) == Verdict::fine);
    ck_assert(guard.note(bad) != Verdict::fine);
  }
}
END_TEST

START_TEST(tries_again_later_each_time) {
  EventGuard guard(0.5);
  EventGuard::TimePoint now(1h);
  ck_assert(guard.may_attach(now));
  for (const auto after : {10min, 20min, 40min, 60min, 60min}) {
    guard.detached(now);
    ck_assert(!guard.may_attach(now + after - 1ns));
    ck_assert(guard.may_attach(now + after));
    now += after;
  }
}
END_TEST

int main() {
  return run_tests("event_guard", costs, arrivals, drops, skipped, no_room_once_is_enough,
                   one_interval_is_an_accident, counts_anew_when_it_has_detached,
                   tries_again_later_each_time);
}
