#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

namespace backlog {

/// How long a queue has been in its condition. A run can begin before the interval. Times are
/// measured between the samples that saw the condition.
struct QueueRuns {
  using Duration = std::chrono::nanoseconds;

  /// Longest run without an empty sample that holds a full one, of those that went on or ended in
  /// the interval; a pause that was drained ends one.
  Duration longest_full_run{0};
  Duration longest_full{0};      ///< longest run of full samples
  Duration not_empty_for{0};     ///< at the end: since it was last seen empty, or else first seen
  bool full_run_goes_on = false; ///< at the end: a run as in longest_full_run is under way
  /// Longest time during which nothing was accepted: no sample saw the queue fall, it was full, and
  /// afterwards it drained within drained_within.
  Duration longest_pause{0};
  /// The same for the run under way; 0 if the queue fell since it was full without draining.
  Duration full_untouched_for{0};
  Duration full_run_for{0}; ///< at the end: length of the run under way
  /// Longest time without a look in, before or after a run as in longest_full_run, of which little
  /// more was seen; 0 if that is less than longest_unseen.
  Duration unseen_for{0};
  double waited = 0; ///< connections x s: those that two samples in a row saw, between them
  std::uint32_t full_times = 0; ///< number of separate runs of full samples
};

/// Shorter than the pauses of a server that accepts once a second, whose clients come back at once.
constexpr std::chrono::milliseconds shortest_pause{500};
/// A server that accepts connections one by one takes longer than this.
constexpr std::chrono::seconds drained_within{1};

/// Longer than the time between two looks at Unix queues that are all empty.
constexpr std::chrono::milliseconds longest_unseen{1500};

/// Whether at most a quarter of a full queue is left; some of that may be new.
constexpr bool is_drained(std::uint64_t length, std::uint64_t full_length) {
  return 4 * length <= full_length;
}

/// A member in whose queue connections wait at the end of an interval. Since the run began no
/// sample has seen the queue fall, so it held at least `not_shrinking_from` connections throughout.
/// That does not prove a stall, because a new client may follow each accept() at once.
struct WaitingMember {
  std::uint64_t cookie = 0;
  std::uint32_t length = 0;                 ///< connections
  std::uint32_t not_shrinking_from = 0;     ///< connections in the first sample of the run
  QueueRuns::Duration not_shrinking_for{0}; ///< from that sample to the last
  /// At the end of the previous interval; 0 if the run began later.
  std::uint32_t length_before = 0;
};

/// Follows one queue from sample to sample.
class RunClock {
public:
  using TimePoint = std::chrono::steady_clock::time_point;

  /// Adds a sample taken now; the previous one was taken at `before`. length: connections waiting
  /// at all members; full: whether a member is full. Call it while the queue is not empty, and once
  /// when it becomes empty.
  /// accepted: at least so many were accepted from this queue since the previous sample; empty if
  /// unknown. Where refused clients come back at once, a drained queue is full again before the
  /// next sample.
  /// unseen: the part of the time since the previous sample of which nothing is known.
  void advance(std::uint64_t length, bool full, TimePoint before, TimePoint now,
               std::optional<std::uint64_t> accepted = std::nullopt,
               QueueRuns::Duration unseen = QueueRuns::Duration(0));
  /// Call it after a sample where advance() never gets `accepted`. of_all: connections accepted
  /// from all queues of the net namespace so far, less a constant. If that rises at once by most of
  /// a full queue, and hardly rose for the length of a pause, this queue was drained.
  void note_accepts_of_all(std::int64_t of_all, TimePoint before, TimePoint now);

  /// Whether the last sample was in a run as in QueueRuns::longest_full_run.
  bool holds_full() const { return held_full_ && length_ > 0; }

  /// Ends the interval with the last sample, taken at `last`. Runs go on in the next interval.
  QueueRuns end_interval(TimePoint last);

private:
  void note_accepts(std::uint64_t accepted, TimePoint before, TimePoint now,
                    std::optional<std::int64_t> of_all_then = std::nullopt);
  void note_full();
  void note_unseen(QueueRuns::Duration unseen, TimePoint now);
  void tell_unseen(TimePoint until);
  void end_pause_if_drained(TimePoint before, TimePoint now);
  void end_run(TimePoint before);
  QueueRuns::Duration untouched_for(TimePoint now) const;
  QueueRuns::Duration quiet_for(TimePoint now) const;
  bool are_most(const std::optional<std::int64_t> &of_all_then) const;
  bool goes_on_as_in_pause(TimePoint now) const;

  std::uint64_t length_ = 0;            ///< in the last sample
  double waited_ = 0;                   ///< in this interval
  TimePoint first_;                     ///< first sample of the run
  TimePoint last_empty_;                ///< sample before first_
  std::optional<TimePoint> first_full_; ///< first of the present row of full samples
  bool held_full_ = false;
  TimePoint untouched_since_;     ///< first sample of the run, or the last that saw the queue fall
  bool untouched_full_ = false;   ///< it has been full since then
  std::uint64_t full_length_ = 0; ///< highest length in a full sample of the run
  std::optional<TimePoint> pause_end_; ///< end of a pause that is proved only when the queue drains
  QueueRuns::Duration pause_{0};       ///< length of that pause
  std::uint64_t accepted_since_pause_ = 0; ///< connections, at least
  std::optional<std::int64_t> of_all_;     ///< last value that note_accepts_of_all() got in the run
  std::optional<std::int64_t> of_all_when_quiet_; ///< value at quiet_since_
  TimePoint quiet_since_; ///< since then hardly anything was accepted from any queue
  std::optional<std::int64_t> of_all_when_untouched_; ///< first value since untouched_since_
  TimePoint untouched_of_all_since_;                  ///< sample with that value
  std::optional<double> of_all_per_second_in_pause_;
  std::optional<std::int64_t> of_all_at_pause_end_;
  std::optional<std::int64_t> of_all_before_pause_end_;
  QueueRuns::Duration unseen_{0};           ///< longest of the run, and before or after it
  TimePoint unseen_until_;                  ///< end of the last of them
  QueueRuns::Duration unseen_for_{0};       ///< in this interval
  QueueRuns::Duration longest_pause_{0};    ///< in this interval
  std::uint32_t full_times_ = 0;            ///< in this interval
  QueueRuns::Duration longest_full_run_{0}; ///< in this interval
  QueueRuns::Duration longest_full_{0};     ///< in this interval
};

} // namespace backlog
