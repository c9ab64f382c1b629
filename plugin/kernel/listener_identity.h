#pragma once

#include "listener_address.h"
#include "listener_entry.h"
#include "net_namespace.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace backlog {

/// Identifies a listener; determined once, when its first member is seen.
struct ListenerIdentity {
  std::string name;
  std::string address;          ///< tells apart listeners that could have the same name
  std::uint16_t port = 0;       ///< 0 for none
  bool has_id = false;          ///< see ListenerName
  TcpAddress tcp = {};          ///< for a TCP listener
  bool is_in_own_mounts = true; ///< false if the address is a path of another mount namespace
  std::string shared_name{};    ///< name of the address alone, if another listener keeps that

  /// is_own: the listener is in collectd's own net namespace.
  ListenerView view(bool is_own) const {
    return {.name = name,
            .address = address,
            .tcp = port != 0 ? &tcp : nullptr,
            .is_own = is_own && is_in_own_mounts};
  }
};

/// The same for a listener at each look, whoever else has its name.
std::string lasting_key(const ListenerIdentity &identity);

/// Identifies a TCP listener of the calling thread's net namespace.
ListenerIdentity identify_tcp_listener(const TcpAddress &address, const NamespaceLabel &label);

/// A Unix address or a device as ss writes it: @ for each NUL of an abstract name. All other bytes
/// are as they are; who shows them escapes them.
std::string shown_address(std::string_view address);

} // namespace backlog
