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

/// Finds out whether a Unix listener accepts, from the clients that wait at each look. accept()
/// takes the first client of the queue and new ones come last (unix_accept() and
/// unix_stream_connect() in net/unix/af_unix.c), so the clients keep their places as long as
/// nothing is accepted.
class UnixWaitClocks {
public:
  using TimePoint = std::chrono::steady_clock::time_point;

  /// Adds a queue that is not empty to the current look.
  void see(std::uint64_t cookie, std::span<const std::uint32_t> peers, TimePoint now);
  /// Ends the look. Queues that it did not show were empty or could not be read: they start anew.
  void end_look();
  bool knows(std::uint64_t cookie) const { return queues_.contains(cookie); }
  std::size_t size() const { return queues_.size(); }

  /// Returns the waits up to the last look, by cookie: nobody knows what happened since.
  std::unordered_map<std::uint64_t, UnixWaits> waits() const;

private:
  struct Peer {
    std::uint32_t inode = 0; ///< 0 if it has been closed
    TimePoint since;         ///< first look that saw it
  };
  struct Queue {
    std::vector<Peer> peers;
    TimePoint none_accepted_since;
    TimePoint seen;        ///< the last look
    bool accepted = false; ///< since the previous look
    bool in_look = false;
  };

  std::unordered_map<std::uint64_t, Queue> queues_;
};

} // namespace backlog
