#include "event_book.h"
#include "test_program.h"

#include <cinttypes>
#include <cmath>
#include <map>

using namespace backlog;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t slot(std::uint64_t epoch, std::uint64_t length) {
  return epoch << 32 | length;
}

event_counts counts_of(std::uint64_t added) {
  event_counts counts{};
  counts.added = added;
  return counts;
}

/// The maps of the kernel, as a test sets them.
struct Maps {
  std::map<std::uint64_t, event_counts> counts;
  std::map<std::uint64_t, event_frees> frees;
  std::map<std::uint64_t, event_waits> waits;
  std::map<std::uint64_t, event_bounds> bounds;
  std::uint32_t epoch = 0;

  EventReading read(EventBook &book) const {
    std::vector<std::uint64_t> cookies[4];
    std::vector<event_counts> count_values;
    std::vector<event_frees> free_values;
    std::vector<event_waits> wait_values;
    std::vector<event_bounds> bound_values;
    return book.read({.counts = entries(counts, cookies[0], count_values),
                      .frees = entries(frees, cookies[1], free_values),
                      .waits = entries(waits, cookies[2], wait_values),
                      .bounds = entries(bounds, cookies[3], bound_values),
                      .epoch = epoch,
                      .jiffies_rate = 250});
  }

private:
  template <class Value>
  static EventEntries<Value> entries(const std::map<std::uint64_t, Value> &map,
                                     std::vector<std::uint64_t> &cookies,
                                     std::vector<Value> &values) {
    for (const auto &[cookie, value] : map) {
      cookies.push_back(cookie);
      values.push_back(value);
    }
    return {cookies, values};
  }
};

} // namespace

START_TEST(peaks_by_epoch) {
  const struct {
    __u64 slots[2]{};
    std::uint32_t epoch = 0;
    std::optional<std::uint32_t> peak;
  } cases[] = {
      {{0, 0}, 0, 0},
      {{0, 0}, 1, std::nullopt},
      {{slot(4, 7), slot(3, 9)}, 4, 7},
      {{slot(4, 7), slot(3, 9)}, 3, 9},
      {{slot(4, 7), slot(3, 9)}, 5, std::nullopt}, // nothing was added since
      {{slot(4, 7), slot(3, 9)}, 2, std::nullopt},
      {{slot(4294967294, 7), slot(4294967295, 4294967295)}, 4294967295, 4294967295},
      {{slot(4294967294, 7), slot(4294967295, 9)}, 0, std::nullopt}, // the number began anew
  };
  for (const auto &c : cases)
    ck_assert(peak_of(c.slots, c.epoch) == c.peak);
}
END_TEST

START_TEST(intervals_are_differences) {
  EventBook book;
  Maps maps;
  maps.counts[5] = counts_of(10);
  maps.counts[5].peak[0] = slot(0, 4);
  maps.frees[5] = {.freed = 3, .overflowed = 1, .final_acks = 1, .repeated = 0};
  EventReading first = maps.read(book);
  ck_assert_uint_eq(first.sockets.at(5).added, 10); // since the programs were attached
  ck_assert_uint_eq(first.sockets.at(5).freed, 3);
  ck_assert(first.sockets.at(5).peak == 4U);
  ck_assert(!first.sockets.at(5).group_peak);

  maps.epoch = 1;
  EventReading quiet = maps.read(book);
  ck_assert_uint_eq(quiet.sockets.at(5).added, 0);
  ck_assert_uint_eq(quiet.sockets.at(5).freed, 0);
  ck_assert(!quiet.sockets.at(5).peak);

  maps.epoch = 2;
  maps.counts[5].added = 110;
  maps.counts[5].peak[0] = slot(2, 60);
  maps.counts[5].group_peak[0] = slot(2, 90);
  maps.frees[5] = {.freed = 9, .overflowed = 6, .final_acks = 4, .repeated = 2};
  EventReading busy = maps.read(book);
  ck_assert_uint_eq(busy.sockets.at(5).added, 100);
  ck_assert(busy.sockets.at(5).peak == 60U);
  ck_assert(busy.sockets.at(5).group_peak == 90U);
  ck_assert_uint_eq(busy.sockets.at(5).freed, 6);
  ck_assert_uint_eq(busy.sockets.at(5).overflowed, 5);

  maps.counts[5].added = 2; // it was deleted, and made anew
  ck_assert_uint_eq(maps.read(book).sockets.at(5).added, 2);
}
END_TEST

