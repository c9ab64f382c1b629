#include "row_counters.h"

#include <algorithm>

namespace backlog {

std::optional<RowCounters::TimePoint> RowCounters::admit(const std::string &name, TimePoint now,
                                                         bool is_stable) {
  drops_.admit(name, now, is_stable);
  const auto total = drops_.standing(name);
  return total ? std::optional(total->since) : std::nullopt;
}

void RowCounters::count_flow(const ListenerInterval &interval, TimePoint now, Row &row) {
  if (!interval.flow)
    return;
  row.arrivals = interval.flow->arrived;
  row.accepts = interval.flow->accepted;
  row.wait_mean = interval.flow->wait_mean;
  row.wait_p50 = interval.flow->wait_p50();
  row.wait_p99 = interval.flow->wait_p99();
  // Counters are kept for a day, and only a series shows them.
  if (interval.unstable)
    return;
  const auto count = [&](DropTotals &totals, std::uint64_t connections) {
    totals.admit(row.name, now, row.precedence.stable);
    totals.add(row.name, connections);
    return totals.standing(row.name)->drops;
  };
  row.arrived = count(arrived_, *row.arrivals);
  row.accepted = count(accepted_, *row.accepts);
  count_waits(*interval.flow, row);
}

void RowCounters::count_waits(const ListenerFlow &flow, Row &row) {
  const std::uint64_t known = flow.bounds.accepted();
  auto entry = waits_.find(row.name);
  if (known > 0) {
    entry = waits_.try_emplace(row.name).first;
    WaitHistogram &histogram = entry->second;
    for (std::size_t i = 0; i < layout::wait_bounds.size(); ++i)
      histogram.counts.at(i) +=
          waits_within(flow.bounds, std::chrono::duration<double>(layout::wait_bounds.at(i)));
    histogram.counts.back() += known;
    if (flow.wait_mean)
      histogram.seconds += flow.wait_mean->count() * static_cast<double>(known);
  }
  if (entry != waits_.end())
    row.wait_histogram = entry->second;
}

void RowCounters::open(const Counted &counted, TimePoint now, const Row &row) {
  if (!counted.counts_drops)
    return;
  const bool is_stable = row.precedence.stable;
  if (counted.account != nullptr)
    overflows_.admit(counted.name, now, is_stable);
  if (counted.ack_overflows)
    for (DropTotals *totals : {&known_overflows_, &ack_overflows_})
      totals->admit(counted.name, now, is_stable);
  if (row.has_series)
    series_.admit(row.name, now, is_stable);
}

void RowCounters::count(const Counted &counted, Row &row) noexcept {
  if (!counted.counts_drops)
    return;
  if (counted.account != nullptr)
    count_standing(counted, row);
  if (counted.is_in_aggregate)
    return;
  const std::uint64_t more = counted.dropped.drops - counted.counted_before;
  if (row.has_series) {
    series_.add(row.name, more);
    if (!counted.drops_known)
      return;
    const DropTotals::Value value = series_.take_value(row.name, more);
    row.dropped = value.at_end;
    row.dropped_at_begin = value.at_begin;
  } else if (counted.account != nullptr) {
    counted.account->add_unreported(more);
  }
}

void RowCounters::count_standing(const Counted &counted, Row &row) noexcept {
  drops_.add(counted.name, counted.dropped.drops);
  overflows_.add(counted.name, counted.dropped.overflows);
  if (!counted.drops_known)
    return;
  row.drops = drops_.standing(counted.name);
  row.overflows = overflows_.standing(counted.name);
  if (counted.ack_overflows)
    count_overflow_kinds(counted, *counted.ack_overflows, row);
}

// The counter and the program are read one after the other, so that sums are compared.
void RowCounters::count_overflow_kinds(const Counted &counted, std::uint64_t ack_overflows,
                                       Row &row) noexcept {
  known_overflows_.add(counted.name, counted.dropped.overflows);
  ack_overflows_.add(counted.name, ack_overflows);
  const auto known = known_overflows_.standing(counted.name);
  const auto by_ack = ack_overflows_.standing(counted.name);
  if (!known || !by_ack)
    return;
  row.ack_overflows = std::min(by_ack->drops, known->drops);
  row.syn_overflows = known->drops - *row.ack_overflows;
}

void RowCounters::end_interval(TimePoint now) {
  for (DropTotals *totals :
       {&drops_, &overflows_, &known_overflows_, &ack_overflows_, &series_, &arrived_, &accepted_})
    totals->end_interval(now);
  std::erase_if(waits_, [this](const auto &waits) { return !accepted_.standing(waits.first); });
}

} // namespace backlog
