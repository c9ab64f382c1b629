#include "drop_totals.h"

#include <algorithm>
#include <tuple>
#include <utility>
#include <vector>

namespace backlog {

namespace {
constexpr std::chrono::hours kept_for{24};
constexpr std::size_t kept_vanished = 10000;
} // namespace

void DropTotals::admit(const std::string &name, TimePoint now, bool is_stable) {
  const auto [entry, is_new] = totals_.try_emplace(name);
  Total &total = entry->second;
  if (is_new)
    total.since = now;
  total.is_stable = is_stable;
  total.last_present = now;
}

void DropTotals::add(const std::string &name, std::uint64_t drops) noexcept {
  if (const auto total = totals_.find(name); total != totals_.end())
    total->second.drops += drops;
}

std::optional<DropTotals::Standing> DropTotals::standing(const std::string &name) const {
  const auto total = totals_.find(name);
  if (total == totals_.end())
    return std::nullopt;
  return Standing{total->second.drops, total->second.since};
}

DropTotals::Value DropTotals::take_value(const std::string &name, std::uint64_t drops) noexcept {
  const auto total = totals_.find(name);
  if (total == totals_.end())
    return {};
  Value value{.at_end = total->second.drops, .at_begin = {}};
  const std::uint64_t taken_before = std::exchange(total->second.taken, interval_);
  if (drops > 0 && taken_before + 1 != interval_)
    value.at_begin = value.at_end - drops;
  return value;
}

void DropTotals::end_interval(TimePoint now) {
  ++interval_;
  std::erase_if(totals_,
                [&](const auto &total) { return now - total.second.last_present > kept_for; });
  using Entry = std::unordered_map<std::string, Total>::iterator;
  std::vector<Entry> vanished;
  for (auto entry = totals_.begin(); entry != totals_.end(); ++entry)
    if (entry->second.last_present < now)
      vanished.push_back(entry);
  if (vanished.size() <= kept_vanished)
    return;
  const auto worth = [](Entry entry) {
    const Total &total = entry->second;
    return std::tuple(total.drops > 0, total.is_stable, total.last_present);
  };
  const auto kept = vanished.end() - kept_vanished;
  std::nth_element(vanished.begin(), kept, vanished.end(),
                   [&](Entry a, Entry b) { return worth(a) < worth(b); });
  std::for_each(vanished.begin(), kept, [this](Entry entry) { totals_.erase(entry); });
}

} // namespace backlog
