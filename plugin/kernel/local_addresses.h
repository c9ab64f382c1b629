#pragma once

#include "function_ref.h"
#include "listener_address.h"
#include "netlink_socket.h"
#include "result.h"

#include <optional>

struct nlmsghdr;

namespace backlog {

/// Passes each address of the calling thread's net namespace, without port and device, as rtnetlink
/// lists them (inet_dump_ifaddr() in net/ipv4/devinet.c, inet6_dump_addr() in
/// net/ipv6/addrconf.c). After an error the addresses passed so far are incomplete. buffer: memory
/// that the next call can use again.
Failure read_local_addresses(FunctionRef<void(const TcpAddress &)> sink,
                             NetlinkSocket::Buffer &buffer);

/// Parses an RTM_NEWADDR message; empty if it is something else or damaged.
std::optional<TcpAddress> parse_local_address(const nlmsghdr &message);

} // namespace backlog
