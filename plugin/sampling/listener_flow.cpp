#include "listener_flow.h"

namespace backlog {

WaitShare share_waits(double waited, std::uint64_t accepted, std::uint64_t waiting) {
  if (accepted == 0)
    return {.mean = std::nullopt, .carried = waiting > 0 ? waited : 0};
  const auto leaving = static_cast<double>(accepted);
  const double each = waited / (leaving + static_cast<double>(waiting));
  return {.mean = Waits::Seconds(each), .carried = each * static_cast<double>(waiting)};
}

std::optional<Waits::Seconds> ListenerFlow::wait_p50() const {
  return waits ? std::optional(waits->p50) : told_quantile(bounds, 0.5, accepted);
}

std::optional<Waits::Seconds> ListenerFlow::wait_p99() const {
  return waits ? std::optional(waits->p99) : told_quantile(bounds, 0.99, accepted);
}

} // namespace backlog
