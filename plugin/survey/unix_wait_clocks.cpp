#include "unix_wait_clocks.h"

#include <algorithm>

namespace backlog {

void UnixWaitClocks::see(std::uint64_t cookie, std::span<const std::uint32_t> peers,
                         TimePoint now) {
  const auto [entry, is_new] = queues_.try_emplace(cookie);
  Queue &queue = entry->second;
  queue.in_look = true;
  queue.seen = now;

  const auto stays = [](const Peer &before, std::uint32_t inode) {
    return inode == before.inode || inode == 0;
  };
  const bool in_place = queue.peers.size() <= peers.size() &&
                        std::equal(queue.peers.begin(), queue.peers.end(), peers.begin(), stays);
  queue.accepted = !in_place;
  if (is_new || !in_place)
    queue.none_accepted_since = now;

  std::unordered_map<std::uint32_t, TimePoint> known;
  for (const Peer &peer : queue.peers)
    if (peer.inode != 0)
      known.emplace(peer.inode, peer.since);
  queue.peers.clear();
  queue.peers.reserve(peers.size());
  for (const std::uint32_t inode : peers) {
    const auto before = known.find(inode);
    queue.peers.push_back({inode, before == known.end() ? now : before->second});
  }
}

void UnixWaitClocks::end_look() {
  std::erase_if(queues_, [](const auto &entry) { return !entry.second.in_look; });
  for (auto &[cookie, queue] : queues_)
    queue.in_look = false;
}

std::unordered_map<std::uint64_t, UnixWaits> UnixWaitClocks::waits() const {
  std::unordered_map<std::uint64_t, UnixWaits> result;
  for (const auto &[cookie, queue] : queues_) {
    UnixWaits &waits = result[cookie];
    waits.none_accepted_for = queue.seen - queue.none_accepted_since;
    waits.accepted = queue.accepted;
    const auto oldest = std::find_if(queue.peers.begin(), queue.peers.end(),
                                     [](const Peer &peer) { return peer.inode != 0; });
    if (oldest != queue.peers.end())
      waits.oldest = queue.seen - oldest->since;
  }
  return result;
}

} // namespace backlog
