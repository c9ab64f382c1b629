#pragma once

#include "refused_clients.h"

#include <chrono>
#include <cstdint>
#include <optional>

namespace backlog {

/// What has risen while a queue refused, where no event tells the segments apart.
struct RefusedSums {
  std::uint64_t drops = 0;     ///< sk_drops of the socket
  std::uint64_t overflows = 0; ///< ListenOverflows, the part of the socket
  std::uint64_t deferred = 0;  ///< TCPDeferAcceptDrop: ACKs dropped though there may be room
  std::uint64_t cookies = 0;   ///< SyncookiesRecv: ACKs with a cookie, refused or not
  std::uint64_t added = 0;     ///< connections that may be of the cookies, since they found room
  std::uint64_t limit = 0;     ///< connections
};

/// Tells SYNs from ACKs: of a final ACK, and of data behind it, sk_drops counts the drop and the
/// segment that is freed (tcp_listendrop(), sock_drop()), of a SYN and of a cookie only the drop.
/// Cookies are sent when the SYN queue holds `limit` requests (inet_csk_reqsk_queue_is_full()),
/// which find room first if they are not deferred.
RefusedClients::Segments split_refused(const RefusedSums &sums);

/// Whether all are SYNs, or all but so few that their clients can be counted as those of SYNs are.
bool are_syns(const RefusedSums &sums);

/// Adds up the sums of a burst, the samples in which it fills the queue among them: who is refused
/// depends on who came before. The kernel's counters are read after the sockets, so that what they
/// are ahead by is among the drops of a later sample.
class RefusedKinds {
public:
  using TimePoint = std::chrono::steady_clock::time_point;

  struct Split {
    RefusedClients::Segments segments;
    std::optional<std::uint64_t> syns_again; ///< see RefusedClients::Sample
    TimePoint before;                        ///< the sample before the first one of them
  };

  /// has_refused: the queue was full, so that the drops are not of deferred ACKs alone.
  void add(const RefusedSums &sums, std::optional<std::uint64_t> syns_again, TimePoint before,
           bool has_refused);
  /// Whether it is too late to wait for more of the same segments.
  bool is_due(TimePoint now) const;
  /// Segments that were added since the last call; empty if none were refused.
  std::optional<Split> take();
  /// What comes next is of another burst.
  void end_burst();

  bool has_any() const { return before_.has_value(); }
  bool is_in_burst() const { return sums_.drops > 0; }
  bool has_told() const { return told_.syns + told_.acks > 0; }

private:
  std::optional<TimePoint> before_;
  std::optional<std::uint64_t> syns_again_;
  RefusedSums sums_; ///< of the burst
  RefusedClients::Segments told_;
};

} // namespace backlog
