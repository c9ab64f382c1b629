#pragma once

#include "harvest.h"

#include <chrono>
#include <cstdint>
#include <map>
#include <set>
#include <vector>

namespace backlog {

/// From when on it is worth a scan of all connections to know how long a listener's oldest
/// connection has waited.
struct WaitThresholds {
  std::chrono::nanoseconds stalled_after;
  double warning_percent;
};

/// The time since the queue was last seen empty bounds the oldest wait; no scan is needed where
/// that is short and the queue is not in trouble, nor where no one waits any more.
bool asks_for_oldest_wait(const ListenerInterval &interval, const WaitThresholds &thresholds);

/// Which scans of all connections an interval gives reason for.
struct ScanRequests {
  std::chrono::steady_clock::time_point of; ///< the end of the interval, as Harvest::ended_at
  /// Other net namespaces whose half-open connections are to be counted: a queue was not empty, or
  /// a counter of full SYN queues moved.
  std::set<NetNamespaceId> syn_queues;
  /// Ports whose oldest waiting connection is to be found, by net namespace; collectd's own is
  /// NetNamespaceId{}.
  std::map<NetNamespaceId, std::vector<std::uint16_t>> wait_ports;
};

class ScanPlanner {
public:
  explicit ScanPlanner(WaitThresholds thresholds) : thresholds_(thresholds) {}

  /// Once a harvest.
  ScanRequests plan(const Harvest &harvest);

private:
  void add_wait_ports(const NamespaceHarvest &harvest, ScanRequests &requests) const;

  WaitThresholds thresholds_;
  std::map<NetNamespaceId, NetCounters> last_counters_;
};

} // namespace backlog
