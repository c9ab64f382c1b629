#include "drop_totals.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace backlog {

namespace {
constexpr std::chrono::hours kept_for{24};
constexpr std::size_t kept_vanished = 10000;
} // namespace

void DropTotals::add(const std::string &name, std::uint64_t drops, TimePoint now) {
  Total &total = totals_[name];
  total.drops += drops;
  total.last_present = now;
}

std::uint64_t DropTotals::tell(const std::string &name) {
  Total &total = totals_[name];
  return std::exchange(total.told, true) ? total.drops : 0;
}

void DropTotals::prune(TimePoint now) {
  std::erase_if(totals_,
                [&](const auto &total) { return now - total.second.last_present > kept_for; });
  std::vector<TimePoint> vanished;
  for (const auto &[name, total] : totals_)
    if (total.last_present < now)
      vanished.push_back(total.last_present);
  if (vanished.size() <= kept_vanished)
    return;
  const auto oldest_kept = vanished.end() - kept_vanished;
  std::nth_element(vanished.begin(), oldest_kept, vanished.end());
  std::erase_if(totals_,
                [&](const auto &total) { return total.second.last_present < *oldest_kept; });
}

} // namespace backlog
