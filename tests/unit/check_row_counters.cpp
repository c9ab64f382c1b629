#include "row_counters.h"
#include "test_program.h"

#include <optional>
#include <string>
#include <vector>

using namespace backlog;
using namespace std::chrono_literals;

namespace {

using Standing = std::optional<DropTotals::Standing>;

std::uint64_t drops_of(const Standing &standing) {
  ck_assert(standing.has_value());
  return standing->drops;
}

/// The counters of one listener, interval after interval.
struct Counters {
  RowCounters counters;
  DropAccount account;
  RowCounters::TimePoint now{1h};
  bool has_series = true;

  RowCounters::Counted counted(std::uint64_t drops, std::uint64_t overflows) {
    return {.name = "tcp_any_80",
            .dropped = {.drops = drops, .overflows = overflows},
            .counts_drops = true,
            .drops_known = true,
            .account = &account};
  }
  Row take(const RowCounters::Counted &counted) {
    Row row;
    row.name = "web";
    row.has_series = has_series;
    now += 10s;
    (void)counters.admit(counted.name, now, true);
    counters.open(counted, now, row);
    counters.count(counted, row);
    counters.end_interval(now);
    return row;
  }
};

/// Waits that are known to be at most so long.
WaitBounds bounds_of(const std::vector<std::chrono::microseconds> &waits) {
  WaitBounds bounds;
  bounds.low.resize(EVENT_BOUNDS);
  bounds.high.resize(EVENT_BOUNDS);
  for (const std::chrono::microseconds wait : waits) {
    ++bounds.low.front();
    ++bounds.high.at(event_bound_of(static_cast<std::uint64_t>(wait.count())));
  }
  return bounds;
}

ListenerInterval interval_of(const WaitBounds &bounds, std::chrono::milliseconds mean) {
  ListenerInterval interval;
  interval.flow.emplace();
  interval.flow->accepted = bounds.accepted();
  interval.flow->bounds = bounds;
  interval.flow->wait_mean = mean;
  return interval;
}

Row flow_row(RowCounters &counters, const ListenerInterval &interval,
             RowCounters::TimePoint now = RowCounters::TimePoint()) {
  Row row;
  row.name = "tcp_any_80";
  counters.count_flow(interval, now, row);
  return row;
}

} // namespace

START_TEST(a_counter_begins_once) {
  RowCounters counters;
  const RowCounters::TimePoint now{1h};
  ck_assert(counters.admit("tcp_any_80", now, true) == now);
  ck_assert(counters.admit("tcp_any_80", now + 10s, true) == now);
}
END_TEST

START_TEST(drops_and_overflows_add_up) {
  Counters counters;
  (void)counters.take(counters.counted(7, 5));
  const Row row = counters.take(counters.counted(2, 1));
  ck_assert_uint_eq(drops_of(row.drops), 9);
  ck_assert_uint_eq(drops_of(row.overflows), 6);
  ck_assert_uint_eq(row.dropped.value(), 9);
  ck_assert(!row.dropped_at_begin); // the interval before has shown it
  ck_assert(!row.ack_overflows && !row.syn_overflows);
}
END_TEST

START_TEST(overflows_of_two_kinds) {
  Counters counters;
  RowCounters::Counted both = counters.counted(7, 5);
  both.ack_overflows = 2;
  Row row = counters.take(both);
  ck_assert_uint_eq(row.ack_overflows.value(), 2);
  ck_assert_uint_eq(row.syn_overflows.value(), 3);
  // The program was read after the counter.
  both = counters.counted(1, 1);
  both.ack_overflows = 6;
  row = counters.take(both);
  ck_assert_uint_eq(row.ack_overflows.value(), 6);
  ck_assert_uint_eq(row.syn_overflows.value(), 0);
}
END_TEST

START_TEST(what_is_not_known_is_counted_and_not_shown) {
  Counters counters;
  RowCounters::Counted unknown = counters.counted(7, 5);
  unknown.drops_known = false;
  const Row row = counters.take(unknown);
  ck_assert(!row.drops && !row.overflows && !row.dropped);
  const Row next = counters.take(counters.counted(1, 1));
  ck_assert_uint_eq(drops_of(next.drops), 8);
  ck_assert_uint_eq(drops_of(next.overflows), 6);
  ck_assert_uint_eq(next.dropped.value(), 8);
  ck_assert_uint_eq(next.dropped_at_begin.value(), 7);
}
END_TEST

