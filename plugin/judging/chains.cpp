#include "chains.h"

namespace backlog {

std::map<std::size_t, ChainPlace> find_chains(std::span<const ListenerWait> waits) {
  std::map<std::size_t, std::size_t> next;
  for (const ListenerWait &wait : waits)
    next.try_emplace(wait.from, wait.to);
  std::map<std::size_t, ChainPlace> places;
  for (const auto &[from, to] : next) {
    ChainPlace place{.root = to, .distance = 1};
    for (auto step = next.find(to); step != next.end() && place.distance <= next.size();
         step = next.find(place.root)) {
      place.root = step->second;
      ++place.distance;
    }
    if (place.distance <= next.size())
      places.emplace(from, place);
  }
  return places;
}

} // namespace backlog
