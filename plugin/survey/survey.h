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
#include <vector>

namespace backlog {

/// SYN queues, counted once.
struct SynQueues {
  std::uint64_t total = 0;                          ///< half-open connections of the namespace
  std::map<std::string, std::uint64_t> by_listener; ///< those that have any, by name
};

/// What is read once an interval in one net namespace.
struct NamespaceSurvey {
  NetLimits limits;
  std::optional<SynQueues> syn_queues; ///< empty: not asked for, not needed, or not to be had
  std::map<std::string, std::chrono::milliseconds> oldest_waits; ///< those looked at, by name
};

/// What the surveyor gives to the read callback.
struct Survey {
  NamespaceSurvey own;
  std::map<NetNamespaceId, NamespaceSurvey> others;
  std::unordered_map<std::uint64_t, Owner> owners; ///< by cookie, of all namespaces
  std::vector<Fault> faults;
};

} // namespace backlog
