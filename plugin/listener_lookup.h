#pragma once

#include "listener_address.h"

#include <cstddef>
#include <optional>
#include <unordered_map>
#include <vector>

namespace backlog {

/// Finds the listener of a connection that does not name it: the one of its family, port and
/// device with the very address, else the one with the wildcard (inet_lookup_listener() and
/// inet6_lookup_listener() look in that order). The members of a SO_REUSEPORT group cannot be
/// told apart.
class ListenerLookup {
public:
  /// All listeners come before the first connection.
  void add(const TcpAddress &listener);
  /// The index into listeners().
  std::optional<std::size_t> find(const TcpAddress &local) const;

  /// Each address once.
  const std::vector<TcpAddress> &listeners() const { return listeners_; }

private:
  struct Hash {
    std::size_t operator()(const TcpAddress &address) const;
  };

  std::vector<TcpAddress> listeners_;
  std::unordered_map<TcpAddress, std::size_t, Hash> index_; ///< v6only left out
};

} // namespace backlog
