#pragma once

#include "function_ref.h"
#include "listener_address.h"
#include "net_namespace.h"
#include "oldest_wait.h"
#include "sock_diag.h"

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

namespace backlog {

/// Finds the sockets of TCP clients that are in another net namespace of this host than their
/// listener. A socket there is known by its addresses and ports only, and two namespaces can use
/// the same ones. So a namespace counts as the home of an address that it has when, of a few
/// connections from there,
///  - most have their client's end in it,
///  - none has it in another one, and
///  - none has the listener's end anywhere else: that would be the other end of such a twin.
/// An address that the listener's namespace has itself has no home elsewhere.
/// Then the home's route to the listener's address leads to the listener's namespace, and another
/// connection from that address whose client's end is in the home ends there, too.
class ClientNamespaces {
public:
  /// A connection whose client's end is not in its listener's net namespace.
  struct Connection {
    NetNamespaceId listener_in;
    ConnectionEnds ends;
  };
  /// Asks for the socket with these two ends.
  struct Question {
    TcpAddress local;
    TcpAddress remote;
    TcpEnd what = TcpEnd::any;
  };
  /// The socket's inode, 0 if no process has it open any more; empty if there is none.
  using Answer = std::optional<std::uint32_t>;
  /// Answers each question in one net namespace; nothing if the namespace cannot be asked.
  using Ask = FunctionRef<std::vector<Answer>(NetNamespaceId, std::span<const Question>)>;
  /// Passes the addresses that a net namespace has, as far as they can be read.
  using List = FunctionRef<void(NetNamespaceId, FunctionRef<void(const TcpAddress &)>)>;

  /// To find homes takes at most so many questions in one search, some 2 us each.
  static constexpr std::size_t most_questions = 8192;

  /// Returns the client's socket of each connection, where it is in another of these namespaces.
  /// Those that are not asked for anything are not entered.
  std::vector<Answer> find(std::span<const Connection> connections,
                           std::span<const NetNamespaceId> namespaces, List list, Ask ask);

private:
  using Bytes = std::array<std::uint8_t, 16>;
  /// An address of clients, as the listener's address sees it.
  struct Address {
    NetNamespaceId listener_in;
    bool ipv6 = false;
    Bytes client{};
    Bytes server{};

    auto operator<=>(const Address &) const = default; // NOLINT(modernize-use-nullptr)
  };
  struct Known {
    std::optional<NetNamespaceId> home;
    std::uint64_t looked_for = 0; ///< number of the last search for the home
    std::uint64_t seen = 0;       ///< number of the last search with such a connection
  };
  using Indices = std::vector<std::size_t>; ///< of connections
  using ByAddress = std::map<Address, Indices>;
  struct Search;

  /// Probes of one address.
  struct Trial;

  static Address address_of(const Connection &connection);
  void find_homes(Search &search, const ByAddress &connections);
  void find_at_home(Search &search, const ByAddress &connections);
  std::vector<const ByAddress::value_type *> without_proof(const ByAddress &connections) const;
  std::vector<Trial> trials(const Search &search, const ByAddress &connections);

  std::map<Address, Known> known_;
  std::uint64_t number_ = 0; ///< of the current search
};

} // namespace backlog
