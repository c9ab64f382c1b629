#pragma once

#include "function_ref.h"
#include "listener_address.h"
#include "netlink_socket.h"
#include "result.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

struct nlmsghdr;

namespace backlog {

/// One listening TCP socket as the kernel describes it (inet_sk_diag_fill() in
/// net/ipv4/inet_diag.c, tcp_diag_get_info() in net/ipv4/tcp_diag.c).
struct TcpListener {
  TcpAddress address;
  std::uint64_t cookie = 0;       ///< sk_cookie: never reused while the host runs
  std::uint32_t inode = 0;        ///< of the socket in sockfs
  std::uint32_t queue_length = 0; ///< sk_ack_backlog: connections not yet accepted
  std::uint32_t limit = 0;        ///< sk_max_ack_backlog: min(listen()'s backlog, somaxconn)
  std::uint64_t cgroup_id = 0;    ///< 0 if the kernel does not send it
  /// Sk_drops: more than the listener's drops (see DropsMoved); wraps around.
  std::optional<std::uint32_t> drops;
};

/// One listening Unix socket (sk_diag_fill() in net/unix/diag.c). The kernel does not count its
/// overflows.
struct UnixListener {
  std::string_view address;       ///< see name_unix_listener(); valid only within the sink
  std::uint64_t cookie = 0;       ///< see TcpListener
  std::uint32_t queue_length = 0; ///< connections not yet accepted
  std::uint32_t limit = 0;        ///< see TcpListener
  std::uint32_t inode = 0;        ///< of the socket in sockfs
  std::uint32_t file_inode = 0;   ///< inode of the file that bind() made, 0 for none
  std::uint32_t file_device = 0;  ///< major << 20 | minor, as inside the kernel
  bool is_shut_down = false;      ///< refuses every client for good (unix_stream_connect())
};

/// One half-open connection, in state SYN_RECV. The kernel reports it with the family of its
/// listener, so that an IPv4 client of a dual-stack listener has a mapped IPv6 address.
struct HalfOpen {
  TcpAddress local; ///< never the wildcard; device is the one that the listener is bound to
};

/// One connection in an accept queue, reported with the family of its listener. The kernel leaves
/// out a connection that its client has reset, though it keeps its place in the queue.
struct WaitingConnection {
  TcpAddress local;                 ///< see HalfOpen
  std::chrono::milliseconds age{0}; ///< time in the queue, in steps of a jiffy
  std::uint64_t cookie = 0;         ///< see TcpListener
  TcpAddress remote = {};           ///< the client's end
};

/// What an end of a TCP connection can be.
enum class TcpEnd : std::uint8_t {
  any,
  /// The client's, while the server has not accepted: the server has answered, and not closed.
  waiting_client,
};

/// Parses an inet_diag entry as the socket with these two ends, in any state but LISTEN: returns
/// its inode, 0 if no process has it open any more. Empty if it is another socket: a query for one
/// connection can find a listener instead (inet_diag_find_one_icsk() in net/ipv4/inet_diag.c).
Result<std::optional<std::uint32_t>> parse_tcp_end(const nlmsghdr &message, const TcpAddress &local,
                                                   const TcpAddress &remote,
                                                   TcpEnd what = TcpEnd::any);

/// Parses a LISTEN entry of an inet_diag dump; EBADMSG if it is too short. An attribute of the
/// wrong length is ignored, so its value stays unknown.
Result<TcpListener> parse_tcp_listener(const nlmsghdr &message);

/// Parses a LISTEN entry of a unix_diag dump, likewise. An entry without a queue (UNIX_DIAG_RQLEN)
/// is damaged.
Result<UnixListener> parse_unix_listener(const nlmsghdr &message);

/// The clients in a listening Unix socket's queue, in order of arrival: the inodes of their
/// sockets, 0 for a closed one (sk_diag_dump_icons() in net/unix/diag.c).
using UnixPeers = std::vector<std::uint32_t>;

/// Parses a LISTEN entry of unix_diag with UNIX_DIAG_ICONS; EBADMSG if it lacks that.
Result<UnixPeers> parse_unix_peers(const nlmsghdr &message);

/// Parses a SYN_RECV entry of an inet_diag dump. Empty for a TCP Fast Open child, which is in the
/// accept queue already.
Result<std::optional<HalfOpen>> parse_half_open(const nlmsghdr &message);

/// Parses an ESTABLISHED or CLOSE_WAIT entry of an inet_diag dump. Empty for a connection that was
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

  /// buffer: from an earlier SockDiag, to save an allocation.
  static Result<SockDiag> open(NetlinkSocket::Buffer buffer = {});
  /// Hands over the buffer; the SockDiag must not be used again.
  NetlinkSocket::Buffer take_buffer() { return socket_.take_buffer(); }

  /// Dumps every listening TCP socket of the namespace, IPv4 and IPv6. After an error the listeners
  /// passed so far are incomplete, and the SockDiag must not be used again, because an answer may
  /// still be on its way.
  Failure dump_tcp_listeners(TcpSink sink);

  /// Dumps every listening Unix socket of the namespace, stream and seqpacket, that is not shut
  /// down; errors as above.
  Failure dump_unix_listeners(UnixSink sink);

  /// Returns the clients that wait at one Unix socket. Errors: EMSGSIZE if more than about 8000
  /// wait, ENOENT or ESTALE if the socket is gone; others as above.
  Result<UnixPeers> unix_peers(std::uint32_t inode, std::uint64_t cookie);

  /// Dumps every half-open TCP connection of the namespace; errors as above. The kernel walks all
  /// connections of the host for it.
  Failure dump_half_open(HalfOpenSink sink);

  /// Dumps the connections that wait at these ports; with many ports also those at others. Errors
  /// as above. The kernel walks all connections of the host for it, and describes those at the
  /// ports at length, accepted ones too.
  Failure dump_waiting(std::span<const std::uint16_t> ports, WaitingSink sink);

  /// Returns the inode of the TCP socket with these two ends, as parse_tcp_end(). Empty if this
  /// namespace has none. It costs about as much as two connections of a dump.
  Result<std::optional<std::uint32_t>>
  find_tcp_end(const TcpAddress &local, const TcpAddress &remote, TcpEnd what = TcpEnd::any);

  /// How to dump TCP sockets: with one TCPDIAG_GETSOCK request, unless the kernel refuses that.
  void request_tcp_by(TcpRequest request) { tcp_request_ = request; }

private:
  explicit SockDiag(NetlinkSocket socket) : socket_(std::move(socket)) {}
  /// A request for TCP sockets: a mask of states and a mask of attributes.
  struct TcpQuery {
    std::uint32_t states;
    std::uint8_t extensions;
    std::span<const std::uint16_t> ports = {}; ///< local ports; empty for all
  };

  Result<UnixPeers> unix_peers_by_dump(std::uint64_t cookie);
  Failure dump_tcp(TcpQuery query, DumpReader::Sink sink);
  Failure dump_tcp_both_families(TcpQuery query, DumpReader::Sink sink);
  Failure dump_tcp_family(int family, TcpQuery query, DumpReader::Sink sink);

  NetlinkSocket socket_;
  TcpRequest tcp_request_ = TcpRequest::both_families;
};

} // namespace backlog
