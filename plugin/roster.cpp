#include "roster.h"

#include <algorithm>
#include <tuple>

namespace backlog {

std::vector<bool> Roster::update(const std::vector<RosterCandidate> &candidates,
                                 std::size_t places) {
  ++interval_;
  for (const RosterCandidate &candidate : candidates) {
    Entry &entry =
        entries_.try_emplace(*candidate.name, Entry{.appeared = interval_}).first->second;
    entry.seen = interval_;
  }
  std::erase_if(entries_, [&](const auto &entry) { return entry.second.seen != interval_; });

  std::size_t taken = static_cast<std::size_t>(std::count_if(
      entries_.begin(), entries_.end(), [](const auto &entry) { return entry.second.placed; }));
  using Order = std::tuple<bool, std::uint64_t, const std::string &>;
  const auto order = [&](const RosterCandidate *candidate) {
    return Order(!candidate->urgent, entries_.at(*candidate->name).appeared, *candidate->name);
  };
  std::vector<const RosterCandidate *> waiting;
  for (const RosterCandidate &candidate : candidates)
    if (candidate.eligible && !entries_.at(*candidate.name).placed)
      waiting.push_back(&candidate);
  std::sort(waiting.begin(), waiting.end(),
            [&](const auto *a, const auto *b) { return order(a) < order(b); });
  for (const RosterCandidate *candidate : waiting)
    if (taken < places) {
      entries_.at(*candidate->name).placed = true;
      ++taken;
    }

  std::vector<bool> placed;
  placed.reserve(candidates.size());
  for (const RosterCandidate &candidate : candidates)
    placed.push_back(entries_.at(*candidate.name).placed);
  return placed;
}

} // namespace backlog
