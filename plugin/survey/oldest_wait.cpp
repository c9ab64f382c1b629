#include "oldest_wait.h"

#include <algorithm>
#include <functional>
#include <utility>

namespace backlog {

void TcpWaits::add(TcpWaits more) {
  if (ages.empty() || (!more.ages.empty() && more.ages.front() > ages.front()))
    oldest_cookie = more.oldest_cookie;
  std::vector<std::chrono::milliseconds> all(ages.size() + more.ages.size());
  std::merge(ages.begin(), ages.end(), more.ages.begin(), more.ages.end(), all.begin(),
             std::greater<>());
  ages = std::move(all);
  invisible += more.invisible;
}

void OldestWaitFinder::add_listener(const TcpAddress &address, std::uint32_t queue_length) {
  const std::size_t index = lookup_.add(address);
  queues_.resize(lookup_.listeners().size());
  queues_[index].length += queue_length;
}

void OldestWaitFinder::add_waiting(const WaitingConnection &connection) {
  if (const auto listener = lookup_.find(connection.local))
    queues_[*listener].waiting.push_back(connection);
}

std::vector<OldestWaitFinder::Oldest> OldestWaitFinder::oldest() && {
  // Connections of one tick have the same age; the cookie makes the order the same each time.
  constexpr auto comes_first = [](const WaitingConnection &a, const WaitingConnection &b) {
    return a.age != b.age ? a.age > b.age : a.cookie < b.cookie;
  };
  std::vector<Oldest> result;
  result.reserve(queues_.size());
  for (std::size_t i = 0; i < queues_.size(); ++i) {
    Queue &queue = queues_[i];
    std::sort(queue.waiting.begin(), queue.waiting.end(), comes_first);
    TcpWaits waits;
    waits.ages.reserve(queue.waiting.size());
    for (const WaitingConnection &connection : queue.waiting)
      waits.ages.push_back(connection.age);
    if (!queue.waiting.empty())
      waits.oldest_cookie = queue.waiting.front().cookie;
    waits.invisible = queue.length - std::min<std::uint64_t>(queue.length, queue.waiting.size());
    result.push_back({lookup_.listeners()[i], std::move(waits)});
  }
  return result;
}

} // namespace backlog
