#pragma once

#include "listener_address.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <unordered_map>
#include <vector>

namespace backlog {

/// Finds the listener of a connection. Like inet_lookup_listener() and inet6_lookup_listener(), it
/// takes the listener of the same family, port and device that has the exact address, else the one
/// with the wildcard. It cannot tell apart the members of a SO_REUSEPORT group. A v6only listener
/// never gets IPv4 clients. If a v6only and a dual-stack listener share an address, the kernel
/// gives IPv6 clients to the one that comes first, also in a dump.
class ListenerLookup {
public:
  /// Add all listeners before the first find(). Returns the index into listeners().
  std::size_t add(const TcpAddress &listener);
  /// Returns the index into listeners().
  std::optional<std::size_t> find(const TcpAddress &local) const;

  /// Each address occurs once.
  const std::vector<TcpAddress> &listeners() const { return listeners_; }

private:
  struct Hash {
    std::size_t operator()(const TcpAddress &address) const;
  };

  std::vector<TcpAddress> listeners_;
  /// Indexes of the listeners with one address.
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
  std::unordered_map<TcpAddress, Found, Hash> index_; ///< key without v6only
};

} // namespace backlog
