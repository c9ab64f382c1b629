#pragma once

#include <cstdint>
#include <optional>

namespace backlog {

/// Bounds how many connections entered the queues of a net namespace between looks, by
/// PassiveOpens, which tcp_create_openreq_child() counts just before a connection enters. A gap
/// lies between two looks at which the counter was read; a look without it lies within a gap.
class GapArrivals {
public:
  /// before, after: the counter before and after the look; empty if unreadable.
  void look(std::optional<std::uint64_t> before, std::optional<std::uint64_t> after);
  /// Notes a look at which the counter should have been read but was not.
  void miss();
  /// Ends the interval with the last look. Returns the most of one of its gaps; empty if unknown.
  std::optional<std::uint64_t> take_most();

private:
  std::optional<std::uint64_t> begin_;
  std::uint64_t most_ = 0;
  bool is_known_ = true;
};

/// Upper bound of a queue's length: the length seen plus all connections that came in a gap, but at
/// most limit + 2, since a queue holds limit + 1 and racing clients can exceed that by one
/// (sk_acceptq_is_full()). seen, limit: connections, all members together.
std::uint64_t peak_bound(std::uint64_t seen, std::uint64_t most_arrivals, std::uint64_t limit,
                         std::uint32_t members);

} // namespace backlog
