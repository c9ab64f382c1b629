#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace backlog {

/// Counts of the BPF programs and of the kernel itself for TCP in collectd's own net namespace, for
/// one interval.
struct EventInterval {
  std::chrono::nanoseconds measured{0};
  std::chrono::nanoseconds cost{0}; ///< CPU time of the programs on all CPUs
  std::uint64_t arrived = 0;        ///< connections that the programs counted
  /// The same by PassiveOpens (tcp_create_openreq_child()); empty if unknown.
  std::optional<std::uint64_t> opened;
  std::uint64_t dropped = 0; ///< segments: sk_drops less the frees
  /// The same by ListenDrops; empty if unknown, or if the frees are not counted.
  std::optional<std::uint64_t> counted;
  std::uint64_t seen = 0;    ///< events of any socket
  std::uint64_t missed = 0;  ///< upper bound of events that no program saw
  std::uint64_t lost = 0;    ///< events of listeners that found a map full
  bool sockets_left = false; ///< listening sockets closed, and their last drops with them
};

/// Decides whether the programs can be trusted and are worth their cost.
class EventGuard {
public:
  using TimePoint = std::chrono::steady_clock::time_point;
  enum class Verdict {
    fine,
    too_dear,   ///< they cost more than the budget: detach them
    deaf,       ///< they miss most connections: detach them
    skipped,    ///< the kernel skipped too many events: detach them
    crowded,    ///< some listeners found no room: detach them
    wrong_drops ///< their drops differ from ListenDrops: attribute drops by sampling
  };

  /// budget_percent: percent of one CPU.
  explicit EventGuard(double budget_percent) : budget_percent_(budget_percent) {}

  /// Judges a whole interval. A verdict takes two intervals in a row, because one difference can
  /// come from reading one counter after the other; only lack of room takes one.
  Verdict note(const EventInterval &interval);
  /// Notes that the programs were detached; each time the next try is later.
  void detached(TimePoint now);
  bool may_attach(TimePoint now) const { return !retry_at_ || now >= *retry_at_; }

private:
  double budget_percent_;
  unsigned dear_ = 0; ///< intervals in a row; the next three also
  unsigned deaf_ = 0;
  unsigned skipped_ = 0;
  unsigned wrong_ = 0;
  std::optional<TimePoint> retry_at_;
  std::chrono::minutes retry_after_{10};
};

} // namespace backlog
