#pragma once

#include <cstddef>
#include <memory>

namespace backlog {

/// How many sockets are kept account of, so that nobody can blind the plugin, or make it large, by
/// listening at very many. Several sets can share one. Who is in stays in.
struct ListenerRoom {
  std::size_t most = 0;
  std::size_t taken = 0;
  std::size_t waiting = 0; ///< Unix sockets of which nobody knows yet where they are

  /// Beyond `most` an eighth more has room for sockets whose queue is not empty, and another eighth
  /// for those that a Listener or Watch names: a few that come late among many idle ones.
  bool has_place(bool is_used, bool is_named) const {
    const std::size_t reserve = most / 8 * (std::size_t{is_used} + 2 * std::size_t{is_named});
    return taken < most + reserve;
  }
  /// Beyond, they come when others have their places.
  bool can_wait() const { return waiting < most; }
};

/// The room of each kind.
struct ListenerRooms {
  std::shared_ptr<ListenerRoom> tcp;
  std::shared_ptr<ListenerRoom> unix_sockets;

  // A listener takes 3 kB, with its row in two tables. So all together stay below 100 MB, and a
  // host with 10 000 services (DESIGN's measure) has room for all of them. Collectd's own namespace
  // has a room of its own, thus no container's listeners take its place.
  static ListenerRooms of_own_namespace() { return make(20000, 5000); }
  static ListenerRooms of_all_others() { return make(5000, 2500); }

private:
  static ListenerRooms make(std::size_t tcp, std::size_t unix_sockets) {
    return {std::make_shared<ListenerRoom>(ListenerRoom{tcp}),
            std::make_shared<ListenerRoom>(ListenerRoom{unix_sockets})};
  }
};

} // namespace backlog
