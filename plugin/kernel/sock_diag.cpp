#include "sock_diag.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace backlog {

namespace {

constexpr std::uint32_t listen_only = 1U << TCP_LISTEN;
constexpr std::uint8_t with_memory = 1U << (INET_DIAG_SKMEMINFO - 1);
constexpr std::size_t drops_index = 8;      // SK_MEMINFO_DROPS, since Linux 4.7
constexpr std::uint8_t receiving_ended = 1; // RCV_SHUTDOWN in include/net/sock.h
// The kernel compares each connection with one port after another, about 5 ns each; describing a
// connection takes 700 ns.
constexpr std::size_t most_filtered_ports = 64;
constexpr std::size_t filter_ops_per_port = 3;

using Payload = std::span<const std::byte>;

template <class T> T read_payload(Payload payload, std::size_t index = 0) {
  T value{};
  std::memcpy(&value, payload.data() + index * sizeof value, sizeof value);
  return value;
}

Error damaged_message() { return {EBADMSG, "read sock_diag message"}; }

/// The fixed part of an entry; nullptr if the message is too short for it.
template <class Entry> const Entry *entry_of(const nlmsghdr &message) {
  if (mnl_nlmsg_get_payload_len(&message) < sizeof(Entry))
    return nullptr;
  return static_cast<const Entry *>(mnl_nlmsg_get_payload(&message));
}

/// Calls take(type, payload) for each attribute after the fixed part. libmnl's accessors would need
/// four calls into the library for each attribute of each listener in each sample.
template <class Entry, class Take> void for_each_attribute(const nlmsghdr &message, Take take) {
  const auto *at =
      reinterpret_cast<const std::byte *>(&message) + NLMSG_HDRLEN + NLMSG_ALIGN(sizeof(Entry));
  const auto *end = reinterpret_cast<const std::byte *>(&message) + message.nlmsg_len;
  while (end - at >= static_cast<std::ptrdiff_t>(sizeof(nlattr))) {
    nlattr header{};
    std::memcpy(&header, at, sizeof header);
    if (header.nla_len < sizeof header || header.nla_len > end - at)
      return;
    take(header.nla_type & NLA_TYPE_MASK,
         std::span(at + NLA_HDRLEN, static_cast<std::size_t>(header.nla_len) - NLA_HDRLEN));
    at += std::min<std::ptrdiff_t>(NLA_ALIGN(header.nla_len), end - at);
  }
}

std::uint64_t cookie_of(const std::uint32_t (&words)[2]) {
  return std::uint64_t{words[1]} << 32U | std::uint64_t{words[0]};
}

void put_cookie(std::uint64_t cookie, std::uint32_t (&words)[2]) {
  words[0] = static_cast<std::uint32_t>(cookie);
  words[1] = static_cast<std::uint32_t>(cookie >> 32U);
}

void take_local_address(const inet_diag_msg &entry, TcpAddress &address) {
  address.ipv6 = entry.idiag_family == AF_INET6;
  address.port = ntohs(entry.id.idiag_sport);
  address.device = entry.id.idiag_if;
  if (address.ipv6)
    std::memcpy(address.bytes.data(), entry.id.idiag_src, 16);
  else
    std::memcpy(address.bytes.data(), entry.id.idiag_src, 4);
}

void take_remote_address(const inet_diag_msg &entry, TcpAddress &address) {
  address.ipv6 = entry.idiag_family == AF_INET6;
  address.port = ntohs(entry.id.idiag_dport);
  std::memcpy(address.bytes.data(), entry.id.idiag_dst, address.ipv6 ? 16 : 4);
}

void put_address(const TcpAddress &address, __be32 (&words)[4], __be16 &port) {
  std::memcpy(words, address.bytes.data(), address.ipv6 ? 16 : 4);
  port = htons(address.port);
}

bool can_be(TcpEnd what, std::uint8_t state) {
  // inet_diag reports a TIME_WAIT socket that waits for the server's FIN as FIN_WAIT2.
  if (what == TcpEnd::waiting_client)
    return state == TCP_ESTABLISHED || state == TCP_FIN_WAIT1 || state == TCP_FIN_WAIT2;
  return state != TCP_LISTEN;
}

bool same_end(const TcpAddress &a, const TcpAddress &b) {
  const TcpAddress one = a.unmapped();
  const TcpAddress other = b.unmapped();
  return one.ipv6 == other.ipv6 && one.bytes == other.bytes && one.port == other.port;
}

void take_attribute(int type, Payload payload, TcpListener &listener) {
  switch (type) {
  case INET_DIAG_SKMEMINFO:
    if (payload.size() >= (drops_index + 1) * sizeof(std::uint32_t))
      listener.drops = read_payload<std::uint32_t>(payload, drops_index);
    break;
  case INET_DIAG_SKV6ONLY:
    if (payload.size() >= sizeof(std::uint8_t))
      listener.address.v6only = read_payload<std::uint8_t>(payload) != 0;
    break;
  case INET_DIAG_CGROUP_ID:
    if (payload.size() >= sizeof(std::uint64_t))
      listener.cgroup_id = read_payload<std::uint64_t>(payload);
    break;
  default:
    break;
  }
}

/// A request, zeroed apart from its type, with room for a filter.
template <class Body> class RequestBuffer {
public:
  explicit RequestBuffer(std::uint16_t type)
      : header_(mnl_nlmsg_put_header(bytes_.data())),
        body_(static_cast<Body *>(mnl_nlmsg_put_extra_header(header_, sizeof(Body)))) {
    header_->nlmsg_type = type;
  }
  nlmsghdr &header() { return *header_; }
  Body &body() { return *body_; }

private:
  static constexpr std::size_t filter_bytes =
      MNL_ATTR_HDRLEN + most_filtered_ports * filter_ops_per_port * sizeof(inet_diag_bc_op);

  alignas(nlmsghdr)
      std::array<char, MNL_NLMSG_HDRLEN + MNL_ALIGN(sizeof(Body)) + filter_bytes> bytes_{};
  nlmsghdr *header_;
  Body *body_;
};

/// Adds bytecode that accepts connections with one of the local ports (inet_diag_bc_run() in
/// net/ipv4/inet_diag.c). Offsets count from their own op; a jump to the very end accepts, and a
/// jump one op further rejects.
void put_port_filter(nlmsghdr &request, std::span<const std::uint16_t> ports) {
  if (ports.empty() || ports.size() > most_filtered_ports)
    return;
  constexpr std::size_t op_bytes = sizeof(inet_diag_bc_op);
  std::array<inet_diag_bc_op, most_filtered_ports * filter_ops_per_port> ops{};
  const std::size_t end = ports.size() * filter_ops_per_port;
  for (std::size_t i = 0; i < ports.size(); ++i) {
    const std::size_t at = i * filter_ops_per_port;
    const bool last = i + 1 == ports.size();
    ops[at] = {.code = INET_DIAG_BC_S_EQ,
               .yes = 2 * op_bytes,
               .no = static_cast<std::uint16_t>((last ? 4 : 3) * op_bytes)};
    ops[at + 1].no = ports[i];
    ops[at + 2] = {.code = INET_DIAG_BC_JMP,
                   .yes = op_bytes,
                   .no = static_cast<std::uint16_t>((end - at - 2) * op_bytes)};
  }
  mnl_attr_put(&request, INET_DIAG_REQ_BYTECODE, end * op_bytes, ops.data());
}

/// Runs a dump and passes each parsed message to the sink. A damaged message fails the dump.
template <class Parse, class Sink, class Dump>
Failure parsed(Parse parse, const Sink &sink, Dump dump) {
  Failure damage;
  const auto each = [&](const nlmsghdr &message) {
    const auto entry = parse(message);
    if (entry)
      sink(*entry);
    else
      damage = entry.error();
  };
  Failure failure = dump(DumpReader::Sink(each));
  return failure ? failure : damage;
}

} // namespace

