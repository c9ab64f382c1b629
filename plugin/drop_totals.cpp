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
  const auto [entry, is_new] = totals_.try_emplace(name);
  Total &total = entry->second;
  if (is_new)
    total.since = now;
  total.drops += drops;
  total.last_present = now;
}

std::uint64_t DropTotals::tell(const std::string &name) {
  Total &total = totals_[name];
  return std::exchange(total.told, true) ? total.drops : 0;
}

std::optional<DropTotals::Standing> DropTotals::standing(const std::string &name) const {
  const auto total = totals_.find(name);
  if (total == totals_.end())
    return std::nullopt;
  return Standing{total->second.drops, total->second.since};
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
