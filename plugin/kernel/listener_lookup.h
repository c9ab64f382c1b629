#pragma once

#include "listener_address.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <unordered_map>
#include <vector>

namespace backlog {

/// Finds the listener of a connection that does not name it: the one of its family, port and
/// device with the very address, else the one with the wildcard (inet_lookup_listener() and
/// inet6_lookup_listener() look in that order). The members of a SO_REUSEPORT group cannot be
/// told apart. IPv4 clients are none of a v6only listener; to IPv6 ones, that and a dual-stack one
/// of the same address are alike: the kernel takes the one that comes first, also in a dump.
class ListenerLookup {
public:
  /// All listeners come before the first connection. Returns its index into listeners().
  std::size_t add(const TcpAddress &listener);
  /// The index into listeners().
  std::optional<std::size_t> find(const TcpAddress &local) const;

  /// Each address once.
  const std::vector<TcpAddress> &listeners() const { return listeners_; }

private:
  struct Hash {
    std::size_t operator()(const TcpAddress &address) const;
  };

  std::vector<TcpAddress> listeners_;
  /// Indexes of those with one address.
  struct Found {
    std::optional<std::size_t> v6only;
    std::optional<std::size_t> other;

    std::optional<std::size_t> &of(const TcpAddress &listener) {
      return listener.v6only ? v6only : other;
    }
    std::optional<std::size_t> first() const {
      return v6only && other ? std::min(v6only, other) : v6only ? v6only : other;
    }
  };
  std::unordered_map<TcpAddress, Found, Hash> index_; ///< v6only left out
};

} // namespace backlog
