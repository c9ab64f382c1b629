#pragma once

#include "queue_runs.h"
#include "survey.h"

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>

namespace backlog {

/// Findings at the end of an interval about a queue in which connections wait.
struct AcceptFacts {
  using Duration = std::chrono::nanoseconds;

  std::optional<Duration> oldest_wait;       ///< lower bound, from the connections that can be seen
  std::optional<Duration> none_accepted_for; ///< of a member; empty if not looked at
  bool accepted = false;                     ///< a look has proved a recent accept()
};

/// A TCP listener's queue, as samples and scans saw it.
struct TcpQueue {
  using Duration = AcceptFacts::Duration;

  std::span<const WaitingMember> members; ///< members whose queue is not empty
  Duration measured{0};                   ///< length of the interval
  const TcpWaits *waits = nullptr;        ///< nullptr if not looked at
  Duration oldest_unmoved_for{0};         ///< how long the same connection has been the oldest
};

/// Tests whether nothing was accepted for a while. A queue is first in, first out: in that case the
/// connections that waited at the beginning still wait, and are older than the while. A scan
/// refutes that if too few of the connections it sees are so old; those it does not see may be. A
/// scan cannot tell members apart. So the test is made for all members together that have not been
/// seen to shrink for `stalled_after`, then for half of it, and for each member whether its
/// connections can all be among the unseen.
AcceptFacts tcp_accept_facts(const TcpQueue &queue, AcceptFacts::Duration stalled_after);

/// The same for a Unix listener, where the looks prove it directly.
AcceptFacts unix_accept_facts(std::span<const WaitingMember> members,
                              const std::unordered_map<std::uint64_t, UnixWaits> &waits);

/// A queue since the last look, as the samples saw it at the end of an interval without a look.
struct UnlookedQueue {
  using Duration = AcceptFacts::Duration;

  std::uint64_t length = 0; ///< connections
  std::uint32_t members = 1;
  Duration not_empty_for{0};
  Duration not_shrinking_for{0};         ///< of the member that has not shrunk for longest
  std::optional<std::uint64_t> accepted; ///< connections in this interval, as events count them
};

/// The last look, if it found that nobody is accepted, or too late. Scans take turns, and an
/// interval without a look is no sign that the stall is over.
class StallFound {
public:
  using TimePoint = std::chrono::steady_clock::time_point;

  /// length: connections that waited at that time.
  void note_look(const AcceptFacts &facts, AcceptFacts::Duration stalled_after,
                 std::uint64_t length, TimePoint as_of);
  /// Returns what still holds of it at the end of an interval without a look; nothing once all who
  /// waited then may have been accepted. A queue that has shrunk is accepted from.
  AcceptFacts without_look(const UnlookedQueue &queue, TimePoint now);

private:
  std::optional<AcceptFacts> facts_;
  std::uint64_t length_ = 0;   ///< connections
  std::uint64_t accepted_ = 0; ///< connections since then
  TimePoint as_of_;
};

} // namespace backlog
