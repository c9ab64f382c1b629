#pragma once

#include "config.h"
#include "listener_address.h"
#include "owner.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

namespace backlog {

/// The client of one connection that can be seen in an accept queue.
struct WaitingClient {
  enum class Place : std::uint8_t {
    elsewhere, ///< on another host or in another net namespace
    here,
    ended, ///< on this host, and no process has its socket open any more
  };

  std::optional<TcpAddress> address; ///< empty for a Unix client
  Place place = Place::elsewhere;
  std::uint32_t inode = 0; ///< of its socket, if that is here
};

/// A socket that listens, and whose it is.
struct ListeningSocket {
  std::uint64_t cookie = 0;
  std::uint32_t inode = 0;
  Owner owner;
};

/// The clients in one accept queue.
struct ClientQueue {
  std::vector<ListeningSocket> sockets; ///< those of the listener with a queue that is not empty
  std::vector<WaitingClient> clients;   ///< those that were looked at
  std::uint64_t visible = 0;            ///< connections in the queue that can be seen
  std::uint64_t invisible = 0;          ///< connections whose clients have reset them
};

/// A process with clients' sockets, and the listening sockets whose clients it serves.
struct ClientProcess {
  std::string name; ///< see Owner::text()
  /// Of a worker without a unit the owner of its listener, which stands for all workers; else "".
  std::string worker_of;
  std::vector<std::uint64_t> listeners; ///< cookies
};
using ClientProcesses = std::unordered_map<std::uint32_t, ClientProcess>; ///< by client's inode

/// A process serves a listener if it has the listening socket open, as workers have that their
/// master made; or if it is of the same unit and program as the listener's owner.
ClientProcess client_process(const SocketHolder &holder,
                             std::span<const ListeningSocket> listening);

/// Who waits in an accept queue.
struct WaitingClients {
  struct Client {
    std::string client; ///< address, or owner; see count_clients()
    std::string owner;  ///< of an address on this host; else ""
    std::uint64_t count = 0;
    bool is_itself = false; ///< a process that serves this listener
  };

  std::vector<Client> most;    ///< the most frequent, at most three, the first one first
  std::uint64_t counted = 0;   ///< connections looked at, whether their clients are listed or not
  std::uint64_t visible = 0;   ///< see ClientQueue
  std::uint64_t invisible = 0; ///< see ClientQueue
  /// Of other listeners: connections waiting here whose clients serve them, by cookie.
  std::map<std::uint64_t, std::uint64_t> of_listeners;
};

/// Stands for clients that have ended.
constexpr const char *ended_clients = "ended clients";

/// Counts clients. With ClientReport::owners by the owner on this host, and those elsewhere are
/// counted only as part of `counted`; with ClientReport::addresses by address and owner.
WaitingClients count_clients(const ClientQueue &queue, const ClientProcesses &processes,
                             ClientReport report);

/// "31 of 40 from 10.0.0.7, 5 from 10.0.0.8 (nginx.service)", as layout::Listener::clients has it;
/// printable(); "" if no client is listed. It leaves out clients that do not fit.
std::string clients_text(const WaitingClients &clients, std::size_t max_bytes);

/// The most frequent client for a message: "31 of 40 waiting from 10.0.0.7", "all from
/// nginx.service". "" if none stands out, or if the first one is the listener's own process.
std::string clients_remark(const WaitingClients &clients);

} // namespace backlog
