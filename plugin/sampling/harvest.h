#pragma once

#include "boot_clock.h"
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

/// A listener's interval and the drops attributed to it.
struct ListenerHarvest {
  ListenerInterval interval;
  ListenCounters dropped; ///< segments in this interval, as far as known; see drops_known
  /// The part of dropped that an earlier harvest, which could not read the listener, had in its
  /// unlisted_drops.
  std::uint64_t counted_before = 0;
};

/// The listeners of one family.
struct FamilyHarvest {
  bool read = false;   ///< false if the last sample failed; listeners is then empty
  bool absent = false; ///< not read because the kernel lacks the module
  /// False if the namespace's counters could not be read, and always for Unix.
  bool drops_known = false;
  std::vector<ListenerHarvest> listeners;
  /// Sum of the listeners without a series of their own; interval.members is 0 if there are none.
  ListenerHarvest aggregate;
  /// Drops of listeners that could not be read, and of closed ones beyond those that are listed;
  /// also in the aggregate if they were part of it.
  std::uint64_t unlisted_drops = 0; ///< segments
  std::vector<NameCollision> collisions;
  std::size_t without_room = 0; ///< sockets that are not sampled for lack of room
};

/// One interval of a net namespace.
struct NamespaceHarvest {
  NamespaceLabel label;
  NetNamespaceId id;  ///< not set for collectd's own
  bool ended = false; ///< the namespace is gone since the last harvest
  FamilyHarvest tcp;
  std::optional<FamilyHarvest> unix_sockets; ///< empty if not configured
  std::optional<NetCounters> counters;
  std::uint64_t drops_moved = 0;   ///< segments in this interval, all TCP listeners together
  bool has_lost = false;           ///< a listening TCP socket closed, or is missing from the dump
  bool drops_known = false;        ///< false if ListenDrops could not be read
  std::uint64_t drops_counted = 0; ///< rise of ListenDrops, as far as the samples show
  BootClock::time_point counted_since; ///< start of its sampler
};

/// How the sampler fared; empty in the first interval, which is not a whole one.
struct SamplerFigures {
  std::optional<std::chrono::duration<double>> period; ///< mean time between TCP samples
  /// Mean time between two samples of one of the other namespaces; empty also if there are none.
  std::optional<std::chrono::duration<double>> others_period;
  std::optional<double> cpu_percent; ///< percent of one CPU for the whole thread and the events
  /// The events' level: 0 nothing, 1 peaks, 2 also drops, 3 also waits.
  std::optional<unsigned> events;
};

/// The sampler's answer to the read callback, once an interval.
struct Harvest {
  std::chrono::system_clock::time_point taken_at;
  BootClock::time_point taken_at_boot; ///< the same moment, whoever sets the clock afterwards
  std::chrono::steady_clock::time_point ended_at; ///< on the clock that ages refer to
  std::chrono::nanoseconds measured{0};           ///< time that the windows cover
  NamespaceHarvest own;
  std::vector<NamespaceHarvest> others;
  SamplerFigures sampler;
  std::vector<Fault> faults;
  std::vector<std::string> notices; ///< to be logged once
};

} // namespace backlog
