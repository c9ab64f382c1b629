#include "event_guard.h"

#include <algorithm>

namespace backlog {

namespace {

constexpr unsigned intervals_in_a_row = 2;
constexpr std::chrono::minutes longest_retry{60};
// Some connections bypass the accept queue, such as further subflows of MPTCP. A program that does
// not fire sees none at all.
constexpr double least_arrived_share = 0.5;
constexpr std::uint64_t least_opened = 20;
// The kernel skips an event that interrupts both programs on their CPU. Most are of no listener.
constexpr double most_missed_share = 0.001;
constexpr std::uint64_t most_missed = 20;
// Allowance for segments that arrive between the readings of a socket and of the counter.
constexpr double reading_share = 0.05;
constexpr std::uint64_t reading_segments = 32;

bool is_deaf(const EventInterval &interval) {
  return interval.opened && *interval.opened >= least_opened &&
         static_cast<double>(interval.arrived) <
             least_arrived_share * static_cast<double>(*interval.opened);
}

/// With more skipped events than this, a peak may be too low.
bool is_skipped(const EventInterval &interval) {
  return interval.missed > most_missed &&
         static_cast<double>(interval.missed) >
             most_missed_share * static_cast<double>(interval.seen);
}

bool has_wrong_drops(const EventInterval &interval) {
  if (!interval.counted)
    return false;
  const std::uint64_t counted = *interval.counted;
  const auto tolerance = std::max(
      reading_segments, static_cast<std::uint64_t>(reading_share * static_cast<double>(counted)));
  if (interval.dropped > counted)
    return interval.dropped - counted > tolerance;
  return !interval.sockets_left && counted - interval.dropped > tolerance;
}

} // namespace

EventGuard::Verdict EventGuard::note(const EventInterval &interval) {
  const bool is_dear = static_cast<double>(interval.cost.count()) * 100 >
                       budget_percent_ * static_cast<double>(interval.measured.count());
  dear_ = is_dear ? dear_ + 1 : 0;
  deaf_ = is_deaf(interval) ? deaf_ + 1 : 0;
  skipped_ = is_skipped(interval) ? skipped_ + 1 : 0;
  wrong_ = has_wrong_drops(interval) ? wrong_ + 1 : 0;
  if (interval.lost > 0)
    return Verdict::crowded;
  if (dear_ >= intervals_in_a_row)
    return Verdict::too_dear;
  if (deaf_ >= intervals_in_a_row)
    return Verdict::deaf;
  if (skipped_ >= intervals_in_a_row)
    return Verdict::skipped;
  if (wrong_ >= intervals_in_a_row)
    return Verdict::wrong_drops;
  return Verdict::fine;
}

void EventGuard::detached(TimePoint now) {
  dear_ = 0;
  deaf_ = 0;
  skipped_ = 0;
  wrong_ = 0;
  retry_at_ = now + retry_after_;
  retry_after_ = std::min(2 * retry_after_, longest_retry);
}

} // namespace backlog
