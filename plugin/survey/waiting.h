#pragma once

#include "listener_lookup.h"
#include "sock_diag.h"

#include <chrono>
#include <optional>
#include <vector>

namespace backlog {

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
