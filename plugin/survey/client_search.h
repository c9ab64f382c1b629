#pragma once

#include "net_namespace.h"
#include "oldest_wait.h"
#include "sock_diag.h"
#include "waiting_clients.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <sys/types.h>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace backlog {

/// Finds out in each survey who waits in the accept queues that were looked at. A client on this
/// host is found by its socket: of TCP by the other end of the connection, in the listener's net
/// namespace; of Unix by its inode.
class ClientSearch {
public:
  /// report: see ReportClients. owners: whether to look into processes, see ReportOwner.
  ClientSearch(ClientReport report, bool owners)
      : report_(report == ClientReport::owners && !owners ? ClientReport::off : report),
        owners_(owners) {}

  bool is_on() const { return report_ != ClientReport::off; }
  bool wants_processes() const { return is_on() && owners_; }

  /// Begins a survey.
  void begin();
  /// Ends it, and frees memory.
  void end();
  /// Adds a TCP listener's queue; key: lasting_key(). Runs in its net namespace.
  void add_tcp(SockDiag &sock_diag, NetNamespaceId net_namespace, const std::string &key,
               const TcpQueueLook &look);
  /// Adds the queue of a Unix socket.
  void add_unix(const ListeningSocket &socket, const UnixPeers &peers);
  /// Looks for the processes that have the clients' sockets open: first into those that had some in
  /// the last survey, then, if some are missing, into all. Without it those of the last survey are
  /// known. owner_of: gives the Owner of a listening socket by cookie, or null.
  template <class OwnerOf> void find_processes(OwnerOf owner_of) {
    std::vector<ListeningSocket> listening;
    const auto add = [&](ClientQueue &queue) {
      for (ListeningSocket &socket : queue.sockets) {
        if (const Owner *owner = owner_of(socket.cookie))
          socket.owner = *owner;
        listening.push_back(socket);
      }
    };
    for (auto &[key, queue] : tcp_)
      add(queue);
    for (auto &[cookie, queue] : unix_)
      add(queue);
    find_processes(listening);
  }

  using TcpKey = std::pair<NetNamespaceId, std::string>;
  std::map<TcpKey, WaitingClients> tcp_clients() const;
  std::unordered_map<std::uint64_t, WaitingClients> unix_clients() const; ///< by cookie

private:
  void find_processes(const std::vector<ListeningSocket> &listening);
  std::unordered_set<std::uint32_t> clients_here() const; ///< inodes
  void take(const std::vector<SocketHolder> &holders,
            const std::vector<ListeningSocket> &listening);

  ClientReport report_;
  bool owners_;
  ClientProcesses processes_; ///< also from earlier surveys
  std::vector<pid_t> known_;  ///< processes that had clients' sockets in the last search
  // The current survey.
  std::size_t looked_at_ = 0; ///< clients
  std::map<TcpKey, ClientQueue> tcp_;
  std::unordered_map<std::uint64_t, ClientQueue> unix_;
};

} // namespace backlog
