#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

namespace backlog {

/// Tells the clients that a full queue has refused from the segments that it has dropped: a client
/// sends its SYN again after a second, and again, and each of them counts as a drop. So it is known
/// how long the queue would have been with room for all.
///
/// Who is refused again at the time at which a SYN is due again is taken for the same client; who
/// is due and is not refused again has found room, or has given up. While the queue is empty, those
/// who were refused would have been accepted, as fast as the queue was seen to fall.
class RefusedClients {
public:
  using TimePoint = std::chrono::steady_clock::time_point;

  /// linear_timeouts: net.ipv4.tcp_syn_linear_timeouts (Linux 6.5), 0 before. A SYN is sent again
  /// after a second so many times and once more, and from then on after twice the time before
  /// (tcp_retransmit_timer(), net/ipv4/tcp_timer.c).
  explicit RefusedClients(unsigned linear_timeouts) : linear_timeouts_(linear_timeouts) {}

  /// A sample taken now, the one before was taken at `before`. drops: segments in between that
  /// found the queue full; length: connections in it now; capacity: when it is full.
  void note(std::uint64_t drops, std::uint64_t length, std::uint64_t capacity, TimePoint before,
            TimePoint now);

  /// Whether clients are expected to come again.
  bool expects_any() const { return !groups_.empty(); }
  /// The most that would have waited at once since the last call, connections; 0: nobody was
  /// refused, and none is outstanding.
  std::uint64_t take_unlimited_peak();

private:
  /// Clients whose next SYN is due between two times. Those of nearly one time are one group.
  struct Group {
    std::uint64_t clients = 0;
    unsigned attempts = 0; ///< SYNs that were sent again
    TimePoint due_from;
    TimePoint due_until;
    TimePoint first_due_until; ///< of those of them that came first
  };
  void expect(std::uint64_t clients, unsigned attempts, TimePoint sent_from, TimePoint sent_until);
  /// Those that were due before have found room, or have given up.
  void forget_before(TimePoint time);
  void note_length(std::uint64_t length, TimePoint before, TimePoint now);
  std::chrono::nanoseconds timeout(unsigned attempts) const;

  unsigned linear_timeouts_;
  std::vector<Group> groups_;
  double excess_ = 0; ///< of those who were refused, those who would be in the queue still
  double accepted_per_second_ = 0; ///< the most that was seen
  bool is_mixed_ = false;          ///< some of them have come again
  std::uint64_t last_length_ = 0;
  std::optional<TimePoint> last_; ///< the sample of last_length_
  std::uint64_t unlimited_peak_ = 0;
};

} // namespace backlog
