#include "roster.h"

#include <algorithm>
#include <tuple>

namespace backlog {

namespace {

constexpr std::size_t extra_share = 10; // one for so many places

} // namespace

std::vector<bool> Roster::update(const std::vector<RosterCandidate> &candidates, std::size_t places,
                                 IsUnread is_unread) {
  ++interval_;
  std::vector<Wish> wishes;
  wishes.reserve(candidates.size());
  for (const RosterCandidate &candidate : candidates) {
    Entry &entry =
        entries_.try_emplace(*candidate.name, Entry{.appeared = interval_}).first->second;
    entry.seen = interval_;
    wishes.push_back({&candidate, &entry});
  }
  std::erase_if(entries_, [&](const auto &entry) {
    return entry.second.seen != interval_ && !is_unread(entry.first);
  });

  const std::size_t taken = count(Place::regular);
  if (taken < places)
    give_places(wishes, places - taken);
  give_extra_places(wishes, (places + extra_share - 1) / extra_share);

  std::vector<bool> placed;
  placed.reserve(wishes.size());
  for (const Wish &wish : wishes)
    placed.push_back(wish.entry->place != Place::none);
  return placed;
}

std::size_t Roster::count(Place place) const {
  return static_cast<std::size_t>(
      std::count_if(entries_.begin(), entries_.end(),
                    [place](const auto &entry) { return entry.second.place == place; }));
}

void Roster::give_places(const std::vector<Wish> &wishes, std::size_t free) {
  std::vector<Wish> waiting;
  for (const Wish &wish : wishes)
    if (wish.entry->place == Place::extra ||
        (wish.entry->place == Place::none && wish.candidate->eligible))
      waiting.push_back(wish);
  const auto order = [](const Wish &wish) {
    return std::tuple<bool, bool, std::uint64_t, const std::string &>(
        !wish.candidate->urgent, wish.entry->place != Place::extra, wish.entry->appeared,
        *wish.candidate->name);
  };
  std::sort(waiting.begin(), waiting.end(),
            [&](const Wish &a, const Wish &b) { return order(a) < order(b); });
  waiting.resize(std::min(waiting.size(), free));
  for (const Wish &wish : waiting)
    wish.entry->place = Place::regular;
}

void Roster::give_extra_places(const std::vector<Wish> &wishes, std::size_t places) {
  std::vector<Wish> contenders;
  std::size_t held = 0; // by those that contend
  for (const Wish &wish : wishes) {
    const RosterCandidate &candidate = *wish.candidate;
    if (wish.entry->place == Place::extra)
      ++held;
    else if (wish.entry->place != Place::none || !candidate.eligible || !candidate.in_trouble)
      continue;
    contenders.push_back(wish);
  }
  const auto order = [](const Wish &wish) {
    return std::tuple<bool, bool, bool, bool, std::uint64_t, const std::string &>(
        !wish.candidate->urgent, !wish.candidate->in_trouble, !wish.candidate->counts_drops,
        wish.entry->place != Place::extra, wish.entry->appeared, *wish.candidate->name);
  };
  std::sort(contenders.begin(), contenders.end(),
            [&](const Wish &a, const Wish &b) { return order(a) < order(b); });
  const std::size_t of_unread = count(Place::extra) - held;
  const std::size_t given = std::min(contenders.size(), places - std::min(places, of_unread));
  for (std::size_t i = 0; i < contenders.size(); ++i)
    contenders[i].entry->place = i < given ? Place::extra : Place::none;
}

} // namespace backlog
