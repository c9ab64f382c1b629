#pragma once

#include "listener_address.h"
#include "listener_entry.h"
#include "net_namespace.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace backlog {

/// Who a listener is, found out once, when its first member is seen.
struct ListenerIdentity {
  std::string name;
  std::string address;          ///< where others could have the same name: told apart by this
  std::uint16_t port = 0;       ///< 0: none
  bool has_id = false;          ///< as in ListenerName
  TcpAddress tcp = {};          ///< of a TCP listener
  bool is_in_own_mounts = true; ///< false: the address is a path of another mount namespace

  /// is_own: in collectd's own net namespace.
  ListenerView view(bool is_own) const {
    return {.name = name,
            .address = address,
            .tcp = port != 0 ? &tcp : nullptr,
            .is_own = is_own && is_in_own_mounts};
  }
};

/// Who a TCP listener of the calling thread's net namespace is.
ListenerIdentity identify_tcp_listener(const TcpAddress &address, const NamespaceLabel &label);

/// A Unix address for people: @ for the NUL of an abstract name, ? for what is not printable.
std::string shown_address(std::string_view address);

} // namespace backlog
