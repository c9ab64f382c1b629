#pragma once

#include "client_namespaces.h"
#include "net_namespace.h"
#include "oldest_wait.h"
#include "sock_diag.h"
#include "waiting_clients.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <sys/types.h>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace backlog {

/// Finds out in each survey who waits in the accept queues that were looked at. A client on this
/// host is found by its socket: of TCP by the other end of the connection, in the listener's net
/// namespace or in another; of Unix by its inode.
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
  /// Looks for the clients that are in none of the listeners' own namespaces, after all queues have
  /// been added. namespaces: all that collectd looks into.
  void find_in_other_namespaces(std::span<const NetNamespaceId> namespaces,
                                ClientNamespaces::List list, ClientNamespaces::Ask ask);
  /// Looks for the processes that have the clients' sockets open: first into those that had some in
  /// the last search, then, if some are missing, into all. listening: all listening sockets.
  void find_processes(std::span<const OwnedSocket> listening);
  /// Finds out which listeners the processes serve; those of an earlier search, too. owner_of:
  /// gives the Owner of a listening socket by cookie, or null.
  template <class OwnerOf>
  void identify_processes(std::span<const OwnedSocket> listening, OwnerOf owner_of) {
    std::vector<ListeningSocket> sockets = sockets_of_interest(listening);
    for (ListeningSocket &socket : sockets)
      if (const Owner *owner = owner_of(socket.cookie))
        socket.owner = *owner;
    identify_processes(sockets);
  }

  using TcpKey = std::pair<NetNamespaceId, std::string>;
  std::map<TcpKey, WaitingClients> tcp_clients() const;
  std::unordered_map<std::uint64_t, WaitingClients> unix_clients() const; ///< by cookie

private:
  struct Known {
    std::shared_ptr<const SocketHolder> holder;
    std::uint64_t seen = 0; ///< number of the last survey that had the client
  };

  /// A client's socket in another namespace.
  struct FarEnd {
    std::uint32_t inode = 0;
    std::uint64_t seen = 0; ///< number of the last survey that had the connection
  };
  /// A client that is not in the listener's own namespace.
  struct Missing {
    WaitingClient &client() const { return queue->clients[index]; }

    ClientQueue *queue; ///< in tcp_
    std::size_t index;  ///< of the client in there
    std::uint64_t cookie;
  };

  template <class Use> void for_each_queue(Use use) {
    for (auto &[key, queue] : tcp_)
      use(queue);
    for (auto &[cookie, queue] : unix_)
      use(queue);
  }
  std::vector<ListeningSocket> sockets_of_interest(std::span<const OwnedSocket> listening);
  void identify_processes(std::span<const ListeningSocket> listening);
  std::unordered_set<std::uint32_t> clients_here(); ///< inodes
  void take(std::vector<SocketHolder> holders);

  ClientReport report_;
  bool owners_;
  std::unordered_map<std::uint32_t, Known> known_; ///< by client's inode
  std::vector<pid_t> pids_; ///< processes that had clients' sockets in the last search
  /// Clients of the last survey whose processes were not found: a scan can be left out.
  std::unordered_set<std::uint32_t> missing_;
  std::uint64_t number_ = 0; ///< of the current survey
  ClientNamespaces client_namespaces_;
  /// By connection's cookie, for the surveys in which there is no time for that search.
  std::unordered_map<std::uint64_t, FarEnd> far_ends_;
  // The current survey.
  std::size_t looked_at_ = 0; ///< clients
  std::map<TcpKey, ClientQueue> tcp_;
  std::vector<Missing> not_here_;
  std::vector<ClientNamespaces::Connection> connections_; ///< of not_here_, in its order
  std::unordered_map<std::uint64_t, ClientQueue> unix_;
  ClientProcesses processes_;
};

} // namespace backlog
