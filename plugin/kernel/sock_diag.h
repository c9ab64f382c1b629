#pragma once

#include "function_ref.h"
#include "listener_address.h"
#include "result.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

struct mnl_socket;
struct nlmsghdr;

namespace backlog {

/// One listening TCP socket as the kernel describes it (inet_sk_diag_fill() in
/// net/ipv4/inet_diag.c, tcp_diag_get_info() in net/ipv4/tcp_diag.c).
struct TcpListener {
  TcpAddress address;
  std::uint64_t cookie = 0;           ///< sk_cookie: never reused while the host runs
  std::uint32_t inode = 0;            ///< of the socket in sockfs
  std::uint32_t queue_length = 0;     ///< sk_ack_backlog: connections not yet accepted
  std::uint32_t limit = 0;            ///< sk_max_ack_backlog: min(listen()'s backlog, somaxconn)
  std::uint64_t cgroup_id = 0;        ///< 0: the kernel does not tell
  std::optional<std::uint32_t> drops; ///< sk_drops: a superset of the listener's drops, wraps
};

/// One listening Unix socket (sk_diag_fill() in net/unix/diag.c); its overflows have no counter.
struct UnixListener {
  std::string_view address;       ///< as name_unix_listener() takes it; valid within the sink only
  std::uint64_t cookie = 0;       ///< as in TcpListener
  std::uint32_t queue_length = 0; ///< connections not yet accepted
  std::uint32_t limit = 0;        ///< as in TcpListener
  std::uint32_t inode = 0;        ///< of the socket in sockfs
  std::uint32_t file_inode = 0;   ///< of the file that bind() made, 0: none
  std::uint32_t file_device = 0;  ///< major << 20 | minor, as the kernel has it inside
};

/// One half-open connection, in state SYN_RECV. It is told with the family of its listener, so
/// that an IPv4 client of a dual-stack one is an IPv6 entry with a mapped address.
struct HalfOpen {
  TcpAddress local; ///< never the wildcard; device: the one that the listener is bound to
};

/// One connection that waits in an accept queue. It is told with the family of its listener, too.
/// A client that has sent a reset is not told, though it keeps its place in the queue.
struct WaitingConnection {
  TcpAddress local;                 ///< as in HalfOpen
  std::chrono::milliseconds age{0}; ///< since it came into the queue, in steps of a jiffy
  std::uint64_t cookie = 0;         ///< as in TcpListener
};

/// Reads the messages of one dump. Free of I/O, so that damaged messages can be tested.
class DumpReader {
public:
  using Sink = FunctionRef<void(const nlmsghdr &)>;
  enum class Progress { more, done };

  DumpReader(std::uint32_t sequence, std::uint32_t port_id)
      : sequence_(sequence), port_id_(port_id) {}

  /// Takes one datagram. Errors: the kernel's own (NLMSG_ERROR, and NLMSG_DONE that carries one,
  /// as netlink_dump_done() sends it when a protocol's diag module is missing: ENOENT),
  /// EINTR for an inconsistent dump, EBADMSG for what is damaged, EPROTO for a message of
  /// another exchange.
  Result<Progress> take(std::span<const std::byte> datagram, Sink sink) const;

private:
  std::uint32_t sequence_;
  std::uint32_t port_id_;
};

/// One LISTEN entry of an inet_diag dump; EBADMSG if the message is too short for it.
/// Attributes of a wrong length are passed over: what they hold stays unknown.
Result<TcpListener> parse_tcp_listener(const nlmsghdr &message);

/// One LISTEN entry of a unix_diag dump; as above. An entry without queue (UNIX_DIAG_RQLEN) is
/// damaged, too.
Result<UnixListener> parse_unix_listener(const nlmsghdr &message);

/// Who waits in a listening Unix socket's queue, first come first: the inodes of the clients'
/// sockets, 0 for one that has been closed (sk_diag_dump_icons() in net/unix/diag.c).
using UnixPeers = std::vector<std::uint32_t>;

/// One LISTEN entry of unix_diag with UNIX_DIAG_ICONS; EBADMSG if it has none.
Result<UnixPeers> parse_unix_peers(const nlmsghdr &message);

/// One SYN_RECV entry of an inet_diag dump; empty for a TCP Fast Open child, which waits in the
/// accept queue already.
Result<std::optional<HalfOpen>> parse_half_open(const nlmsghdr &message);

/// One ESTABLISHED or CLOSE_WAIT entry of an inet_diag dump; empty for a connection that has been
/// accepted. A waiting one without INET_DIAG_INFO is damaged.
Result<std::optional<WaitingConnection>> parse_waiting(const nlmsghdr &message);

/// A NETLINK_SOCK_DIAG socket, bound to the net namespace in which it was opened.
class SockDiag {
public:
  using TcpSink = FunctionRef<void(const TcpListener &)>;
  using UnixSink = FunctionRef<void(const UnixListener &)>;
  using HalfOpenSink = FunctionRef<void(const HalfOpen &)>;
  using WaitingSink = FunctionRef<void(const WaitingConnection &)>;
  enum class TcpRequest { both_families, each_family };

