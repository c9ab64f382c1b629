#pragma once

#include "event_layout.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

namespace backlog {

/// How long connections waited until they were accepted.
struct Waits {
  using Seconds = std::chrono::duration<double>;

  std::uint64_t accepted = 0; ///< connections that the figures are of
  Seconds mean{0};
  Seconds p50{0}; ///< within the bucket of jiffies, by interpolation; likewise p99
  Seconds p99{0};
};

/// What the kernel told of one listening socket in an interval.
struct SocketEvents {
  std::uint64_t added = 0; ///< connections that came into its accept queue
  /// The longest that its queue was right after an addition; empty: there was none.
  std::optional<std::uint32_t> peak;
  /// The same of the sum over its SO_REUSEPORT group, after an addition to this one.
  std::optional<std::uint32_t> group_peak;
  std::uint32_t limit = 0;      ///< at the last addition
  std::uint64_t freed = 0;      ///< segments that sk_drops counts and ListenDrops does not
  std::uint64_t overflowed = 0; ///< of those, final ACKs and data that found the queue full
  double waited = 0;            ///< connections x s in the queue, up to the last addition, at least
  std::optional<Waits> waits;
  event_counts socket{}; ///< whose it is: address, family, net namespace; as it was first seen
  bool known = false;    ///< a dump has it
};

/// One reading of the maps.
struct EventReading {
  bool is_whole = false;    ///< the programs ran during all of the interval
  bool tells_drops = false; ///< freed is counted
  std::unordered_map<std::uint64_t, SocketEvents> sockets; ///< by cookie
};

/// Entries of a map, as the kernel gives them.
template <class Value> struct EventEntries {
  std::span<const std::uint64_t> cookies;
  std::span<const Value> values;
};
struct RawEvents {
  EventEntries<event_counts> counts;
  EventEntries<event_frees> frees;
  EventEntries<event_waits> waits;
  std::uint32_t epoch = 0;                   ///< that the reading ends
  std::optional<std::uint32_t> jiffies_rate; ///< a second; empty: not known yet
};

/// Makes intervals of what the maps hold, which only ever grows.
class EventBook {
public:
  EventReading read(const RawEvents &raw);
  /// Whether the next reading has more of a socket than the last one.
  bool would_rise(std::uint64_t cookie, const event_counts &now) const;
  /// After the dumps of the interval have marked the sockets that they have: those to be deleted
  /// from the maps, being closed or in a net namespace that is not looked into. A socket may be
  /// missing from a single dump.
  std::vector<std::uint64_t> forget_dead(const EventReading &reading);

private:
  struct Entry {
    event_counts counts{};
    event_frees frees{};
    event_waits waits{};
    unsigned unknown_for = 0; ///< readings
  };

  std::unordered_map<std::uint64_t, Entry> entries_;
};

/// The peak of an epoch in the slots of event_counts; empty: nothing was added in it.
std::optional<std::uint32_t> peak_of(const __u64 (&slots)[2], std::uint32_t epoch);

/// before and now: of one map entry; empty: nobody was accepted in between.
std::optional<Waits> waits_between(const event_waits &before, const event_waits &now,
                                   std::uint32_t jiffies_rate);

/// CONFIG_HZ, by two moments of both clocks that are a second or more apart.
std::optional<std::uint32_t> jiffies_rate(const event_control &control);

} // namespace backlog
