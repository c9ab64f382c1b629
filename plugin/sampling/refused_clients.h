#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

namespace backlog {

/// Estimates how many clients a full queue has refused, and so how long the queue would have been
/// with room for all. The number of drops is larger, because a client sends its SYN again after a
/// second, and again, and each SYN counts as a drop.
///
/// A drop at the time when a refused client's next SYN is due is taken for that client. A client
/// that is due and not refused again has found room, or has given up. While the queue is empty, the
/// refused clients would have been accepted, as fast as the queue was seen to fall.
class RefusedClients {
public:
  using TimePoint = std::chrono::steady_clock::time_point;

  /// linear_timeouts: net.ipv4.tcp_syn_linear_timeouts, 0 before Linux 6.5. A client sends its SYN
  /// linear_timeouts + 1 times after a second, and from then on after twice the previous time
  /// (tcp_retransmit_timer(), net/ipv4/tcp_timer.c).
  explicit RefusedClients(unsigned linear_timeouts) : linear_timeouts_(linear_timeouts) {}

  /// Adds a sample taken now; the previous one was taken at `before`. drops: segments in between
  /// that found the queue full. length: connections in it now. capacity: length of a full queue.
  void note(std::uint64_t drops, std::uint64_t length, std::uint64_t capacity, TimePoint before,
            TimePoint now);

  /// Whether refused clients are expected to try again.
  bool expects_any() const { return !groups_.empty(); }
  /// Returns the highest length, in connections, that the queue would have had since the last call;
  /// 0 if no client was refused and none is expected.
  std::uint64_t take_unlimited_peak();

private:
  /// Clients whose next SYN is due between two times. Clients of nearly the same time form a group.
  struct Group {
    std::uint64_t clients = 0;
    unsigned attempts = 0; ///< SYNs sent again so far
    TimePoint due_from;
    TimePoint due_until;
    TimePoint first_due_until; ///< the same for the clients that came first
  };
  void expect(std::uint64_t clients, unsigned attempts, TimePoint sent_from, TimePoint sent_until);
  /// Forgets clients that were due before: they have found room, or have given up.
  void forget_before(TimePoint time);
  void note_length(std::uint64_t length, TimePoint before, TimePoint now);
  std::chrono::nanoseconds timeout(unsigned attempts) const;

  unsigned linear_timeouts_;
  std::vector<Group> groups_;
  double excess_ = 0;              ///< refused clients that would still be in the queue
  double accepted_per_second_ = 0; ///< highest rate seen
  bool is_mixed_ = false;          ///< some clients have tried again
  std::uint64_t last_length_ = 0;
  std::optional<TimePoint> last_; ///< time of last_length_
  std::uint64_t unlimited_peak_ = 0;
};

} // namespace backlog
