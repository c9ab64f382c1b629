#pragma once

#include <array>
#include <chrono>
#include <optional>

namespace backlog {

/// CPU time that may be spent: a token bucket that starts full. It holds a tenth of a minute's
/// worth and refills at nine tenths of the share, so that no minute takes more than the share,
/// unless one expense is larger than the bucket.
class CpuBudget {
public:
  using TimePoint = std::chrono::steady_clock::time_point;
  using Duration = std::chrono::nanoseconds;

  /// share: of one CPU; 0.005 for half a percent.
  CpuBudget(double share, TimePoint now);

  /// Changes the share; the bucket keeps its contents, up to its new size.
  void change_share(double share, TimePoint now);

  /// CPU seconds per second.
  double rate() const { return rate_; }
  void spend(Duration cpu_time, TimePoint now);
  /// Cancels debt that would take longer than this to pay back. Such debt piles up where work that
  /// must be done takes more than the share.
  void limit_debt(Duration pay_back, TimePoint now);
  /// Time until the bucket has cpu_time, or is full if it cannot hold that much.
  Duration until(Duration cpu_time, TimePoint now) const;

private:
  double level_at(TimePoint now) const;

  double rate_;
  double capacity_seconds_;
  double level_seconds_;
  TimePoint as_of_;
};

/// The cost of a sample: the median of the last three, or the last one if that is less. Otherwise
/// one expensive sample, after an interrupt or with cold caches, would be followed by seconds
/// without samples. The budget still pays what each sample really costs.
class SampleCost {
public:
  using Duration = CpuBudget::Duration;

  void note(Duration cpu_time);
  /// Notes a sample that was taken along with other work and cost no more than cpu_time.
  void note_at_most(Duration cpu_time);
  /// Returns 0 before the first sample.
  Duration typical() const;

private:
  std::array<Duration, 3> last_{};
};

/// How busy all queues of a family were in a sample; the last that applies.
enum class QueueActivity {
  none,    ///< there are no queues
  empty,   ///< all queues are empty
  changed, ///< a member came or went
  waiting, ///< a queue is not empty
  filling, ///< see ListenerSet::filling()
};

/// The intervals between samples.
struct PaceLimits {
  CpuBudget::Duration sample_interval; ///< at rest
  CpuBudget::Duration burst_interval;  ///< while a queue is filling, and for a while after
  /// While there are no queues, or when all have been empty for a minute and no member came or went
  /// for ten seconds; nullopt for sample_interval.
  std::optional<CpuBudget::Duration> idle_interval{};
};

class Pace {
public:
  using TimePoint = CpuBudget::TimePoint;
  using Duration = CpuBudget::Duration;

  explicit Pace(PaceLimits limits) : limits_(limits) {}

  /// Returns the time from a sample just taken to the next.
  /// @param cost  CPU time of that sample
  /// @param rate  CPU time a second that samples at rest may take
  /// time until the budget has the cost of another sample
  Duration next(TimePoint now, Duration cost, QueueActivity activity, double rate,
                Duration affordable_in);

private:
  Duration interval(TimePoint now, QueueActivity activity);

  PaceLimits limits_;
  std::optional<TimePoint> burst_until_;
  std::optional<TimePoint> idle_from_;
};

} // namespace backlog