Result<TcpListener> parse_tcp_listener(const nlmsghdr &message) {
  const auto *entry = entry_of<inet_diag_msg>(message);
  if (entry == nullptr)
    return damaged_message();
  // The result is filled in place, since a copy would read back what was just stored in pieces.
  Result<TcpListener> result{std::in_place};
  TcpListener &listener = *result;
  take_local_address(*entry, listener.address);
  listener.cookie = cookie_of(entry->id.idiag_cookie);
  listener.inode = entry->idiag_inode;
  listener.queue_length = entry->idiag_rqueue;
  listener.limit = entry->idiag_wqueue;
  for_each_attribute<inet_diag_msg>(
      message, [&](int type, Payload payload) { take_attribute(type, payload, listener); });
  return result;
}

Result<UnixListener> parse_unix_listener(const nlmsghdr &message) {
  const auto *entry = entry_of<unix_diag_msg>(message);
  if (entry == nullptr)
    return damaged_message();
  UnixListener listener;
  listener.cookie = cookie_of(entry->udiag_cookie);
  listener.inode = entry->udiag_ino;
  bool has_queue = false;
  for_each_attribute<unix_diag_msg>(message, [&](int type, Payload payload) {
    const std::size_t length = payload.size();
    switch (type) {
    case UNIX_DIAG_NAME:
      listener.address = {reinterpret_cast<const char *>(payload.data()), length};
      break;
    case UNIX_DIAG_VFS:
      if (length >= sizeof(unix_diag_vfs)) {
        const auto file = read_payload<unix_diag_vfs>(payload);
        listener.file_inode = file.udiag_vfs_ino;
        listener.file_device = file.udiag_vfs_dev;
      }
      break;
    case UNIX_DIAG_RQLEN:
      if (length >= sizeof(unix_diag_rqlen)) {
        const auto queue = read_payload<unix_diag_rqlen>(payload);
        listener.queue_length = queue.udiag_rqueue;
        listener.limit = queue.udiag_wqueue;
        has_queue = true;
      }
      break;
    case UNIX_DIAG_SHUTDOWN:
      if (length >= sizeof(std::uint8_t))
        listener.is_shut_down = (read_payload<std::uint8_t>(payload) & receiving_ended) != 0;
      break;
    default:
      break;
    }
  });
  if (!has_queue)
    return damaged_message();
  // A path arrives with its NUL; an abstract name begins with one.
  if (!listener.address.empty() && listener.address.front() != '\0')
    listener.address = listener.address.substr(0, listener.address.find('\0'));
  return listener;
}

