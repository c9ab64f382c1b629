#pragma once

#include <array>
#include <chrono>
#include <optional>

namespace backlog {

/// CPU time that may be spent: a token bucket, full at the beginning. It holds a tenth of a
/// minute's worth and is filled at nine tenths of the share, so that no minute sees more than the
/// share, but for a spending that is larger than the bucket.
class CpuBudget {
public:
  using TimePoint = std::chrono::steady_clock::time_point;
  using Duration = std::chrono::nanoseconds;

  /// share: of one CPU, 0.005 for half a percent.
  CpuBudget(double share, TimePoint now);

  /// What is in the bucket stays there, as far as it has room.
  void change_share(double share, TimePoint now);

  /// CPU time a second.
  double rate() const { return rate_; }
  void spend(Duration cpu_time, TimePoint now);
  /// Lets no debt stand that takes longer than this to pay back, as it piles up where work that is
  /// done in any case takes more than the share.
  void limit_debt(Duration pay_back, TimePoint now);
  /// How long until so much is there; what cannot be held at all is there when the bucket is full.
  Duration until(Duration cpu_time, TimePoint now) const;

private:
  double level_at(TimePoint now) const;

  double rate_;
  double capacity_seconds_;
  double level_seconds_;
  TimePoint as_of_;
};

/// What a sample costs: the median of the last three, or the last one if that is less. A single
/// dear one, as an interrupt or cold caches make it, would else be followed by seconds without any,
/// and so would the first cheap one; what each costs is spent all the same.
class SampleCost {
public:
  using Duration = CpuBudget::Duration;

  void note(Duration cpu_time);
  /// A sample was taken among other work, and cost no more than that.
  void note_at_most(Duration cpu_time);
  /// 0 before the first.
  Duration typical() const;

private:
  std::array<Duration, 3> last_{};
};

/// What a sample has seen of all queues of a kind: the most that holds.
enum class QueueActivity {
  none,    ///< there are none
  empty,   ///< all
  changed, ///< a member came or went
  waiting, ///< a queue is not empty
  filling, ///< as in ListenerSet::filling()
};

/// When to take the next sample.
struct PaceLimits {
  CpuBudget::Duration sample_interval; ///< at rest
  CpuBudget::Duration burst_interval;  ///< while a queue is filling, and a while on
  /// While there are no queues, or when all have been empty for a minute, and no member has come or
  /// gone for ten seconds; nullopt: as at rest.
  std::optional<CpuBudget::Duration> idle_interval{};
};

class Pace {
public:
  using TimePoint = CpuBudget::TimePoint;
  using Duration = CpuBudget::Duration;

  explicit Pace(PaceLimits limits) : limits_(limits) {}

  /// The time from a sample that has just been taken to the next.
  /// @param cost  CPU time of that sample
  /// @param rate  CPU time a second that samples at rest may take
  /// @param affordable_in  how long until the budget has the cost of another sample
  Duration next(TimePoint now, Duration cost, QueueActivity activity, double rate,
                Duration affordable_in);

private:
  Duration interval(TimePoint now, QueueActivity activity);

  PaceLimits limits_;
  std::optional<TimePoint> burst_until_;
  std::optional<TimePoint> idle_from_;
};

} // namespace backlog
