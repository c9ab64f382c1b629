#include "series_quota.h"

#include <algorithm>
#include <tuple>

namespace backlog {

namespace {

constexpr std::size_t extra_share = 10; // one extra slot per so many slots

} // namespace

std::vector<bool> SeriesQuota::update(const std::vector<SeriesCandidate> &candidates,
                                      std::size_t slots, IsUnread is_unread) {
  ++interval_;
  std::vector<Contender> contenders;
  contenders.reserve(candidates.size());
  for (const SeriesCandidate &candidate : candidates) {
    Entry &entry =
        entries_.try_emplace(*candidate.name, Entry{.appeared = interval_}).first->second;
    entry.seen = interval_;
    contenders.push_back({&candidate, &entry});
  }
  std::erase_if(entries_, [&](const auto &entry) {
    return entry.second.seen != interval_ && !is_unread(entry.first);
  });

  const std::size_t taken = count(Slot::regular);
  if (taken < slots)
    give_slots(contenders, slots - taken);
  give_extra_slots(contenders, (slots + extra_share - 1) / extra_share);

  std::vector<bool> given;
  given.reserve(contenders.size());
  for (const Contender &contender : contenders)
    given.push_back(contender.entry->slot != Slot::none);
  return given;
}

std::size_t SeriesQuota::count(Slot slot) const {
  return static_cast<std::size_t>(
      std::count_if(entries_.begin(), entries_.end(),
                    [slot](const auto &entry) { return entry.second.slot == slot; }));
}

void SeriesQuota::give_slots(const std::vector<Contender> &contenders, std::size_t free) {
  std::vector<Contender> waiting;
  for (const Contender &contender : contenders)
    if (contender.entry->slot == Slot::extra ||
        (contender.entry->slot == Slot::none && contender.candidate->eligible))
      waiting.push_back(contender);
  const auto order = [](const Contender &contender) {
    return std::tuple<bool, bool, std::uint64_t, const std::string &>(
        !contender.candidate->requested, contender.entry->slot != Slot::extra,
        contender.entry->appeared, *contender.candidate->name);
  };
  std::sort(waiting.begin(), waiting.end(),
            [&](const Contender &a, const Contender &b) { return order(a) < order(b); });
  waiting.resize(std::min(waiting.size(), free));
  for (const Contender &contender : waiting)
    contender.entry->slot = Slot::regular;
}

void SeriesQuota::give_extra_slots(const std::vector<Contender> &contenders, std::size_t slots) {
  std::vector<Contender> in_trouble;
  std::size_t held = 0; // slots held by listeners that compete
  for (const Contender &contender : contenders) {
    const SeriesCandidate &candidate = *contender.candidate;
    if (contender.entry->slot == Slot::extra)
      ++held;
    else if (contender.entry->slot != Slot::none || !candidate.eligible || !candidate.in_trouble)
      continue;
    in_trouble.push_back(contender);
  }
  const auto order = [](const Contender &contender) {
    return std::tuple<bool, bool, bool, bool, std::uint64_t, const std::string &>(
        !contender.candidate->requested, !contender.candidate->in_trouble,
        !contender.candidate->counts_drops, contender.entry->slot != Slot::extra,
        contender.entry->appeared, *contender.candidate->name);
  };
  std::sort(in_trouble.begin(), in_trouble.end(),
            [&](const Contender &a, const Contender &b) { return order(a) < order(b); });
  const std::size_t of_unread = count(Slot::extra) - held;
  const std::size_t given = std::min(in_trouble.size(), slots - std::min(slots, of_unread));
  for (std::size_t i = 0; i < in_trouble.size(); ++i)
    in_trouble[i].entry->slot = i < given ? Slot::extra : Slot::none;
}

} // namespace backlog
