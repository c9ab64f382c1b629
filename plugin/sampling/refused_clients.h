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
/// that is due and not refused again has found room, if there was room. If there was none, it may
/// have given up, and would be in the queue all the same. Refused clients would have been accepted
/// while the queue is empty, as fast as the queue was seen to fall.
///
/// A client whose final ACK was refused believes that it is connected. It sends data, again after
/// twice the time, until it finds room; the kernel repeats its SYN-ACK, unless that was a cookie,
/// and the client its ACK. Such clients have found room when nothing came from them for longer than
/// since they were refused.
///
/// Where ACKs are not told from what follows them, time does: a full queue refuses SYNs, so that no
/// other client's ACK comes later than a round trip after it filled, while no client repeats
/// anything sooner than 0.2 s (TCP_RTO_MIN). Each that repeats had sent an ACK and data, or data
/// alone (deferred accept); any other one only an ACK. So of `first` segments in that time and
/// `again` until each has come once more, the clients are first - again, or again if that is more.
class RefusedClients {
public:
  using TimePoint = std::chrono::steady_clock::time_point;

  /// A client sends its SYN twice in a longer time, less a tick of its clock (TCP_TIMEOUT_INIT).
  static constexpr std::chrono::milliseconds longest_unseen{996};
  /// The kernel's timer wheel is late by up to an eighth of the time (kernel/time/timer.c).
  static constexpr int lateness_share = 8;

  /// Segments that found the queue full.
  struct Segments {
    std::uint64_t syns = 0;       ///< and those of which only the number is known
    std::uint64_t final_acks = 0; ///< that end a handshake, the first of each client
    std::uint64_t repeated = 0;   ///< sent afterwards by the clients of final_acks
    std::uint64_t acks = 0;       ///< of both kinds, not told apart
  };
  /// A look at the queue now, and what has happened since the one `before`.
  struct Sample {
    Segments refused;
    /// SYNs that clients of the same net namespace have sent again. A listener that only they can
    /// reach has no more refused clients who came again; empty for another one.
    std::optional<std::uint64_t> syns_again;
    bool accepted = false;      ///< somebody was, though the queue may be as long as before
    std::uint64_t length = 0;   ///< connections
    std::uint64_t capacity = 0; ///< connections in a full queue
    TimePoint before;
    TimePoint now;
  };

  void note(const Sample &sample);

  /// Whether there is more to know than a new object knows.
  bool expects_any() const { return !groups_.empty() || gave_up_ > 0 || connected_ > 0 || acks_; }
  /// Returns the highest length, in connections, that the queue would have had since the last call,
  /// and at that call if it was not empty then; 0 if no client was refused and none is expected.
  std::uint64_t take_unlimited_peak();

private:
  /// Clients whose next segment is due between two times. Those of nearly the same time form a
  /// group.
  struct Group {
    std::uint64_t clients = 0;
    double excess = 0;     ///< clients of them that would still be in the queue
    unsigned attempts = 0; ///< SYNs sent again so far
    TimePoint due_from;
    TimePoint due_until;
    TimePoint first_due_until; ///< the same for the clients that came first
  };
  void expect(Group group, TimePoint sent_from, TimePoint sent_until);
  /// Takes as many of the clients that are due as there are segments; returns how many segments are
  /// of others.
  template <class Use> std::uint64_t take_due(std::uint64_t segments, TimePoint now, Use use);
  void note_syns(const Sample &sample, std::uint64_t syns);
  void note_connected(const Sample &sample);
  /// Of clients whose ACK was refused, those that are due have found room for their SYN this time.
  /// Returns how many are others.
  std::uint64_t connect_due(std::uint64_t clients, TimePoint now);
  /// Returns how many of the segments cannot be ACKs, or anything behind them.
  std::uint64_t note_acks(const Sample &sample);
  /// Finds out how many clients it were, once that is known. others: how long the queue would be
  /// now without them.
  void end_acks(TimePoint now, std::uint64_t others);
  void note_length(const Sample &sample);
  void note_emptied(const Sample &sample, std::uint64_t left);
  void forget_accepted(double clients);
  /// Forgets clients that were due before, or expects them later.
  void end_groups(TimePoint time);
  double excess() const;

  std::vector<Group> groups_;
  /// Clients that were refused at their ACKs since the queue filled.
  struct Acks {
    TimePoint from;
    std::uint64_t first = 0; ///< segments soon after `from`
    std::uint64_t again = 0; ///< those that came once more
    std::uint64_t later = 0; ///< in the current period after that
    TimePoint later_until{};
    std::uint64_t others_peak = 0; ///< the peak without these clients
    bool is_resolved = false;
  };
  std::optional<Acks> acks_;
  double gave_up_ = 0;   ///< clients who came again no more, and would still be in the queue
  double connected_ = 0; ///< clients whose final ACK was refused that would still be in the queue
  TimePoint connected_since_;      ///< the first of them was refused
  TimePoint connected_seen_;       ///< the last segment from any of them
  double accepted_per_second_ = 0; ///< highest rate seen
  bool is_mixed_ = false;          ///< some clients have tried again
  bool is_counted_ = false;        ///< syns_again was known
  std::uint64_t may_be_again_ = 0; ///< sum of syns_again, less those taken
  std::uint64_t last_length_ = 0;
  std::optional<TimePoint> last_; ///< time of last_length_
  TimePoint last_room_;           ///< the queue was not full, or it was accepted from
  TimePoint last_refused_;
  std::uint64_t unlimited_length_ = 0; ///< after the last sample
  std::uint64_t unlimited_peak_ = 0;
};

} // namespace backlog
