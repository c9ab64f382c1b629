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
  using Entry = std::unordered_map<std::string, Total>::iterator;
  std::vector<Entry> vanished;
  for (auto entry = totals_.begin(); entry != totals_.end(); ++entry)
    if (entry->second.last_present < now)
      vanished.push_back(entry);
  if (vanished.size() <= kept_vanished)
    return;
  const auto kept = vanished.end() - kept_vanished;
  std::nth_element(vanished.begin(), kept, vanished.end(), [](Entry a, Entry b) {
    return a->second.last_present < b->second.last_present;
  });
  std::for_each(vanished.begin(), kept, [this](Entry entry) { totals_.erase(entry); });
}

} // namespace backlog
