#pragma once

#include "listener_lookup.h"
#include "listener_set.h"
#include "sock_diag.h"

#include <chrono>
#include <optional>
#include <vector>

namespace backlog {

/// From when on it is worth a scan of all connections to know how long a listener's oldest
/// connection has waited.
struct WaitThresholds {
  std::chrono::nanoseconds stalled_after;
  double warning_percent;
};

/// The time since the queue was last seen empty bounds the oldest wait; no scan is needed where
/// that is short and the queue is not in trouble, nor where no one waits any more.
bool asks_for_oldest_wait(const ListenerInterval &interval, const WaitThresholds &thresholds);

/// Finds the oldest waiting connection of each address that is listened on.
class OldestWaits {
public:
  using Age = std::chrono::milliseconds;

  /// All listeners come before the first connection.
  void add_listener(const TcpAddress &address) { lookup_.add(address); }
  void add_waiting(const WaitingConnection &connection);

  struct Oldest {
    TcpAddress listener;
    std::optional<Age> age; ///< empty: none is visible; clients that have reset are not
  };
  /// One for each address.
  std::vector<Oldest> oldest() const;

private:
  ListenerLookup lookup_;
  std::vector<std::optional<Age>> ages_; ///< as lookup_ has its listeners, as far as any was found
};

} // namespace backlog
