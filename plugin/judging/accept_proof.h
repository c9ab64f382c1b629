#pragma once

#include "queue_runs.h"
#include "survey.h"

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>

namespace backlog {

/// Of what is known at the end of an interval about a queue in which somebody waits.
struct AcceptFacts {
  using Duration = std::chrono::nanoseconds;

  std::optional<Duration> oldest_wait;       ///< of the connections that can be seen; at least
  std::optional<Duration> none_accepted_for; ///< of a member; empty: not looked at
  bool accepted = false;                     ///< a look has proved that somebody was, lately
};

/// What may be asked of the queue of a TCP listener.
struct TcpQueue {
  using Duration = AcceptFacts::Duration;

  std::span<const WaitingMember> members; ///< those in whose queue somebody waits
  Duration measured{0};                   ///< the interval
  const TcpWaits *waits = nullptr;        ///< nullptr: not looked at
  Duration oldest_unmoved_for{0};         ///< how long the same connection has been the oldest
};

/// A queue is first in, first out: if nobody was accepted for a while, those that waited at its
/// beginning still wait, and have waited for longer than it. What a scan sees refutes that where
/// too few of the connections are so old; those that it does not see may be. Several members cannot
/// be told apart in a scan: there it is asked of all together that have not been seen to shrink for
/// `stalled_after`, and for half of it, and of each one whether what it held can be among the
/// unseen.
AcceptFacts tcp_accept_facts(const TcpQueue &queue, AcceptFacts::Duration stalled_after);

/// The same of a Unix listener, whose looks have proved it by themselves.
AcceptFacts unix_accept_facts(std::span<const WaitingMember> members,
                              const std::unordered_map<std::uint64_t, UnixWaits> &waits);

} // namespace backlog
