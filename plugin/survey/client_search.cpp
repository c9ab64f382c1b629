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
constexpr std::uint64_t surveys_until_forgotten = 6;
// An address of which so many connections have no other end here is another host's.
constexpr int misses_of_another_host = 3;

/// inode: of the client's socket on this host, see ClientNamespaces::Answer.
void set_end(WaitingClient &client, std::optional<std::uint32_t> inode) {
  client.place = !inode ? Place::elsewhere : *inode == 0 ? Place::ended : Place::here;
  client.inode = inode.value_or(0);
}

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
    set_end(client, *inode);
    return client;
  }

  /// Whether the other end can be in another namespace. An address with an end here is an address
  /// of this one.
  bool may_be_elsewhere(const TcpAddress &remote) const {
    const auto misses = misses_.find(remote.bytes);
    return !failed_ && misses != misses_.end() && misses->second > 0;
  }

private:
  SockDiag &sock_diag_;
  std::map<std::array<std::uint8_t, 16>, int> misses_;
  bool failed_ = false; ///< an answer may still be on its way
};

} // namespace

void ClientSearch::begin() {
  ++number_;
  looked_at_ = 0;
  tcp_.clear();
  unix_.clear();
  not_here_.clear();
  connections_.clear();
  processes_.clear();
}

/// Keeps the processes of clients that were seen lately; a scan can be left out.
void ClientSearch::end() {
  missing_.clear();
  for (const std::uint32_t inode : clients_here())
    if (const auto found = known_.find(inode); found != known_.end())
      found->second.seen = number_;
    else
      missing_.insert(inode);
  std::erase_if(known_, [this](const auto &entry) {
    return number_ - entry.second.seen >= surveys_until_forgotten;
  });
  std::erase_if(far_ends_, [this](const auto &entry) {
    return number_ - entry.second.seen >= surveys_until_forgotten;
  });
  begin();
}

std::unordered_set<std::uint32_t> ClientSearch::clients_here() {
  std::unordered_set<std::uint32_t> inodes;
  for_each_queue([&](const ClientQueue &queue) {
    for (const WaitingClient &client : queue.clients)
      if (client.place == Place::here)
        inodes.insert(client.inode);
  });
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
  std::size_t added = 0;
  for (const ConnectionEnds &ends : look.clients) {
    if (looked_at_ == most_clients)
      break;
    ++looked_at_;
    WaitingClient client;
    client.address = ends.remote;
    queue.clients.push_back(owners_ ? other_ends.find(ends) : client);
    ++added;
  }
  const std::size_t first = queue.clients.size() - added;
  for (std::size_t i = 0; i < added; ++i) {
    const Missing missing{&queue, first + i, look.clients[i].cookie};
    if (missing.client().place != Place::elsewhere ||
        !other_ends.may_be_elsewhere(look.clients[i].remote))
      continue;
    not_here_.push_back(missing);
    connections_.push_back({net_namespace, look.clients[i]});
    if (const auto known = far_ends_.find(missing.cookie); known != far_ends_.end()) {
      known->second.seen = number_;
      set_end(missing.client(), known->second.inode);
    }
  }
}

void ClientSearch::find_in_other_namespaces(std::span<const NetNamespaceId> namespaces,
                                            ClientNamespaces::List list,
                                            ClientNamespaces::Ask ask) {
  const auto found = client_namespaces_.find(connections_, namespaces, list, ask);
  for (std::size_t i = 0; i < not_here_.size(); ++i) {
    const Missing &missing = not_here_[i];
    set_end(missing.client(), found[i]);
    if (found[i])
      far_ends_[missing.cookie] = {.inode = *found[i], .seen = number_};
    else
      far_ends_.erase(missing.cookie);
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

void ClientSearch::find_processes(std::span<const OwnedSocket> listening) {
  std::unordered_set<std::uint32_t> wanted = clients_here();
  wanted.insert(missing_.begin(), missing_.end());
  std::unordered_set<std::uint32_t> noted;
  for (const OwnedSocket &socket : listening)
    noted.insert(socket.inode);
  for_each_queue([&](const ClientQueue &queue) {
    for (const ListeningSocket &socket : queue.sockets)
      noted.insert(socket.inode);
  });
  // They may have other sockets by now.
  const std::vector<pid_t> pids = std::exchange(pids_, {});
  if (!pids.empty())
    take(find_socket_holders(wanted, noted, pids));
  if (!wanted.empty())
    take(find_socket_holders(wanted, noted));
}

void ClientSearch::take(std::vector<SocketHolder> holders) {
  constexpr std::size_t most_pids = 64;
  for (SocketHolder &found : holders) {
    const auto holder = std::make_shared<const SocketHolder>(std::move(found));
    for (const std::uint32_t inode : holder->held)
      known_[inode] = {.holder = holder, .seen = number_};
    if (pids_.size() < most_pids)
      pids_.push_back(holder->owner.pid);
  }
}

/// Returns the listening sockets whose queues were looked at, and those that the clients' processes
/// have open.
std::vector<ListeningSocket>
ClientSearch::sockets_of_interest(std::span<const OwnedSocket> listening) {
  std::unordered_set<std::uint32_t> held;
  for (const std::uint32_t inode : clients_here())
    if (const auto found = known_.find(inode); found != known_.end())
      held.insert(found->second.holder->noted.begin(), found->second.holder->noted.end());
  std::vector<ListeningSocket> sockets;
  for_each_queue([&](const ClientQueue &queue) {
    sockets.insert(sockets.end(), queue.sockets.begin(), queue.sockets.end());
  });
  for (const OwnedSocket &socket : listening)
    if (held.contains(socket.inode))
      sockets.push_back({.cookie = socket.cookie, .inode = socket.inode, .owner = {}});
  return sockets;
}

void ClientSearch::identify_processes(std::span<const ListeningSocket> listening) {
  std::unordered_map<const SocketHolder *, ClientProcess> processes;
  for (const std::uint32_t inode : clients_here()) {
    const auto found = known_.find(inode);
    if (found == known_.end())
      continue;
    const SocketHolder *holder = found->second.holder.get();
    const auto [process, is_new] = processes.try_emplace(holder);
    if (is_new)
      process->second = client_process(*holder, listening);
    processes_.emplace(inode, process->second);
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
