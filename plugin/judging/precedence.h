#pragma once

#include <chrono>
#include <compare>

namespace backlog {

/// Who goes first where there is no room for all: those that the configuration names, those whose
/// name stays the same, those that have been known for longer. Severity is no part of it, since
/// anyone on the host can make new listeners that are full.
struct Precedence {
  bool watched = false;                        ///< named by the configuration
  bool stable = true;                          ///< false: its name is another after the next start
  std::chrono::steady_clock::time_point since; ///< it has been known, also through restarts

  /// Less: goes before the other.
  std::strong_ordering operator<=>(const Precedence &other) const {
    if (watched != other.watched)
      return watched ? std::strong_ordering::less : std::strong_ordering::greater;
    if (stable != other.stable)
      return stable ? std::strong_ordering::less : std::strong_ordering::greater;
    return since.time_since_epoch().count() <=> other.since.time_since_epoch().count();
  }
  bool operator==(const Precedence &) const = default;
};

} // namespace backlog
