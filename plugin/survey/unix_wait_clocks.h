#pragma once

#include "sock_diag.h"
#include "survey.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

namespace backlog {

/// Knows of Unix listeners whether anybody was accepted, by who waits at each look. accept() takes
/// the first of the queue, and who comes is the last (unix_accept() and unix_stream_connect() in
/// net/unix/af_unix.c): as long as nobody is accepted, those that waited stay in their places.
class UnixWaitClocks {
public:
  using TimePoint = std::chrono::steady_clock::time_point;

  /// Of one look: a queue that is not empty.
  void see(std::uint64_t cookie, std::span<const std::uint32_t> peers, TimePoint now);
  /// Ends the look. Queues that were not in it were empty, or could not be seen: they begin anew.
  void end_look();
  bool knows(std::uint64_t cookie) const { return queues_.contains(cookie); }
  std::size_t size() const { return queues_.size(); }

  /// By cookie, as of now.
  std::unordered_map<std::uint64_t, UnixWaits> waits(TimePoint now) const;

private:
  struct Peer {
    std::uint32_t inode = 0; ///< 0: it has been closed
    TimePoint since;         ///< when it was first seen
  };
  struct Queue {
    std::vector<Peer> peers;
    TimePoint none_accepted_since;
    bool accepted = false; ///< since the look before
    bool in_look = false;
  };

  std::unordered_map<std::uint64_t, Queue> queues_;
};

} // namespace backlog
