#pragma once

#include "drops.h"
#include "fault_log.h"
#include "listener_set.h"
#include "net_counters.h"
#include "net_limits.h"

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace backlog {

/// A listener's interval and whose drops it was found to have had.
struct ListenerHarvest {
  ListenerInterval interval;
  ListenCounters dropped; ///< in this interval, segments; always 0 for Unix, which has no counter
};

/// The listeners of one kind.
struct KindHarvest {
  bool read = false; ///< false: the last sample failed, listeners is empty
  std::vector<ListenerHarvest> listeners;
  ListenerHarvest fold; ///< those without a series of their own; interval.members 0: none
  std::vector<ListenerSet::Collision> collisions;
};

/// One net namespace's interval.
struct NamespaceHarvest {
  KindHarvest tcp;
  std::optional<KindHarvest> unix_sockets; ///< empty: not asked for
  std::optional<NetCounters> counters;
  std::optional<std::uint64_t> drops_unattributed; ///< segments since the plugin's baseline
};

/// How the sampler fared; empty in the first interval, which is none.
struct SamplerFigures {
  std::optional<std::chrono::duration<double>> period; ///< between TCP samples, mean
  std::optional<double> cpu_percent;                   ///< of one CPU, all of the thread
};

/// What the sampler gives to the read callback.
struct Harvest {
  std::chrono::system_clock::time_point taken_at;
  std::chrono::nanoseconds measured{0}; ///< the span that the windows cover
  NamespaceHarvest own;
  SamplerFigures sampler;
  std::vector<Fault> faults;
};

/// SYN queues, counted once.
struct SynQueues {
  std::uint64_t total = 0;                          ///< half-open connections of the namespace
  std::map<std::string, std::uint64_t> by_listener; ///< those that have any, by name
};

/// What the surveyor gives to the read callback.
struct Survey {
  NetLimits limits;
  std::optional<SynQueues> syn_queues; ///< empty: not asked for, or not to be had
  std::vector<Fault> faults;
};

} // namespace backlog
