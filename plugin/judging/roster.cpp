#include "roster.h"

#include <algorithm>
#include <tuple>

namespace backlog {

std::vector<bool> Roster::update(const std::vector<RosterCandidate> &candidates, std::size_t places,
                                 IsUnread is_unread) {
  ++interval_;
  std::vector<Entry *> entries;
  entries.reserve(candidates.size());
  for (const RosterCandidate &candidate : candidates) {
    Entry &entry =
        entries_.try_emplace(*candidate.name, Entry{.appeared = interval_}).first->second;
    entry.seen = interval_;
    entries.push_back(&entry);
  }
  std::erase_if(entries_, [&](const auto &entry) {
    return entry.second.seen != interval_ && !is_unread(entry.first);
  });

  const auto taken = static_cast<std::size_t>(std::count_if(
      entries_.begin(), entries_.end(), [](const auto &entry) { return entry.second.placed; }));
  if (taken < places)
    give_places(candidates, entries, places - taken);

  std::vector<bool> placed;
  placed.reserve(candidates.size());
  for (const Entry *entry : entries)
    placed.push_back(entry->placed);
  return placed;
}

void Roster::give_places(const std::vector<RosterCandidate> &candidates,
                         const std::vector<Entry *> &entries, std::size_t free) {
  std::vector<std::size_t> waiting; // indexes
  for (std::size_t i = 0; i < candidates.size(); ++i)
    if (candidates[i].eligible && !entries[i]->placed)
      waiting.push_back(i);
  const auto order = [&](std::size_t i) {
    return std::tuple<bool, std::uint64_t, const std::string &>(
        !candidates[i].urgent, entries[i]->appeared, *candidates[i].name);
  };
  std::sort(waiting.begin(), waiting.end(),
            [&](std::size_t a, std::size_t b) { return order(a) < order(b); });
  waiting.resize(std::min(waiting.size(), free));
  for (const std::size_t i : waiting)
    entries[i]->placed = true;
}

} // namespace backlog