Result<UnixPeers> parse_unix_peers(const nlmsghdr &message) {
  if (entry_of<unix_diag_msg>(message) == nullptr)
    return damaged_message();
  std::optional<UnixPeers> peers;
  for_each_attribute<unix_diag_msg>(message, [&](int type, Payload payload) {
    if (type != UNIX_DIAG_ICONS)
      return;
    peers.emplace(payload.size() / sizeof(std::uint32_t));
    for (std::size_t i = 0; i < peers->size(); ++i)
      (*peers)[i] = read_payload<std::uint32_t>(payload, i);
  });
  if (!peers)
    return damaged_message();
  return *std::move(peers);
}

Result<std::optional<HalfOpen>> parse_half_open(const nlmsghdr &message) {
  const auto *entry = entry_of<inet_diag_msg>(message);
  if (entry == nullptr)
    return damaged_message();
  // inet_req_diag_fill() leaves out an attribute that every full socket has.
  bool is_full_socket = false;
  for_each_attribute<inet_diag_msg>(message, [&](int type, Payload) {
    is_full_socket = is_full_socket || type == INET_DIAG_SHUTDOWN;
  });
  if (is_full_socket)
    return std::optional<HalfOpen>();
  HalfOpen connection;
  take_local_address(*entry, connection.local);
  return std::optional(connection);
}

Result<std::optional<WaitingConnection>> parse_waiting(const nlmsghdr &message) {
  const auto *entry = entry_of<inet_diag_msg>(message);
  if (entry == nullptr)
    return damaged_message();
  if (entry->idiag_inode != 0)
    return std::optional<WaitingConnection>();
  // tcp_create_openreq_child() starts lsndtime, and nobody can send before accept().
  constexpr std::size_t age_index = offsetof(tcp_info, tcpi_last_data_sent) / sizeof(std::uint32_t);
  std::optional<std::uint32_t> age_ms;
  for_each_attribute<inet_diag_msg>(message, [&](int type, Payload payload) {
    if (type == INET_DIAG_INFO && payload.size() >= (age_index + 1) * sizeof(std::uint32_t))
      age_ms = read_payload<std::uint32_t>(payload, age_index);
  });
  if (!age_ms)
    return damaged_message();
  WaitingConnection connection;
  take_local_address(*entry, connection.local);
  connection.cookie = cookie_of(entry->id.idiag_cookie);
  connection.age = std::chrono::milliseconds(*age_ms);
  take_remote_address(*entry, connection.remote);
  return std::optional(connection);
}

