#pragma once

#include "listener_lookup.h"
#include "sock_diag.h"
#include "survey.h"

#include <chrono>
#include <cstdint>
#include <vector>

namespace backlog {

/// Finds the connections that wait at each address that is listened on.
class OldestWaitFinder {
public:
  /// Add all listeners before the first connection. Listeners with one address add up.
  void add_listener(const TcpAddress &address, std::uint32_t queue_length);
  void add_waiting(const WaitingConnection &connection);

  struct Oldest {
    TcpAddress listener;
    TcpWaits waits;
  };
  /// Returns one entry for each address.
  std::vector<Oldest> oldest() &&;

private:
  struct Queue {
    std::uint64_t length = 0;
    std::vector<WaitingConnection> waiting;
  };
  ListenerLookup lookup_;
  std::vector<Queue> queues_; ///< in the order of lookup_.listeners()
};

} // namespace backlog
