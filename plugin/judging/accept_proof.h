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

} // namespace backlog
