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

/// Which Unix listeners of a net namespace are sampled, and as what: each waits until its place is
/// known, since no series is ever renamed.
class UnixMembers {
public:
  /// room: of those that wait; nullptr: as much as they want.
  explicit UnixMembers(std::shared_ptr<ListenerRoom> room = nullptr) : room_(std::move(room)) {}
  UnixMembers(const UnixMembers &) = delete;
  UnixMembers &operator=(const UnixMembers &) = delete;
  ~UnixMembers();

  /// Where a listener is that a dump shows, and that is to be a member; nullptr: that is not known
  /// yet. Where it has no file, it is where its address says.
  const UnixPlace *place_of(const UnixListener &listener);
  /// nullptr: not known.
  const UnixPlace *known_place(std::uint64_t cookie) const;
  /// Whether it is no more than a socket, since nobody can connect to it by its path.
  bool is_shadowed(std::uint64_t cookie) const {
    return !shadowed_.empty() && shadowed_.contains(cookie);
  }
  const std::unordered_set<std::uint64_t> &shadowed() const { return shadowed_; }
  void remove(std::span<const std::uint64_t> gone);

  /// Takes over what the surveyor has found out. Returns those that have another place than before.
  std::vector<std::uint64_t> follow(const std::shared_ptr<const UnixPlaces> &places);
  bool has_waiting() const { return !waiting_.empty(); }
  /// Those that came since the last call and have no place.
  std::vector<UnixFile> take_unplaced() { return std::exchange(unplaced_, {}); }

  /// After a dump. looks: how often the surveyor has looked. What waits is where it was bound, if
  /// that has not looked for some intervals.
  void end_interval(std::uint64_t looks);

private:
  struct Waiting {
    UnixFile file;
    bool seen = false; ///< in this interval
  };

  struct Placed {
    UnixPlace place;
    bool is_member = false; ///< place_of() has told it
  };

  void place(std::uint64_t cookie, UnixPlace place);
  void stop_waiting(std::uint64_t cookie);

  std::shared_ptr<ListenerRoom> room_;
  std::shared_ptr<const UnixPlaces> list_;
  std::unordered_map<std::uint64_t, Placed> placed_;   ///< by cookie
  std::unordered_map<std::uint64_t, Waiting> waiting_; ///< by cookie
  std::unordered_set<std::uint64_t> shadowed_;
  std::vector<UnixFile> unplaced_;
  std::uint64_t looks_ = 0;
  unsigned intervals_without_look_ = 0;
};

} // namespace backlog
