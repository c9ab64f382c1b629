#include "pace.h"

#include <algorithm>
#include <array>

namespace backlog {

namespace {

using Seconds = std::chrono::duration<double>;

constexpr Seconds window{60};
constexpr double held_share = 0.1;
// At rest sampling leaves part of the rate unused, so that a burst finds a filled bucket.
constexpr double rest_share = 0.9;
constexpr std::chrono::milliseconds after_filling{50};
constexpr std::chrono::minutes idle_after_waiting{1};
constexpr std::chrono::seconds idle_after_change{10};

CpuBudget::Duration to_duration(Seconds time) {
  constexpr Seconds longest = std::chrono::hours(24);
  return std::chrono::duration_cast<CpuBudget::Duration>(std::min(time, longest));
}

} // namespace

CpuBudget::CpuBudget(double share, TimePoint now)
    : rate_(share * (1 - held_share)), capacity_seconds_(share * held_share * window.count()),
      level_seconds_(capacity_seconds_), as_of_(now) {}

void CpuBudget::change_share(double share, TimePoint now) {
  const double level = level_at(now);
  *this = CpuBudget(share, now);
  level_seconds_ = std::min(level, capacity_seconds_);
}

double CpuBudget::level_at(TimePoint now) const {
  return std::min(capacity_seconds_, level_seconds_ + rate_ * Seconds(now - as_of_).count());
}

void CpuBudget::spend(Duration cpu_time, TimePoint now) {
  level_seconds_ = level_at(now) - Seconds(cpu_time).count();
  as_of_ = now;
}

void CpuBudget::limit_debt(Duration pay_back, TimePoint now) {
  level_seconds_ = std::max(level_at(now), -rate_ * Seconds(pay_back).count());
  as_of_ = now;
}

CpuBudget::Duration CpuBudget::until(Duration cpu_time, TimePoint now) const {
  const double missing = std::min(Seconds(cpu_time).count(), capacity_seconds_) - level_at(now);
  return missing <= 0 ? Duration(0) : to_duration(Seconds(missing / rate_));
}

void SampleCost::note(Duration cpu_time) {
  if (last_.back().count() == 0)
    last_.fill(cpu_time);
  last_ = {last_[1], last_[2], cpu_time};
}

void SampleCost::note_at_most(Duration cpu_time) {
  if (cpu_time < typical())
    note(cpu_time);
}

SampleCost::Duration SampleCost::typical() const {
  std::array<Duration, 3> sorted = last_;
  std::sort(sorted.begin(), sorted.end());
  return std::min(sorted[1], last_.back());
}

Pace::Duration Pace::next(TimePoint now, Duration cost, QueueActivity activity, double rate,
                          Duration affordable_in) {
  const Duration calm_interval = interval(now, activity);
  if (activity == QueueActivity::filling)
    burst_until_ = now + after_filling;
  if (burst_until_ && now < *burst_until_)
    return std::max(limits_.burst_interval, affordable_in);
  const Duration sustainable = to_duration(Seconds(cost) / std::max(rest_share * rate, 1e-9));
  return std::max({calm_interval, sustainable, affordable_in});
}

Pace::Duration Pace::interval(TimePoint now, QueueActivity activity) {
  if (activity >= QueueActivity::waiting)
    idle_from_ = now + idle_after_waiting;
  else if (!idle_from_ || activity == QueueActivity::changed)
    idle_from_ = std::max(idle_from_.value_or(now), now + idle_after_change);
  const bool idle = activity == QueueActivity::none || now >= *idle_from_;
  return idle ? std::max(limits_.sample_interval, limits_.idle_interval.value_or(Duration(0)))
              : limits_.sample_interval;
}

} // namespace backlog