Result<std::optional<std::uint32_t>> parse_tcp_end(const nlmsghdr &message, const TcpAddress &local,
                                                   const TcpAddress &remote, TcpEnd what) {
  const auto *entry = entry_of<inet_diag_msg>(message);
  if (entry == nullptr)
    return damaged_message();
  TcpAddress found_local;
  TcpAddress found_remote;
  take_local_address(*entry, found_local);
  take_remote_address(*entry, found_remote);
  if (!can_be(what, entry->idiag_state) || !same_end(found_local, local) ||
      !same_end(found_remote, remote))
    return std::optional<std::uint32_t>();
  return std::optional(entry->idiag_inode);
}

Result<SockDiag> SockDiag::open(NetlinkSocket::Buffer buffer) {
  Result<NetlinkSocket> socket =
      NetlinkSocket::open({.number = NETLINK_SOCK_DIAG, .name = "sock_diag"}, std::move(buffer));
  if (!socket)
    return socket.error();
  return SockDiag(std::move(*socket));
}

Failure SockDiag::dump_tcp_listeners(TcpSink sink) {
  return parsed(parse_tcp_listener, sink, [this](DumpReader::Sink each) {
    return dump_tcp({.states = listen_only, .extensions = with_memory}, each);
  });
}

Failure SockDiag::dump_half_open(HalfOpenSink sink) {
  const auto known = [&](const std::optional<HalfOpen> &connection) {
    if (connection)
      sink(*connection);
  };
  return parsed(parse_half_open, known, [this](DumpReader::Sink each) {
    return dump_tcp({.states = 1U << TCP_SYN_RECV, .extensions = 0}, each);
  });
}

Failure SockDiag::dump_waiting(std::span<const std::uint16_t> ports, WaitingSink sink) {
  const auto waiting = [&](const std::optional<WaitingConnection> &connection) {
    if (connection)
      sink(*connection);
  };
  return parsed(parse_waiting, waiting, [this, ports](DumpReader::Sink each) {
    return dump_tcp({.states = 1U << TCP_ESTABLISHED | 1U << TCP_CLOSE_WAIT,
                     .extensions = 1U << (INET_DIAG_INFO - 1),
                     .ports = ports},
                    each);
  });
}

Failure SockDiag::dump_unix_listeners(UnixSink sink) {
  const auto open = [&](const UnixListener &listener) {
    if (!listener.is_shut_down)
      sink(listener);
  };
  return parsed(parse_unix_listener, open, [this](DumpReader::Sink each) {
    RequestBuffer<unix_diag_req> request(SOCK_DIAG_BY_FAMILY);
    request.body().sdiag_family = AF_UNIX;
    request.body().udiag_states = listen_only;
    // UDIAG_SHOW_ICONS would cut the whole dump short at a queue with thousands of clients.
    request.body().udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_VFS | UDIAG_SHOW_RQLEN;
    return socket_.dump(request.header(), each);
  });
}

Result<UnixPeers> SockDiag::unix_peers(std::uint32_t inode, std::uint64_t cookie) {
  RequestBuffer<unix_diag_req> request(SOCK_DIAG_BY_FAMILY);
  request.body().sdiag_family = AF_UNIX;
  request.body().udiag_ino = inode;
  request.body().udiag_show = UDIAG_SHOW_ICONS;
  put_cookie(cookie, request.body().udiag_cookie);
  if (const Failure failure = socket_.send(request.header(), 0))
    return *failure;
  Result<UnixPeers> peers = damaged_message();
  const auto take = [&](const nlmsghdr &message) { peers = parse_unix_peers(message); };
  const auto progress = socket_.receive(take);
  if (progress)
    return peers;
  // unix_diag_get_exact() has room for about 1900 clients, one datagram of a dump for 8000.
  if (progress.error().code == EMSGSIZE)
    return unix_peers_by_dump(cookie);
  return progress.error();
}

