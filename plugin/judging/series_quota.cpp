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
  std::vector<Wish> wishes;
  wishes.reserve(candidates.size());
  for (const SeriesCandidate &candidate : candidates) {
    Entry &entry =
        entries_.try_emplace(*candidate.name, Entry{.appeared = interval_}).first->second;
    entry.seen = interval_;
    wishes.push_back({&candidate, &entry});
  }
  std::erase_if(entries_, [&](const auto &entry) {
    return entry.second.seen != interval_ && !is_unread(entry.first);
  });

  const std::size_t taken = count(Slot::regular);
  if (taken < slots)
    give_slots(wishes, slots - taken);
  give_extra_slots(wishes, (slots + extra_share - 1) / extra_share);

  std::vector<bool> given;
  given.reserve(wishes.size());
  for (const Wish &wish : wishes)
    given.push_back(wish.entry->slot != Slot::none);
  return given;
}

std::size_t SeriesQuota::count(Slot slot) const {
  return static_cast<std::size_t>(
      std::count_if(entries_.begin(), entries_.end(),
                    [slot](const auto &entry) { return entry.second.slot == slot; }));
}

void SeriesQuota::give_slots(const std::vector<Wish> &wishes, std::size_t free) {
  std::vector<Wish> waiting;
  for (const Wish &wish : wishes)
    if (wish.entry->slot == Slot::extra ||
        (wish.entry->slot == Slot::none && wish.candidate->eligible))
      waiting.push_back(wish);
  const auto order = [](const Wish &wish) {
    return std::tuple<bool, bool, std::uint64_t, const std::string &>(
        !wish.candidate->requested, wish.entry->slot != Slot::extra, wish.entry->appeared,
        *wish.candidate->name);
  };
  std::sort(waiting.begin(), waiting.end(),
            [&](const Wish &a, const Wish &b) { return order(a) < order(b); });
  waiting.resize(std::min(waiting.size(), free));
  for (const Wish &wish : waiting)
    wish.entry->slot = Slot::regular;
}

void SeriesQuota::give_extra_slots(const std::vector<Wish> &wishes, std::size_t slots) {
  std::vector<Wish> contenders;
  std::size_t held = 0; // slots held by listeners that compete
  for (const Wish &wish : wishes) {
    const SeriesCandidate &candidate = *wish.candidate;
    if (wish.entry->slot == Slot::extra)
      ++held;
    else if (wish.entry->slot != Slot::none || !candidate.eligible || !candidate.in_trouble)
      continue;
    contenders.push_back(wish);
  }
  const auto order = [](const Wish &wish) {
    return std::tuple<bool, bool, bool, bool, std::uint64_t, const std::string &>(
        !wish.candidate->requested, !wish.candidate->in_trouble, !wish.candidate->counts_drops,
        wish.entry->slot != Slot::extra, wish.entry->appeared, *wish.candidate->name);
  };
  std::sort(contenders.begin(), contenders.end(),
            [&](const Wish &a, const Wish &b) { return order(a) < order(b); });
  const std::size_t of_unread = count(Slot::extra) - held;
  const std::size_t given = std::min(contenders.size(), slots - std::min(slots, of_unread));
  for (std::size_t i = 0; i < contenders.size(); ++i)
    contenders[i].entry->slot = i < given ? Slot::extra : Slot::none;
}

} // namespace backlog
