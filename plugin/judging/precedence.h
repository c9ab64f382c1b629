#pragma once

#include "boot_clock.h"

#include <chrono>
#include <compare>

namespace backlog {

/// Which listeners come first when there is not room for all: those that the configuration names,
/// then those with stable names, then the older ones. Severity does not count, because anyone on
/// the host can make new listeners that are full.
struct Precedence {
  bool watched = false;        ///< named by the configuration
  bool stable = true;          ///< false if the name changes with the next start
  BootClock::time_point since; ///< first seen, also across restarts

  /// The lesser one comes first.
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
