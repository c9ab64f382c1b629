#pragma once

#include "fault_log.h"
#include "net_limits.h"
#include "net_namespace.h"
#include "owner.h"
#include "waiting_clients.h"

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace backlog {

/// Lengths of the SYN queues at one moment.
struct SynQueueLengths {
  std::uint64_t total = 0;                          ///< half-open connections of the namespace
  std::map<std::string, std::uint64_t> by_listener; ///< only listeners that have any, by name
};

/// The connections waiting at a TCP listener, as a scan of all connections saw them.
struct TcpWaits {
  std::vector<std::chrono::milliseconds> ages; ///< how long each has waited, the longest first
  std::uint64_t oldest_cookie = 0;             ///< cookie of the connection that has waited longest
  /// Connections in the queue that the scan did not see, because their clients have reset them.
  std::uint64_t invisible = 0;

  /// Adds the connections at another address of the same listener.
  void add(TcpWaits more);
};

/// The queue of a Unix socket, as repeated looks at its clients saw it.
struct UnixWaits {
  std::chrono::nanoseconds none_accepted_for{0};  ///< the clients of that time ago all still wait
  std::optional<std::chrono::nanoseconds> oldest; ///< a lower bound
  bool accepted = false;                          ///< the last two looks prove an accept()
};

/// The readings of one net namespace, taken once an interval.
struct NamespaceSurvey {
  NetLimits limits;
  /// Empty if not configured, not needed or not available.
  std::optional<SynQueueLengths> syn_queues;
  std::map<std::string, TcpWaits> tcp_waits; ///< only listeners that were looked at, by name
  std::map<std::string, WaitingClients> tcp_clients; ///< likewise
};

/// The surveyor's answer to the read callback, once an interval.
struct Survey {
  /// End of the interval whose queues were looked at, see Harvest::ended_at; ages refer to it.
  std::chrono::steady_clock::time_point waits_of;
  NamespaceSurvey own;
  std::map<NetNamespaceId, NamespaceSurvey> others;
  std::unordered_map<std::uint64_t, UnixWaits> unix_waits; ///< by cookie, in all namespaces
  /// By cookie, in all namespaces; empty while no listener is in trouble.
  std::unordered_map<std::uint64_t, WaitingClients> unix_clients;
  std::unordered_map<std::uint64_t, Owner> owners; ///< by cookie, in all namespaces
  /// Unix listeners that no path leads to any more, by cookie.
  std::unordered_set<std::uint64_t> unreachable;
  std::vector<Fault> faults;
};

} // namespace backlog
