#pragma once

#include "event_book.h"

#include <cstdint>
#include <optional>

namespace backlog {

/// What went through a queue in an interval, by events.
struct ListenerFlow {
  std::uint64_t arrived = 0;  ///< connections
  std::uint64_t accepted = 0; ///< connections
  std::optional<Waits> waits; ///< where the kernel lets accept() be seen
  double waited = 0;          ///< connections x s in the queue, at least
  /// How long those accepted had waited, at least, whoever told; empty: nobody was accepted.
  std::optional<Waits::Seconds> wait_mean;
};

/// Little's law: the connections x s that a queue has held are those of its connections. waited:
/// with what was carried from the interval before.
struct WaitShare {
  std::optional<Waits::Seconds> mean; ///< of those accepted; empty: there were none
  double carried = 0;                 ///< connections x s of those that wait on
};
/// Each of them has the same share: right of a queue that is emptied, and in the long run of one
/// that is not.
WaitShare share_waits(double waited, std::uint64_t accepted, std::uint64_t waiting);

} // namespace backlog
