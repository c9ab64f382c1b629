#pragma once

#include "event_layout.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

namespace backlog {

/// How long connections waited until accept() took them.
struct Waits {
  using Seconds = std::chrono::duration<double>;

  std::uint64_t accepted = 0; ///< connections that the figures describe
  Seconds mean{0};
  Seconds p50{0}; ///< interpolated within its bucket of jiffies, like p99
  Seconds p99{0};
};

/// Bounds of the waits of accepted connections, as counts per step of event_bounds; empty if none
/// was accepted.
struct WaitBounds {
  std::vector<std::uint32_t> low;
  std::vector<std::uint32_t> high;

  void add(const WaitBounds &more);
  std::uint64_t accepted() const;
};

/// How long all but a share of the accepted connections had waited at most. It is never less than
/// the truth, and at most twice as much where it is above shortest_told_wait; empty where so much
/// is not known. accepted: by the counts of the queue, of which the bounds must know most.
constexpr std::chrono::milliseconds shortest_told_wait{25};
std::optional<Waits::Seconds> told_quantile(const WaitBounds &bounds, double share,
                                            std::uint64_t accepted);

/// How many waits are known to be at most that long.
std::uint64_t waits_within(const WaitBounds &bounds, std::chrono::duration<double> longest);

/// The bounds of waits that were counted in jiffies.
WaitBounds bounds_of_jiffies(const event_waits &before, const event_waits &now,
                             std::uint32_t jiffies_rate);

/// The shortest wait that event_bound_of() counts in that step.
std::chrono::microseconds begin_of_bound(std::size_t step);

/// Segments freed for a listening socket since the programs were attached.
struct FreedSegments {
  std::uint64_t freed = 0; ///< that sk_drops counted
  /// That found the queue full: those that end a handshake, and what the same clients sent
  /// afterwards (data or FIN).
  std::uint64_t final_acks = 0;
  std::uint64_t repeated = 0;
};

/// Counts of the programs for one listening socket in an interval.
struct SocketEvents {
  std::uint64_t added = 0; ///< connections added to its accept queue
  /// The longest queue right after an addition; empty if there was none.
  std::optional<std::uint32_t> peak;
  /// The same for the sum over its SO_REUSEPORT group, after additions to this socket.
  std::optional<std::uint32_t> group_peak;
  std::uint32_t limit = 0;      ///< at the last addition
  std::uint64_t freed = 0;      ///< segments that sk_drops counts and ListenDrops does not
  std::uint64_t overflowed = 0; ///< of those, final ACKs and data that found the queue full
  double waited = 0;            ///< connections x s in the queue, up to the last addition, at least
  std::optional<Waits> waits;
  WaitBounds bounds;
  event_counts socket{}; ///< address, family and net namespace of the socket when it was first seen
  bool known = false;    ///< a dump has shown the socket
};

/// One reading of the maps.
struct EventReading {
  bool is_whole = false;            ///< the programs ran during the whole interval
  bool has_unix = false;            ///< Unix listeners, too
  bool has_drops_by_events = false; ///< freed was counted
  bool has_ack_overflows = false;   ///< overflowed was counted
  std::unordered_map<std::uint64_t, SocketEvents> sockets; ///< by cookie
};

/// Entries of a map as the kernel returns them.
template <class Value> struct EventEntries {
  std::span<const std::uint64_t> cookies;
  std::span<const Value> values;
};
struct RawEvents {
  EventEntries<event_counts> counts;
  EventEntries<event_frees> frees;
  EventEntries<event_waits> waits;
  EventEntries<event_bounds> bounds;
  std::uint32_t epoch = 0;                   ///< the epoch that the reading ends
  std::optional<std::uint32_t> jiffies_rate; ///< jiffies per second; empty while unknown
};

/// Turns the maps' contents, which only grow, into intervals.
class EventBook {
public:
  EventReading read(const RawEvents &raw);
  /// Whether the next reading will have more for a socket than the last one had.
  bool would_rise(std::uint64_t cookie, const event_counts &now) const;
  /// Returns the sockets to delete from the maps: those that are closed or in a net namespace that
  /// nobody samples. Call it after the dumps of the interval have marked the sockets they show. A
  /// single dump can miss a living socket.
  std::vector<std::uint64_t> forget_dead(const EventReading &reading);

private:
  struct Entry {
    event_counts counts{};
    event_frees frees{};
    event_waits waits{};
    std::unique_ptr<event_bounds> bounds; ///< nullptr: none yet
    unsigned unknown_for = 0;             ///< readings in a row
  };

  std::unordered_map<std::uint64_t, Entry> entries_;
};

/// The peak of an epoch from the slots of event_counts; empty if nothing was added in it.
std::optional<std::uint32_t> peak_of(const __u64 (&slots)[2], std::uint32_t epoch);

/// before, now: two states of one map entry. Empty if nothing was accepted in between.
std::optional<Waits> waits_between(const event_waits &before, const event_waits &now,
                                   std::uint32_t jiffies_rate);

/// before: nullptr for none.
WaitBounds bounds_between(const event_bounds *before, const event_bounds &now);

/// CONFIG_HZ, from two moments of both clocks that are at least a second apart.
std::optional<std::uint32_t> jiffies_rate(const event_control &control);

} // namespace backlog