  using Buffer = std::vector<std::byte>;

  /// buffer: one that another socket has left, so that none need be made.
  static Result<SockDiag> open(Buffer buffer = {});
  /// Leaves its buffer behind; it must not be used again.
  Buffer take_buffer() { return std::move(buffer_); }

  /// Every listening TCP socket of the namespace, IPv4 and IPv6. After an error the listeners
  /// already given are a part only, and this socket must not be used again: an answer may
  /// still be under way in it.
  Failure dump_tcp_listeners(TcpSink sink);

  /// Every listening Unix socket of the namespace, stream and seqpacket; errors as above.
  Failure dump_unix_listeners(UnixSink sink);

  /// Who waits at this one. Errors: EMSGSIZE for a queue of more than some 8000, ENOENT or ESTALE
  /// for a socket that is gone; and as above.
  Result<UnixPeers> unix_peers(std::uint32_t inode, std::uint64_t cookie);

  /// Every half-open TCP connection of the namespace; errors as above. The kernel walks all
  /// connections of the host for it.
  Failure dump_half_open(HalfOpenSink sink);

  /// The connections that wait to be accepted at these ports, and with many ports also those at
  /// others; errors as above. The kernel walks all connections of the host for it, and describes
  /// at length those at the ports, accepted ones too.
  Failure dump_waiting(std::span<const std::uint16_t> ports, WaitingSink sink);

  /// How TCP sockets are asked for: by one TCPDIAG_GETSOCK until a kernel refuses that.
  void request_tcp_by(TcpRequest request) { tcp_request_ = request; }

private:
  struct Close {
    void operator()(mnl_socket *socket) const;
  };

  SockDiag(mnl_socket *socket, Buffer buffer);
  /// What is asked of TCP: states, a mask, and the attributes to send along, likewise.
  struct TcpQuery {
    std::uint32_t states;
    std::uint8_t extensions;
    std::span<const std::uint16_t> ports = {}; ///< local ones; none: all
  };

  Result<UnixPeers> unix_peers_by_dump(std::uint64_t cookie);
  Failure send(nlmsghdr &request, std::uint16_t flags);
  Failure dump(nlmsghdr &request, DumpReader::Sink sink);
  Failure dump_tcp(TcpQuery query, DumpReader::Sink sink);
  Failure dump_tcp_both_families(TcpQuery query, DumpReader::Sink sink);
  Failure dump_tcp_family(int family, TcpQuery query, DumpReader::Sink sink);
  DumpReader reader() const;
  /// One datagram.
  Result<DumpReader::Progress> receive(const DumpReader &reader, DumpReader::Sink sink);

  std::unique_ptr<mnl_socket, Close> socket_;
  Buffer buffer_;
  std::uint32_t sequence_ = 0;
  TcpRequest tcp_request_ = TcpRequest::both_families;
};

} // namespace backlog
