#pragma once

#include "event_book.h"

#include <cstdint>
#include <optional>

namespace backlog {

/// Connections through a queue in an interval, counted by events.
struct ListenerFlow {
  std::uint64_t arrived = 0;  ///< connections
  std::uint64_t accepted = 0; ///< connections
  std::optional<Waits> waits; ///< where the programs can observe accept()
  WaitBounds bounds;
  /// Segments that found the queue full and were no SYNs; empty if the programs do not count them.
  std::optional<std::uint64_t> ack_overflows;
  double waited = 0; ///< connections x s in the queue, lower bound
  /// Mean wait of accepted connections, lower bound; empty if none was accepted.
  std::optional<Waits::Seconds> wait_mean;
  /// Empty where it is not known. By bounds: see told_quantile().
  std::optional<Waits::Seconds> wait_p50() const;
  std::optional<Waits::Seconds> wait_p99() const;
};

/// Little's law: the connections x s that a queue has held are the sum of its connections' waits.
/// waited: includes the amount carried from the previous interval.
struct WaitShare {
  std::optional<Waits::Seconds> mean; ///< of accepted connections; empty if there were none
  double carried = 0;                 ///< connections x s of those still waiting
};
/// Gives each connection the same share. That is exact for a queue that empties, and right on
/// average for one that does not.
WaitShare share_waits(double waited, std::uint64_t accepted, std::uint64_t waiting);

} // namespace backlog
