#pragma once

#include "listener_room.h"
#include "sock_diag.h"
#include "unix_paths.h"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace backlog {

/// Decides which Unix listeners of a net namespace are sampled, and under which place. Each waits
/// until its place is known, so that no series is ever renamed.
class UnixMembers {
public:
  /// room: limits those that wait; nullptr for no limit.
  explicit UnixMembers(std::shared_ptr<ListenerRoom> room = nullptr) : room_(std::move(room)) {}
  UnixMembers(const UnixMembers &) = delete;
  UnixMembers &operator=(const UnixMembers &) = delete;
  ~UnixMembers();

  /// Returns the place of a listener in a dump that should become a member; nullptr while it is
  /// unknown. A listener without a file is where its address says.
  const UnixPlace *place_of(const UnixListener &listener);
  /// Returns nullptr if the place is unknown.
  const UnixPlace *known_place(std::uint64_t cookie) const;
  /// Whether it counts as a socket only, because its path leads to another listener.
  bool is_shadowed(std::uint64_t cookie) const {
    return !shadowed_.empty() && shadowed_.contains(cookie);
  }
  const std::unordered_set<std::uint64_t> &shadowed() const { return shadowed_; }
  void remove(std::span<const std::uint64_t> gone);

  /// Takes over the surveyor's findings. Returns the listeners whose place has changed.
  std::vector<std::uint64_t> follow(const std::shared_ptr<const UnixPlaces> &places);
  bool has_waiting() const { return !waiting_.empty(); }
  /// Returns the listeners without a place that came since the last call.
  std::vector<UnixFile> take_unplaced() { return std::exchange(unplaced_, {}); }

  /// Call it after a dump. looks: how often the surveyor has looked. If that has not looked for
  /// some intervals, a waiting listener is taken to be where it was bound.
  void end_interval(std::uint64_t looks);

private:
  struct Waiting {
    UnixFile file;
    bool seen = false; ///< in this interval
  };

  struct Placed {
    UnixPlace place;
    bool is_member = false; ///< place_of() has returned the place
  };

  void place(std::uint64_t cookie, UnixPlace place);
  void stop_waiting(std::uint64_t cookie);

  std::shared_ptr<ListenerRoom> room_;
  std::shared_ptr<const UnixPlaces> list_;
  std::unordered_map<std::uint64_t, Placed> placed_;   ///< keyed by cookie
  std::unordered_map<std::uint64_t, Waiting> waiting_; ///< keyed by cookie
  std::unordered_set<std::uint64_t> shadowed_;
  std::vector<UnixFile> unplaced_;
  std::uint64_t looks_ = 0;
  unsigned intervals_without_look_ = 0;
};

} // namespace backlog
