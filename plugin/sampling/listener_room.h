#pragma once

#include <cstddef>
#include <memory>

namespace backlog {

/// How many sockets may be sampled, so that nobody can blind the plugin or fill its memory by
/// listening on very many. Several sets can share one room. A socket that has a place keeps it.
struct ListenerRoom {
  std::size_t most = 0;
  std::size_t taken = 0;
  std::size_t waiting = 0; ///< Unix sockets whose place is not known yet

  /// Above `most`, an eighth more is reserved for sockets whose queue is not empty, and another
  /// eighth for those that a Listener or Watch names, so that a few latecomers find room among many
  /// idle ones.
  bool has_place(bool is_used, bool is_named) const {
    const std::size_t reserve = most / 8 * (std::size_t{is_used} + 2 * std::size_t{is_named});
    return taken < most + reserve;
  }
  /// Further sockets may wait until the places of others are known.
  bool can_wait() const { return waiting < most; }
};

/// The room of each family.
struct ListenerRooms {
  std::shared_ptr<ListenerRoom> tcp;
  std::shared_ptr<ListenerRoom> unix_sockets;

  // A listener takes 3 kB with its rows in two tables. These limits keep all together below 100 MB
  // and leave room for a host with 10 000 services. collectd's own namespace has a room of its own,
  // so that containers cannot fill it.
  static ListenerRooms of_own_namespace() { return make(20000, 5000); }
  static ListenerRooms of_all_others() { return make(5000, 2500); }

private:
  static ListenerRooms make(std::size_t tcp, std::size_t unix_sockets) {
    return {std::make_shared<ListenerRoom>(ListenerRoom{tcp}),
            std::make_shared<ListenerRoom>(ListenerRoom{unix_sockets})};
  }
};

} // namespace backlog
