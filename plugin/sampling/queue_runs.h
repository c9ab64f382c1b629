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
  /// Longest time without a sample that saw the queue fall, in which it was full, and after which
  /// it was drained within drained_within: so long nobody was accepted.
  Duration longest_pause{0};
  /// At the end, likewise of the run that goes on; 0: it fell since it was full, and not to drain.
  Duration full_untouched_for{0};
  Duration full_run_for{0};     ///< at the end, of the run that goes on
  std::uint32_t full_times = 0; ///< separate runs of full samples
};

/// From the first retransmission of a SYN on, TCP_TIMEOUT_INIT (include/net/tcp.h).
constexpr std::chrono::seconds shortest_pause{1};
/// Who accepts one after the other takes longer than that.
constexpr std::chrono::seconds drained_within{1};

/// Whether of a full queue a quarter or less is left, some of whom have just come.
constexpr bool is_drained(std::uint64_t length, std::uint64_t full_length) {
  return 4 * length <= full_length;
}

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
  void note_fall(std::uint64_t length, TimePoint before, TimePoint now);

  std::uint64_t length_ = 0;            ///< in the last sample
  TimePoint first_;                     ///< the first sample of the run
  TimePoint last_empty_;                ///< the sample before that one
  std::optional<TimePoint> first_full_; ///< of the full samples up to now
  bool held_full_ = false;
  TimePoint untouched_since_;               ///< the first sample, or the last one that saw a fall
  bool untouched_full_ = false;             ///< it was full since then
  std::uint64_t full_length_ = 0;           ///< the most in a full sample of the run
  std::optional<TimePoint> pause_end_;      ///< of a pause that a drained queue is to prove
  QueueRuns::Duration pause_{0};            ///< likewise
  QueueRuns::Duration longest_pause_{0};    ///< of this interval
  std::uint32_t full_times_ = 0;            ///< of this interval
  QueueRuns::Duration longest_full_run_{0}; ///< of this interval
  QueueRuns::Duration longest_full_{0};     ///< of this interval
};

} // namespace backlog
