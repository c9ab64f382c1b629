#pragma once

#include <cstdint>
#include <optional>

namespace backlog {

/// How many connections came into the queues of a net namespace while nobody looked, by
/// PassiveOpens, which tcp_create_openreq_child() counts just before each one's entry. A gap is
/// what lies between two looks of which the counter was read; looks without it lie within one.
class GapArrivals {
public:
  /// before, after: the counter as it was before the look and after it; empty: not to be had.
  void look(std::optional<std::uint64_t> before, std::optional<std::uint64_t> after);
  /// A look at which it was not read for once, and should have been.
  void miss();
  /// Ends the interval with the last look. The most of one of its gaps; empty: not known.
  std::optional<std::uint64_t> take_most();

private:
  std::optional<std::uint64_t> begin_;
  std::uint64_t most_ = 0;
  bool is_known_ = true;
};

/// No queue can have been longer than what was seen of it and all that came in a gap; nor than the
/// limit and 2: one more than it is allowed, and two clients that race can be there
/// (sk_acceptq_is_full()). seen, limit: connections, of all members together.
std::uint64_t peak_bound(std::uint64_t seen, std::uint64_t most_arrivals, std::uint64_t limit,
                         std::uint32_t members);

} // namespace backlog
