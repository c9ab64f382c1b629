#include "client_search.h"

#include <algorithm>
#include <array>
#include <limits>
#include <unordered_set>
#include <utility>

namespace backlog {

namespace {

using Place = WaitingClient::Place;

// At most so many clients in one survey; memory for some 100 bytes each.
constexpr std::size_t most_clients = 16384;
// An address of which so many connections have no other end here is another host's.
constexpr int misses_of_another_host = 3;

/// Looks for the other ends of connections in the namespace of the sock_diag socket.
class OtherEnds {
public:
  explicit OtherEnds(SockDiag &sock_diag) : sock_diag_(sock_diag) {}

  WaitingClient find(const ConnectionEnds &ends) {
    WaitingClient client;
    client.address = ends.remote;
    int &misses = misses_[ends.remote.bytes];
    if (failed_ || misses >= misses_of_another_host)
      return client;
    TcpAddress own = ends.remote;
    if (own.is_link_local())
      own.device = ends.local.device;
    const auto inode = sock_diag_.find_tcp_end(own, ends.local);
    failed_ = !inode;
    if (failed_)
      return client;
    if (!*inode) {
      ++misses;
      return client;
    }
    misses = std::numeric_limits<int>::min();
    client.place = **inode == 0 ? Place::ended : Place::here;
    client.inode = **inode;
    return client;
  }

private:
  SockDiag &sock_diag_;
  std::map<std::array<std::uint8_t, 16>, int> misses_;
  bool failed_ = false; ///< an answer may still be on its way
};

} // namespace

void ClientSearch::begin() {
  looked_at_ = 0;
  tcp_.clear();
  unix_.clear();
}

/// Keeps the processes of sockets that were seen in this survey.
void ClientSearch::end() {
  const std::unordered_set<std::uint32_t> seen = clients_here();
  std::erase_if(processes_, [&](const auto &entry) { return !seen.contains(entry.first); });
  begin();
}

std::unordered_set<std::uint32_t> ClientSearch::clients_here() const {
  std::unordered_set<std::uint32_t> inodes;
  const auto add = [&](const ClientQueue &queue) {
    for (const WaitingClient &client : queue.clients)
      if (client.place == Place::here)
        inodes.insert(client.inode);
  };
  for (const auto &[key, queue] : tcp_)
    add(queue);
  for (const auto &[cookie, queue] : unix_)
    add(queue);
  return inodes;
}

void ClientSearch::add_tcp(SockDiag &sock_diag, NetNamespaceId net_namespace,
                           const std::string &key, const TcpQueueLook &look) {
  ClientQueue &queue = tcp_[{net_namespace, key}];
  queue.visible += look.waits.ages.size();
  queue.invisible += look.waits.invisible;
  for (const TcpQueueLook::Socket &socket : look.sockets)
    queue.sockets.push_back({.cookie = socket.cookie, .inode = socket.inode, .owner = {}});
  OtherEnds other_ends(sock_diag);
  for (const ConnectionEnds &ends : look.clients) {
    if (looked_at_ == most_clients)
      break;
    ++looked_at_;
    WaitingClient client;
    client.address = ends.remote;
    queue.clients.push_back(owners_ ? other_ends.find(ends) : client);
  }
}

void ClientSearch::add_unix(const ListeningSocket &socket, const UnixPeers &peers) {
  ClientQueue &queue = unix_[socket.cookie];
  queue.sockets = {socket};
  queue.visible = peers.size();
  for (const std::uint32_t inode : peers) {
    if (looked_at_ == most_clients)
      break;
    ++looked_at_;
    queue.clients.push_back(
        {.address = {}, .place = inode == 0 ? Place::ended : Place::here, .inode = inode});
  }
}

void ClientSearch::find_processes(const std::vector<ListeningSocket> &listening) {
  std::unordered_set<std::uint32_t> wanted = clients_here();
  std::unordered_set<std::uint32_t> noted;
  for (const ListeningSocket &socket : listening)
    noted.insert(socket.inode);
  // The sockets that they have, too, may be others than in the last survey.
  const std::vector<pid_t> known = std::exchange(known_, {});
  if (!known.empty())
    take(find_socket_holders(wanted, noted, known), listening);
  if (!wanted.empty())
    take(find_socket_holders(wanted, noted), listening);
}

void ClientSearch::take(const std::vector<SocketHolder> &holders,
                        const std::vector<ListeningSocket> &listening) {
  constexpr std::size_t most_known = 64;
  for (const SocketHolder &holder : holders) {
    const ClientProcess process = client_process(holder, listening);
    for (const std::uint32_t inode : holder.held)
      processes_.insert_or_assign(inode, process);
    if (known_.size() < most_known)
      known_.push_back(holder.owner.pid);
  }
}

std::map<ClientSearch::TcpKey, WaitingClients> ClientSearch::tcp_clients() const {
  std::map<TcpKey, WaitingClients> result;
  for (const auto &[key, queue] : tcp_)
    result.emplace(key, count_clients(queue, processes_, report_));
  return result;
}

std::unordered_map<std::uint64_t, WaitingClients> ClientSearch::unix_clients() const {
  std::unordered_map<std::uint64_t, WaitingClients> result;
  for (const auto &[cookie, queue] : unix_)
    result.emplace(cookie, count_clients(queue, processes_, report_));
  return result;
}

} // namespace backlog