Result<UnixPeers> SockDiag::unix_peers_by_dump(std::uint64_t cookie) {
  RequestBuffer<unix_diag_req> request(SOCK_DIAG_BY_FAMILY);
  request.body().sdiag_family = AF_UNIX;
  request.body().udiag_states = listen_only;
  request.body().udiag_show = UDIAG_SHOW_ICONS;
  // The dump ends without an error before the first queue that does not fit.
  Result<UnixPeers> peers = Error{EMSGSIZE, "dump who waits at a Unix socket"};
  const auto take = [&](const nlmsghdr &message) {
    const auto *entry = entry_of<unix_diag_msg>(message);
    if (entry != nullptr && cookie_of(entry->udiag_cookie) == cookie)
      peers = parse_unix_peers(message);
  };
  if (const Failure failure = socket_.dump(request.header(), take))
    return *failure;
  return peers;
}

Result<std::optional<std::uint32_t>> SockDiag::find_tcp_end(const TcpAddress &local,
                                                            const TcpAddress &remote, TcpEnd what) {
  constexpr std::uint32_t no_cookie = ~0U; // INET_DIAG_NOCOOKIE
  const TcpAddress from = local.unmapped();
  RequestBuffer<inet_diag_req_v2> request(SOCK_DIAG_BY_FAMILY);
  inet_diag_req_v2 &body = request.body();
  body.sdiag_family = from.ipv6 ? AF_INET6 : AF_INET;
  body.sdiag_protocol = IPPROTO_TCP;
  body.idiag_states = ~0U;
  put_address(from, body.id.idiag_src, body.id.idiag_sport);
  put_address(remote.unmapped(), body.id.idiag_dst, body.id.idiag_dport);
  body.id.idiag_if = local.device;
  body.id.idiag_cookie[0] = body.id.idiag_cookie[1] = no_cookie;
  if (const Failure failure = socket_.send(request.header(), 0))
    return *failure;
  Result<std::optional<std::uint32_t>> end = damaged_message();
  const auto take = [&](const nlmsghdr &message) {
    end = parse_tcp_end(message, local, remote, what);
  };
  const auto progress = socket_.receive(take);
  if (progress)
    return end;
  if (progress.error().code == ENOENT)
    return std::optional<std::uint32_t>();
  return progress.error();
}

Failure SockDiag::dump_tcp(TcpQuery query, DumpReader::Sink sink) {
  if (tcp_request_ == TcpRequest::both_families) {
    Failure failure = dump_tcp_both_families(query, sink);
    if (!failure ||
        (failure->code != EINVAL && failure->code != EOPNOTSUPP && failure->code != ENOENT))
      return failure;
    tcp_request_ = TcpRequest::each_family;
  }
  if (Failure failure = dump_tcp_family(AF_INET, query, sink))
    return failure;
  Failure failure = dump_tcp_family(AF_INET6, query, sink);
  // A kernel without IPv6 returns ENOENT after it has answered for IPv4.
  if (failure && failure->code == ENOENT)
    return std::nullopt;
  return failure;
}

Failure SockDiag::dump_tcp_both_families(TcpQuery query, DumpReader::Sink sink) {
  RequestBuffer<inet_diag_req> request(TCPDIAG_GETSOCK);
  // inet_diag_dump_compat() dumps every family, whatever this says.
  request.body().idiag_family = AF_INET;
  request.body().idiag_states = query.states;
  request.body().idiag_ext = query.extensions;
  put_port_filter(request.header(), query.ports);
  return socket_.dump(request.header(), sink);
}

Failure SockDiag::dump_tcp_family(int family, TcpQuery query, DumpReader::Sink sink) {
  RequestBuffer<inet_diag_req_v2> request(SOCK_DIAG_BY_FAMILY);
  request.body().sdiag_family = static_cast<std::uint8_t>(family);
  request.body().sdiag_protocol = IPPROTO_TCP;
  request.body().idiag_states = query.states;
  request.body().idiag_ext = query.extensions;
  put_port_filter(request.header(), query.ports);
  return socket_.dump(request.header(), sink);
}

} // namespace backlog
