#include "scan_planner.h"

#include <algorithm>
#include <array>
#include <utility>

namespace backlog {

namespace {

/// Counters that rise when a SYN queue has been full.
constexpr std::array syn_counters{Counter::TCPReqQFullDrop, Counter::TCPReqQFullDoCookies,
                                  Counter::SyncookiesSent};

bool any_waiting(const NamespaceHarvest &harvest) {
  return std::any_of(
      harvest.tcp.listeners.begin(), harvest.tcp.listeners.end(),
      [](const ListenerHarvest &listener) { return listener.interval.queue.peak > 0; });
}

} // namespace

bool asks_for_oldest_wait(const ListenerInterval &interval, const WaitThresholds &thresholds) {
  return interval.queue.last > 0 && (interval.runs.not_empty_for >= thresholds.stalled_after ||
                                     interval.queue.used_percent >= thresholds.warning_percent);
}

ScanRequests ScanPlanner::plan(const Harvest &harvest) {
  ScanRequests requests;
  requests.of = harvest.ended_at;
  add_wait_ports(harvest.own, requests);
  std::map<NetNamespaceId, NetCounters> counters;
  for (const NamespaceHarvest &other : harvest.others) {
    add_wait_ports(other, requests);
    const auto before = last_counters_.find(other.id);
    const bool moved = other.counters && before != last_counters_.end() &&
                       std::any_of(syn_counters.begin(), syn_counters.end(), [&](Counter counter) {
                         return (*other.counters)[counter] != before->second[counter];
                       });
    if (moved || any_waiting(other))
      requests.syn_queues.insert(other.id);
    if (other.counters)
      counters.emplace(other.id, *other.counters);
  }
  last_counters_ = std::move(counters);
  return requests;
}

void ScanPlanner::add_wait_ports(const NamespaceHarvest &harvest, ScanRequests &requests) const {
  std::set<std::uint16_t> ports;
  for (const ListenerHarvest &listener : harvest.tcp.listeners)
    if (asks_for_oldest_wait(listener.interval, thresholds_))
      ports.insert(listener.interval.identity.port);
  if (!ports.empty())
    requests.wait_ports[harvest.id].assign(ports.begin(), ports.end());
}

} // namespace backlog
