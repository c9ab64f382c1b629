#include "scan_planner.h"

#include <algorithm>
#include <array>
#include <utility>

namespace backlog {

namespace {

/// Counters that rise when a SYN queue has been full.
constexpr std::array syn_counters{Counter::TCPReqQFullDrop, Counter::TCPReqQFullDoCookies,
                                  Counter::SyncookiesSent};

/// A queue that has not been empty for so long may be what another server waits for.
constexpr std::chrono::seconds waited_at_for{1};
/// The kernel filters connections by at most so many ports, see SockDiag::dump_waiting().
constexpr std::size_t most_ports = 64;

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
  requests.any_trouble =
      is_in_trouble(harvest.own) ||
      std::any_of(harvest.others.begin(), harvest.others.end(),
                  [this](const NamespaceHarvest &other) { return is_in_trouble(other); });
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
  if (!requests.any_trouble)
    return;
  std::set<std::uint16_t> further;
  for (const ListenerHarvest &listener : harvest.tcp.listeners)
    if (ports.size() + further.size() < most_ports && listener.interval.queue.last > 0 &&
        listener.interval.runs.not_empty_for >= waited_at_for &&
        !ports.contains(listener.interval.identity.port))
      further.insert(listener.interval.identity.port);
  if (!further.empty())
    requests.further_ports[harvest.id].assign(further.begin(), further.end());
}

std::vector<std::uint16_t> ScanRequests::ports_of(NetNamespaceId net_namespace) const {
  std::set<std::uint16_t> ports;
  for (const auto *of : {&wait_ports, &further_ports})
    if (const auto found = of->find(net_namespace); found != of->end())
      ports.insert(found->second.begin(), found->second.end());
  return {ports.begin(), ports.end()};
}

bool ScanPlanner::is_in_trouble(const NamespaceHarvest &harvest) const {
  const auto any = [this](const FamilyHarvest &family) {
    return std::any_of(family.listeners.begin(), family.listeners.end(),
                       [this](const ListenerHarvest &listener) {
                         return asks_for_oldest_wait(listener.interval, thresholds_);
                       });
  };
  return any(harvest.tcp) || (harvest.unix_sockets && any(*harvest.unix_sockets));
}

} // namespace backlog