START_TEST(whose_counter_has_the_drops) {
  Counters counters;
  counters.has_series = false;
  (void)counters.take(counters.counted(7, 5));
  ck_assert_uint_eq(counters.account.unreported(), 7);

  RowCounters::Counted in_sum = counters.counted(4, 4);
  in_sum.is_in_aggregate = true;
  const Row row = counters.take(in_sum);
  ck_assert_uint_eq(counters.account.unreported(), 7);
  ck_assert_uint_eq(drops_of(row.drops), 11);

  // Of these a series of the same interval has three already.
  RowCounters::Counted rest = counters.counted(5, 5);
  rest.counted_before = 3;
  (void)counters.take(rest);
  ck_assert_uint_eq(counters.account.unreported(), 9);

  // The sum of several namespaces has no account of its own.
  RowCounters::Counted sum = counters.counted(100, 100);
  sum.account = nullptr;
  ck_assert(!counters.take(sum).drops);

  RowCounters::Counted none = counters.counted(50, 50);
  none.counts_drops = false;
  ck_assert(!counters.take(none).drops);
  ck_assert_uint_eq(counters.account.unreported(), 9);
}
END_TEST

START_TEST(connections_add_up_where_a_series_shows_them) {
  RowCounters counters;
  ListenerInterval interval;
  Row row;
  row.name = "web";
  counters.count_flow(interval, RowCounters::TimePoint{1h}, row);
  ck_assert(!row.arrivals && !row.arrived);

  interval.flow.emplace();
  interval.flow->arrived = 30;
  interval.flow->accepted = 20;
  interval.flow->wait_mean = 2s;
  counters.count_flow(interval, RowCounters::TimePoint{1h}, row);
  ck_assert_uint_eq(row.arrived.value(), 30);
  counters.count_flow(interval, RowCounters::TimePoint{1h}, row);
  ck_assert_uint_eq(row.arrivals.value(), 30);
  ck_assert_uint_eq(row.accepts.value(), 20);
  ck_assert_uint_eq(row.arrived.value(), 60);
  ck_assert_uint_eq(row.accepted.value(), 40);
  ck_assert(row.wait_mean == 2s);
  ck_assert(!row.wait_p50);

  interval.unstable = true;
  Row unstable;
  unstable.name = "tcp_any_40000";
  counters.count_flow(interval, RowCounters::TimePoint{1h}, unstable);
  ck_assert_uint_eq(unstable.arrivals.value(), 30);
  ck_assert(!unstable.arrived && !unstable.accepted);
}
END_TEST

START_TEST(waits_are_a_histogram) {
  RowCounters counters;
  ck_assert(!flow_row(counters, ListenerInterval{}).wait_histogram);
  ck_assert(!flow_row(counters, interval_of({}, 0ms)).wait_histogram);
  const Row first = flow_row(counters, interval_of(bounds_of({500us, 4ms, 4ms, 200ms}), 50ms));
  ck_assert(first.wait_histogram.has_value());
  const decltype(WaitHistogram::counts) expected{1, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4};
  ck_assert(first.wait_histogram->counts == expected);
  ck_assert_double_eq_tol(first.wait_histogram->seconds, 0.2, 1e-9);

  const Row second = flow_row(counters, interval_of(bounds_of({40s, 2s}), 20s));
  const decltype(WaitHistogram::counts) more{1, 3, 3, 3, 4, 4, 4, 5, 5, 5, 5, 6};
  ck_assert(second.wait_histogram->counts == more);
  ck_assert_double_eq_tol(second.wait_histogram->seconds, 40.2, 1e-9);
  // Nobody was accepted, or it is not known how long they waited.
  ck_assert(flow_row(counters, interval_of({}, 0ms)).wait_histogram->counts == more);
}
END_TEST

START_TEST(waits_of_one_that_is_gone) {
  RowCounters counters;
  const RowCounters::TimePoint begin{};
  (void)flow_row(counters, interval_of(bounds_of({1ms}), 1ms), begin);
  counters.end_interval(begin + 23h);
  ck_assert(flow_row(counters, interval_of({}, 0ms), begin + 23h).wait_histogram.has_value());
  counters.end_interval(begin + 48h);
  ck_assert(!flow_row(counters, interval_of({}, 0ms), begin + 48h).wait_histogram);
}
END_TEST

START_TEST(no_waits_of_an_unstable_name) {
  RowCounters counters;
  ListenerInterval interval = interval_of(bounds_of({1ms}), 1ms);
  interval.unstable = true;
  ck_assert(!flow_row(counters, interval).wait_histogram);
}
END_TEST

int main() {
  return run_tests("row_counters", a_counter_begins_once, drops_and_overflows_add_up,
                   overflows_of_two_kinds, what_is_not_known_is_counted_and_not_shown,
                   whose_counter_has_the_drops, connections_add_up_where_a_series_shows_them,
                   waits_are_a_histogram, waits_of_one_that_is_gone, no_waits_of_an_unstable_name);
}