START_TEST(dead_after_two_readings) {
  EventBook book;
  Maps maps;
  maps.counts[1] = counts_of(1);
  maps.counts[2] = counts_of(1);
  maps.frees[3] = {.freed = 1, .overflowed = 0, .final_acks = 0, .repeated = 0};
  EventReading reading = maps.read(book);
  reading.sockets.at(1).known = true;
  ck_assert(book.forget_dead(reading).empty());
  reading = maps.read(book);
  reading.sockets.at(2).known = true; // missing from one dump only
  ck_assert((book.forget_dead(reading) == std::vector<std::uint64_t>{3}));
  maps.frees.erase(3);
  reading = maps.read(book);
  ck_assert_uint_eq(reading.sockets.size(), 2);
  ck_assert((book.forget_dead(reading) == std::vector<std::uint64_t>{1}));
}
END_TEST

START_TEST(waits_of_buckets) {
  event_waits before{};
  event_waits now{};
  ck_assert(!waits_between(before, now, 250));
  // 4 ms each: 90 at once, 9 after 5 to 8 jiffies, 1 after 100.
  now.accepted = 100;
  now.jiffies = 9 * 6 + 100;
  now.buckets[0] = 90;
  now.buckets[3] = 9;
  now.buckets[7] = 1;
  ck_assert(!waits_between(before, now, 0)); // the rate is not known yet
  const auto waits = waits_between(before, now, 250);
  ck_assert(waits.has_value());
  ck_assert_uint_eq(waits->accepted, 100);
  ck_assert_double_eq_tol(waits->mean.count(), 0.004 * 154 / 100, 1e-9);
  ck_assert_double_eq_tol(waits->p50.count(), 0.004 * 50 / 90, 1e-9);
  ck_assert_double_eq_tol(waits->p99.count(), 0.032, 1e-9);
  ck_assert(!waits_between(now, now, 250));
}
END_TEST

START_TEST(steps_of_bounds) {
  std::vector<std::uint64_t> waits{0, 15, 16, 63, 64, 65, 1000, 16383, 16384, 1'000'000};
  for (unsigned power = 4; power < 40; ++power)
    for (const std::uint64_t more : {0U, 1U})
      waits.push_back((1ULL << power) - more);
  for (const std::uint64_t us : waits) {
    const std::uint32_t step = event_bound_of(us);
    ck_assert_uint_lt(step, EVENT_BOUNDS);
    const auto wait = std::chrono::microseconds(us);
    ck_assert_msg(begin_of_bound(step) <= wait, "%" PRIu64 " us in step %u", us, step);
    if (step + 1 < EVENT_BOUNDS)
      ck_assert_msg(wait < begin_of_bound(step + 1), "%" PRIu64 " us in step %u", us, step);
  }
  ck_assert(begin_of_bound(EVENT_BOUNDS - 1) == std::chrono::microseconds(1ULL << 30));
}
END_TEST

START_TEST(bounds_are_differences) {
  EventBook book;
  Maps maps;
  maps.bounds[5].low[3] = 2;
  maps.bounds[5].high[7] = 2;
  const WaitBounds first = maps.read(book).sockets.at(5).bounds;
  ck_assert_uint_eq(first.accepted(), 2);
  ck_assert_uint_eq(maps.read(book).sockets.at(5).bounds.accepted(), 0);
  maps.bounds[5].low[4] = 3;
  maps.bounds[5].high[100] = 3;
  WaitBounds second = maps.read(book).sockets.at(5).bounds;
  ck_assert_uint_eq(second.low.at(4), 3);
  ck_assert_uint_eq(second.low.at(3), 0);
  ck_assert_uint_eq(second.high.at(100), 3);
  second.add(first);
  ck_assert_uint_eq(second.low.at(3), 2);
  ck_assert_uint_eq(second.high.at(7), 2);
  ck_assert_uint_eq(second.accepted(), 5);
  maps.bounds[5] = event_bounds{}; // it was deleted, and made anew
  maps.bounds[5].high[7] = 1;
  ck_assert_uint_eq(maps.read(book).sockets.at(5).bounds.accepted(), 1);
}
END_TEST

