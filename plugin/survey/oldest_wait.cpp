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

void TcpQueueLook::add(TcpQueueLook more) {
  waits.add(std::move(more.waits));
  const std::size_t room = most_clients - std::min(most_clients, clients.size());
  more.clients.resize(std::min(more.clients.size(), room));
  clients.insert(clients.end(), more.clients.begin(), more.clients.end());
  sockets.insert(sockets.end(), more.sockets.begin(), more.sockets.end());
}

void OldestWaitFinder::add_listener(const TcpAddress &address, std::uint32_t queue_length,
                                    TcpQueueLook::Socket socket) {
  const std::size_t index = lookup_.add(address);
  queues_.resize(lookup_.listeners().size());
  queues_[index].length += queue_length;
  if (queue_length > 0)
    queues_[index].sockets.push_back(socket);
}

void OldestWaitFinder::add_waiting(const WaitingConnection &connection) {
  const auto listener = lookup_.find(connection.local);
  if (!listener)
    return;
  Queue &queue = queues_[*listener];
  queue.waiting.push_back({connection.age, connection.cookie});
  if (queue.clients.size() < TcpQueueLook::most_clients)
    queue.clients.push_back({connection.local, connection.remote, connection.cookie});
}

std::vector<OldestWaitFinder::Oldest> OldestWaitFinder::oldest() && {
  // Connections of one tick have the same age; the cookie makes the order the same each time.
  constexpr auto comes_first = [](const Queue::Waiting &a, const Queue::Waiting &b) {
    return a.age != b.age ? a.age > b.age : a.cookie < b.cookie;
  };
  std::vector<Oldest> result;
  result.reserve(queues_.size());
  for (std::size_t i = 0; i < queues_.size(); ++i) {
    Queue &queue = queues_[i];
    std::sort(queue.waiting.begin(), queue.waiting.end(), comes_first);
    Oldest &oldest = result.emplace_back();
    oldest.listener = lookup_.listeners()[i];
    oldest.clients = std::move(queue.clients);
    oldest.sockets = std::move(queue.sockets);
    TcpWaits &waits = oldest.waits;
    waits.ages.reserve(queue.waiting.size());
    for (const Queue::Waiting &connection : queue.waiting)
      waits.ages.push_back(connection.age);
    if (!queue.waiting.empty())
      waits.oldest_cookie = queue.waiting.front().cookie;
    waits.invisible = queue.length - std::min<std::uint64_t>(queue.length, queue.waiting.size());
  }
  return result;
}

} // namespace backlog
