#pragma once

#include "listener_address.h"
#include "listener_lookup.h"

#include <cstdint>
#include <vector>

namespace backlog {

/// Counts half-open connections for each address that is listened on. The members of a SO_REUSEPORT
/// group cannot be told apart.
class SynQueueCounter {
public:
  /// Add all listeners before the first connection.
  void add_listener(const TcpAddress &address) { lookup_.add(address); }
  void add_half_open(const TcpAddress &local);

  std::uint64_t total() const { return total_; } ///< includes those that match no listener

  struct Queue {
    TcpAddress listener;
    std::uint64_t length = 0; ///< connections
  };
  /// Returns one entry for each address.
  std::vector<Queue> queues() const;

private:
  ListenerLookup lookup_;
  /// In the order of lookup_.listeners(), up to the last that is > 0.
  std::vector<std::uint64_t> lengths_;
  std::uint64_t total_ = 0;
};

} // namespace backlog
