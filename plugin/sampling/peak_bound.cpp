#include "peak_bound.h"

#include <algorithm>
#include <utility>

namespace backlog {

void GapArrivals::look(std::optional<std::uint64_t> before, std::optional<std::uint64_t> after) {
  // A counter that went down belongs to another namespace, or has started anew.
  if (begin_ && after && *after >= *begin_)
    most_ = std::max(most_, *after - *begin_);
  else
    is_known_ = false;
  begin_ = before;
}

void GapArrivals::miss() { look(std::nullopt, std::nullopt); }

std::optional<std::uint64_t> GapArrivals::take_most() {
  const std::uint64_t most = std::exchange(most_, 0);
  return std::exchange(is_known_, true) ? std::optional(most) : std::nullopt;
}

std::uint64_t peak_bound(std::uint64_t seen, std::uint64_t most_arrivals, std::uint64_t limit,
                         std::uint32_t members) {
  constexpr std::uint64_t beyond_limit = 2;
  return std::max(seen, std::min(seen + most_arrivals, limit + beyond_limit * members));
}

} // namespace backlog
