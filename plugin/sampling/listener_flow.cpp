#include "listener_flow.h"

namespace backlog {

WaitShare share_waits(double waited, std::uint64_t accepted, std::uint64_t waiting) {
  if (accepted == 0)
    return {.mean = std::nullopt, .carried = waiting > 0 ? waited : 0};
  const auto leaving = static_cast<double>(accepted);
  const double each = waited / (leaving + static_cast<double>(waiting));
  return {.mean = Waits::Seconds(each), .carried = each * static_cast<double>(waiting)};
}

} // namespace backlog
