#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace backlog {

/// Remembers sk_drops of sockets that closed lately: a socket comes back, with its cookie and its
/// sk_drops, after shutdown() and listen() (inet_csk_listen_stop(), inet_csk_listen_start()).
class DepartedDrops {
public:
  void note(std::uint64_t cookie, std::uint32_t drops) {
    if (sockets_.size() < most) {
      sockets_.push_back({cookie, drops});
      return;
    }
    sockets_[next_] = {cookie, drops};
    next_ = (next_ + 1) % most;
  }

  /// Forgets the socket and returns its sk_drops; 0 if it is not among the last 1024.
  std::uint32_t take(std::uint64_t cookie) {
    const auto found = std::find_if(sockets_.begin(), sockets_.end(),
                                    [&](const Socket &socket) { return socket.cookie == cookie; });
    if (found == sockets_.end())
      return 0;
    found->cookie = 0; // frees the slot
    return found->drops;
  }

private:
  static constexpr std::size_t most = 1024;
  struct Socket {
    std::uint64_t cookie;
    std::uint32_t drops;
  };

  std::vector<Socket> sockets_; ///< ring buffer
  std::size_t next_ = 0;
};

} // namespace backlog
