#pragma once

#include "listener_lookup.h"
#include "sock_diag.h"
#include "survey.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace backlog {

/// The two ends of a connection, the server's and the client's.
struct ConnectionEnds {
  TcpAddress local;
  TcpAddress remote;
  std::uint64_t cookie = 0; ///< of the server's socket
};

/// What one look at all connections says of a TCP listener's queue.
struct TcpQueueLook {
  struct Socket {
    std::uint64_t cookie = 0;
    std::uint32_t inode = 0;
  };
  /// Memory for so many clients of a listener, 64 bytes each. Of more that wait it takes those that
  /// come first in the kernel's table, whose order is random (inet_ehashfn() has a secret).
  static constexpr std::size_t most_clients = 4096;

  TcpWaits waits;
  std::vector<ConnectionEnds> clients; ///< of connections that can be seen
  std::vector<Socket> sockets;         ///< the members whose queue is not empty

  /// Adds the connections at another address of the same listener.
  void add(TcpQueueLook more);
};

/// Finds the connections that wait at each address that is listened on.
class OldestWaitFinder {
public:
  /// Add all listeners before the first connection. Listeners with one address add up.
  void add_listener(const TcpAddress &address, std::uint32_t queue_length,
                    TcpQueueLook::Socket socket = {});
  void add_waiting(const WaitingConnection &connection);

  struct Oldest : TcpQueueLook {
    TcpAddress listener;
  };
  /// Returns one entry for each address.
  std::vector<Oldest> oldest() &&;

private:
  struct Queue {
    struct Waiting {
      std::chrono::milliseconds age;
      std::uint64_t cookie;
    };
    std::uint64_t length = 0;
    std::vector<Waiting> waiting;
    std::vector<ConnectionEnds> clients;
    std::vector<TcpQueueLook::Socket> sockets;
  };
  ListenerLookup lookup_;
  std::vector<Queue> queues_; ///< in the order of lookup_.listeners()
};

} // namespace backlog
