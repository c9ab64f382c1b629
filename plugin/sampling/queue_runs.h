#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

namespace backlog {

/// How long a queue has been as it is. Runs cross the ends of intervals; lengths of time are
/// between samples that saw it so.
struct QueueRuns {
  using Duration = std::chrono::nanoseconds;

  Duration longest_full_run{0};  ///< longest run without an empty sample that holds a full one
  Duration longest_full{0};      ///< longest run of full samples
  Duration not_empty_for{0};     ///< at the end, since it was last seen empty, or first seen at all
  bool full_run_goes_on = false; ///< at the end, one as of longest_full_run
};

/// A member in whose queue connections wait at the end of an interval. No sample of this while
/// has seen the queue fall, so that it held `not_shrinking_from` connections or more throughout.
/// That proves nothing: a new client may follow each accept() at once.
struct WaitingMember {
  std::uint64_t cookie = 0;
  std::uint32_t length = 0;                 ///< connections
  std::uint32_t not_shrinking_from = 0;     ///< connections in the first sample of the while
  QueueRuns::Duration not_shrinking_for{0}; ///< from that sample to the last one
  /// At the end of the interval before; 0 where the while began later.
  std::uint32_t length_before = 0;
};

/// Follows one queue from sample to sample.
class RunClock {
public:
  using TimePoint = std::chrono::steady_clock::time_point;

  /// A sample taken now, the one before was taken at `before`. length: connections waiting, of all
  /// members together; full: whether a member was full. To be called while the queue is not empty,
  /// and once when it has become so.
  void advance(std::uint64_t length, bool full, TimePoint before, TimePoint now);

  /// Ends the interval with the last sample, taken at `last`. Runs go on in the next one.
  QueueRuns end_interval(TimePoint last);

private:
  std::uint64_t length_ = 0;            ///< in the last sample
  TimePoint first_;                     ///< the first sample of the run
  TimePoint last_empty_;                ///< the sample before that one
  std::optional<TimePoint> first_full_; ///< of the full samples up to now
  bool held_full_ = false;
  QueueRuns::Duration longest_full_run_{0}; ///< of this interval
  QueueRuns::Duration longest_full_{0};     ///< of this interval
};

} // namespace backlog