START_TEST(quantiles_that_are_told) {
  /// So many had waited for at least and at most so many ms; most < 0: it is not known.
  struct Waited {
    unsigned count = 0;
    double least = 0;
    double most = 0;
  };
  const struct {
    const char *name;
    std::vector<Waited> waited;
    double share = 0;
    std::uint64_t accepted = 0;
    std::optional<double> told_ms{}; ///< the end of its step
  } cases[] = {
      {"none", {}, 0.5, 0, std::nullopt},
      {"one, known closely", {{1, 98, 102}}, 0.99, 1, 114.688},
      {"the median of three", {{1, 1, 2}, {1, 100, 110}, {1, 900, 950}}, 0.5, 3, 114.688},
      {"the longest of three", {{1, 1, 2}, {1, 100, 110}, {1, 900, 950}}, 0.99, 3, 1048.576},
      {"just what has to be known", {{100, 0, 24}}, 0.5, 100, 24.576},
      {"served at once, seldom", {{100, 0, 30}}, 0.5, 100, std::nullopt},
      {"within twice", {{10, 500, 900}}, 0.5, 10, 917.504},
      {"not within twice", {{10, 400, 900}}, 0.5, 10, std::nullopt},
      {"one in a hundred unknown", {{99, 98, 102}, {1, 0, -1}}, 0.99, 100, 114.688},
      {"two in a hundred unknown", {{98, 98, 102}, {2, 0, -1}}, 0.99, 100, std::nullopt},
      {"... and their median", {{98, 98, 102}, {2, 0, -1}}, 0.5, 100, 114.688},
      {"not all were followed", {{90, 98, 102}}, 0.5, 102, 114.688},
      {"most were not", {{89, 98, 102}}, 0.5, 102, std::nullopt},
      {"few, of whom one came late", {{1, 98, 102}}, 0.5, 3, 114.688},
      {"longer than is counted", {{10, 2e6, 2e6}}, 0.5, 10, std::nullopt},
  };
  for (const auto &c : cases) {
    event_bounds counts{};
    for (const Waited &waited : c.waited) {
      counts.low[event_bound_of(static_cast<std::uint64_t>(1000 * waited.least))] += waited.count;
      counts
          .high[waited.most < 0 ? EVENT_BOUNDS - 1
                                : event_bound_of(static_cast<std::uint64_t>(1000 * waited.most))] +=
          waited.count;
    }
    const auto told = told_quantile(bounds_between(nullptr, counts), c.share, c.accepted);
    ck_assert_msg(told.has_value() == c.told_ms.has_value(), "%s: %g ms", c.name,
                  told ? 1000 * told->count() : -1);
    if (told)
      ck_assert_msg(std::fabs(1000 * told->count() - *c.told_ms) < 1e-6, "%s: %g ms", c.name,
                    1000 * told->count());
  }
}
END_TEST

START_TEST(waits_within_a_time) {
  event_waits now{};
  now.buckets[0] = 5; // less than 4 ms
  now.buckets[3] = 2; // 16 to 32 ms
  now.buckets[EVENT_WAIT_BUCKETS - 1] = 1;
  ck_assert_uint_eq(bounds_of_jiffies({}, now, 0).accepted(), 0); // the rate is not known yet
  ck_assert_uint_eq(bounds_of_jiffies(now, now, 250).accepted(), 0);
  const WaitBounds bounds = bounds_of_jiffies({}, now, 250);
  ck_assert_uint_eq(bounds.accepted(), 8);
  ck_assert_uint_eq(bounds.low.at(event_bound_of(16000)), 2);
  const struct {
    std::chrono::milliseconds longest;
    std::uint64_t count = 0;
  } cases[] = {{1ms, 0}, {3ms, 0}, {5ms, 5}, {25ms, 5}, {33ms, 7}, {1h, 7}};
  for (const auto &c : cases)
    ck_assert_msg(waits_within(bounds, c.longest) == c.count, "%lld ms",
                  static_cast<long long>(c.longest.count()));
  ck_assert_uint_eq(waits_within({}, 1s), 0);
}
END_TEST

START_TEST(rate_of_jiffies) {
  const struct {
    std::uint64_t jiffies = 0;
    std::uint64_t ns = 0;
    std::optional<std::uint32_t> rate;
  } cases[] = {
      {250, 999999999, std::nullopt}, {250, 1000000000, 250},     {251, 1000000000, 250},
      {999, 1000000000, 1000},        {30000, 100000000000, 300}, {100, 1000000000, 100},
  };
  for (const auto &c : cases) {
    event_control control{};
    control.first_jiffies = 4294900000;
    control.first_ns = 5;
    control.last_jiffies = control.first_jiffies + c.jiffies;
    control.last_ns = control.first_ns + c.ns;
    ck_assert(jiffies_rate(control) == c.rate);
  }
  ck_assert(!jiffies_rate(event_control{}));
}
END_TEST

int main() {
  return run_tests("event_book", peaks_by_epoch, intervals_are_differences, dead_after_two_readings,
                   waits_of_buckets, steps_of_bounds, bounds_are_differences,
                   quantiles_that_are_told, waits_within_a_time, rate_of_jiffies);
}
