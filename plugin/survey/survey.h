#pragma once

#include "fault_log.h"
#include "net_limits.h"
#include "net_namespace.h"
#include "owner.h"

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace backlog {

/// SYN queues, counted once.
struct SynQueueLengths {
  std::uint64_t total = 0;                          ///< half-open connections of the namespace
  std::map<std::string, std::uint64_t> by_listener; ///< those that have any, by name
};

/// Those who wait at a TCP listener, as a scan of all connections has seen them.
struct TcpWaits {
  std::vector<std::chrono::milliseconds> ages; ///< how long each has waited, oldest first
  std::uint64_t oldest_cookie = 0;             ///< of the connection that has waited longest
  /// Connections in the queue that the scan has not seen: their clients have reset them.
  std::uint64_t invisible = 0;

  /// What waits at another address of the same listener.
  void add(TcpWaits more);
};

/// The queue of a Unix socket, as looks at those who wait in it have seen it.
struct UnixWaits {
  std::chrono::nanoseconds none_accepted_for{0};  ///< those that waited so long ago still wait
  std::optional<std::chrono::nanoseconds> oldest; ///< it has waited so long, or longer
  bool accepted = false;                          ///< somebody was, between the last two looks
};

/// What is read once an interval in one net namespace.
struct NamespaceSurvey {
  NetLimits limits;
  std::optional<SynQueueLengths> syn_queues; ///< empty: not asked for, not needed, or not to be had
  std::map<std::string, TcpWaits> tcp_waits; ///< of the listeners looked at, by name
};

/// What the surveyor gives to the read callback.
struct Survey {
  /// The end of the interval whose queues were looked at, as Harvest::ended_at; ages are as of
  /// then.
  std::chrono::steady_clock::time_point waits_of;
  NamespaceSurvey own;
  std::map<NetNamespaceId, NamespaceSurvey> others;
  std::unordered_map<std::uint64_t, UnixWaits> unix_waits; ///< by cookie, of all namespaces
  std::unordered_map<std::uint64_t, Owner> owners;         ///< by cookie, of all namespaces
  /// Unix listeners to whose files nothing leads any more, by cookie.
  std::unordered_set<std::uint64_t> unreachable;
  std::vector<Fault> faults;
};

} // namespace backlog
