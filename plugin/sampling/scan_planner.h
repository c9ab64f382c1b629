#pragma once

#include "harvest.h"

#include <chrono>
#include <cstdint>
#include <map>
#include <set>
#include <vector>

namespace backlog {

/// From when on a listener's oldest wait is worth a scan of all connections.
struct WaitThresholds {
  std::chrono::nanoseconds stalled_after;
  double warning_percent;
};

/// Whether to scan for the oldest wait. The time since the queue was last seen empty is an upper
/// bound, so no scan is needed if that is short and the queue is not in trouble, or if nobody waits
/// any more.
bool asks_for_oldest_wait(const ListenerInterval &interval, const WaitThresholds &thresholds);

/// The scans of all connections that an interval gives reason for.
struct ScanRequests {
  std::chrono::steady_clock::time_point of; ///< end of that interval, see Harvest::ended_at
  /// Other net namespaces in which to count half-open connections, because a queue was not empty or
  /// a counter of full SYN queues rose.
  std::set<NetNamespaceId> syn_queues;
  /// Ports at which to find the oldest waiting connection, by net namespace; collectd's own is
  /// NetNamespaceId{}.
  std::map<NetNamespaceId, std::vector<std::uint16_t>> wait_ports;
  /// Whether a listener is in trouble, TCP or Unix.
  bool any_trouble = false;
  /// In that case, ports of others that have had a queue for a while, likewise: the owner of the
  /// one in trouble may wait there.
  std::map<NetNamespaceId, std::vector<std::uint16_t>> further_ports = {};

  /// All these ports of a namespace, in order.
  std::vector<std::uint16_t> ports_of(NetNamespaceId net_namespace) const;
};

class ScanPlanner {
public:
  explicit ScanPlanner(WaitThresholds thresholds) : thresholds_(thresholds) {}

  /// Call it once a harvest.
  ScanRequests plan(const Harvest &harvest);

private:
  void add_wait_ports(const NamespaceHarvest &harvest, ScanRequests &requests) const;
  bool is_in_trouble(const NamespaceHarvest &harvest) const;

  WaitThresholds thresholds_;
  std::map<NetNamespaceId, NetCounters> last_counters_;
};

} // namespace backlog
