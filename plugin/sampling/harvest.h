#pragma once

#include "drop_ledger.h"
#include "fault_log.h"
#include "listener_set.h"
#include "net_counters.h"
#include "net_namespace.h"

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

namespace backlog {

/// A listener's interval and whose drops it was found to have had.
struct ListenerHarvest {
  ListenerInterval interval;
  ListenCounters dropped; ///< in this interval, segments; as far as is known, see drops_known
  /// Of the drops: those among the unlisted_drops of an earlier harvest, which could not read it.
  std::uint64_t told_before = 0;
};

/// The listeners of one kind.
struct FamilyHarvest {
  bool read = false;        ///< false: the last sample failed, listeners is empty
  bool absent = false;      ///< not read, since the kernel has no part that could tell of any
  bool drops_known = false; ///< false: the namespace's counters could not be read; always for Unix
  std::vector<ListenerHarvest> listeners;
  ListenerHarvest aggregate; ///< those without a series of their own; interval.members 0: none
  /// Of listeners that went, more than are told one by one, and of those that could not be read.
  /// As far as they are the aggregate's, there too.
  std::uint64_t unlisted_drops = 0; ///< segments
  std::vector<ListenerSet::Collision> collisions;
  std::size_t without_room = 0; ///< sockets that no account is kept of
};

/// One net namespace's interval.
struct NamespaceHarvest {
  NamespaceLabel label;
  NetNamespaceId id;  ///< not of collectd's own
  bool ended = false; ///< since the last harvest
  FamilyHarvest tcp;
  std::optional<FamilyHarvest> unix_sockets; ///< empty: not asked for
  std::optional<NetCounters> counters;
  std::uint64_t drops_moved = 0;   ///< segments in this interval, of all TCP listeners together
  bool has_lost = false;           ///< a listening TCP socket went, or is missing
  bool drops_known = false;        ///< false: ListenDrops could not be read
  std::uint64_t drops_counted = 0; ///< what ListenDrops rose by, as far as the samples tell
  std::chrono::steady_clock::time_point counted_since; ///< when its sampler began
};

/// How the sampler fared; empty in the first interval, which is none.
struct SamplerFigures {
  std::optional<std::chrono::duration<double>> period; ///< between TCP samples, mean
  /// Between two samples of one of the other namespaces, mean; also empty if there are none.
  std::optional<std::chrono::duration<double>> others_period;
  std::optional<double> cpu_percent; ///< of one CPU, all of the thread, and of events
  /// What they tell: 0 nothing, 1 peaks, 2 drops too, 3 waits too.
  std::optional<unsigned> events;
};

/// What the sampler gives to the read callback.
struct Harvest {
  std::chrono::system_clock::time_point taken_at;
  std::chrono::steady_clock::time_point ended_at; ///< by the clock that ages are measured by
  std::chrono::nanoseconds measured{0};           ///< the span that the windows cover
  NamespaceHarvest own;
  std::vector<NamespaceHarvest> others;
  SamplerFigures sampler;
  std::vector<Fault> faults;
  std::vector<std::string> notices; ///< to be said once
};

} // namespace backlog
