#pragma once

#include "listener_address.h"

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

namespace backlog {

/// Counts half-open connections per address that is listened on. An entry in state SYN_RECV does
/// not name its listener; it is the one of its family, port and device with the very address, else
/// the one with the wildcard (inet_lookup_listener() and inet6_lookup_listener() look in that
/// order). The members of a SO_REUSEPORT group cannot be told apart.
class SynQueueCount {
public:
  /// All listeners come before the first connection.
  void add_listener(const TcpAddress &address);
  void add_half_open(const TcpAddress &local);

  std::uint64_t total() const { return total_; } ///< also those that match no listener

  struct Queue {
    TcpAddress listener;
    std::uint64_t length = 0; ///< connections
  };
  /// One for each address.
  const std::vector<Queue> &queues() const { return queues_; }

private:
  struct Hash {
    std::size_t operator()(const TcpAddress &address) const;
  };

  Queue *find(const TcpAddress &address);

  std::vector<Queue> queues_;
  std::unordered_map<TcpAddress, std::size_t, Hash> index_; ///< into queues_, v6only left out
  std::uint64_t total_ = 0;
};

} // namespace backlog
