#pragma once

#include "fault_log.h"
#include "listener_set.h"
#include "net_counters.h"
#include "net_limits.h"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace backlog {

/// A listener's interval and whose drops it was found to have had.
struct ListenerHarvest {
  ListenerInterval interval;
  ListenCounters dropped; ///< in this interval: segments, and those of them that were overflows
};

/// One net namespace's interval.
struct NamespaceHarvest {
  bool listeners_read = false; ///< false: the last sample failed, listeners is empty
  std::vector<ListenerHarvest> tcp;
  ListenerHarvest tcp_fold; ///< those without a series of their own; interval.members 0: none
  std::optional<NetCounters> counters;
  std::optional<std::uint64_t> drops_unattributed; ///< since the plugin's baseline
};

/// What the sampler gives to the read callback.
struct Harvest {
  std::chrono::system_clock::time_point taken_at;
  std::chrono::nanoseconds measured{0}; ///< the span that the windows cover
  NamespaceHarvest own;
  std::vector<Fault> faults;
};

/// What the surveyor gives to the read callback.
struct Survey {
  NetLimits limits;
  std::vector<Fault> faults;
};

} // namespace backlog
