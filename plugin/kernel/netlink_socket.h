#pragma once

#include "function_ref.h"
#include "result.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

struct mnl_socket;
struct nlmsghdr;

namespace backlog {

/// Reads the messages of one dump. It does no I/O, so that tests can feed it damaged messages.
class DumpReader {
public:
  using Sink = FunctionRef<void(const nlmsghdr &)>;
  enum class Progress { more, done };

  DumpReader(std::uint32_t sequence, std::uint32_t port_id)
      : sequence_(sequence), port_id_(port_id) {}

  /// Reads one datagram. Errors: the kernel's own in NLMSG_ERROR or NLMSG_DONE (netlink_dump_done()
  /// sends ENOENT when a protocol's diag module is missing), EINTR for an inconsistent dump,
  /// EBADMSG for a damaged message, EPROTO for a message of another exchange.
  Result<Progress> take(std::span<const std::byte> datagram, Sink sink) const;

private:
  std::uint32_t sequence_;
  std::uint32_t port_id_;
};

/// A netlink socket, bound to the net namespace in which it was opened. After an error it must not
/// be used again, because an answer may still be on its way.
class NetlinkSocket {
public:
  using Buffer = std::vector<std::byte>;
  struct Protocol {
    int number; ///< NETLINK_SOCK_DIAG and so on
    const char *name;
  };

  /// buffer: from an earlier one, to save an allocation.
  static Result<NetlinkSocket> open(const Protocol &protocol, Buffer buffer = {});
  /// Hands over the buffer; the socket must not be used again.
  Buffer take_buffer() { return std::move(buffer_); }

  Failure send(nlmsghdr &request, std::uint16_t flags);
  /// Receives one datagram of the answer to the last request. Errors: as DumpReader::take(),
  /// ETIMEDOUT after a second.
  Result<DumpReader::Progress> receive(DumpReader::Sink sink);
  /// Sends the request and passes each message of the answer.
  Failure dump(nlmsghdr &request, DumpReader::Sink sink);

private:
  struct Close {
    void operator()(mnl_socket *socket) const;
  };

  NetlinkSocket(mnl_socket *socket, const Protocol &protocol, Buffer buffer);
  Error error(int code, const char *verb, const char *object) const;

  std::unique_ptr<mnl_socket, Close> socket_;
  const char *protocol_;
  Buffer buffer_;
  std::uint32_t sequence_ = 0;
};

} // namespace backlog
