#pragma once

#include "listener_address.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace backlog {

/// The one name of a listener: plugin instance in collectd, key of the table, word in messages. It
/// depends on the address alone, so that no series is ever renamed. Its alphabet is [a-z0-9_-], its
/// length at most 100 bytes.
struct ListenerName {
  std::string text;
  /// The address contains an id: eight or more hex digits (also in a UUID), an autobind name, or a
  /// name made by mkdtemp(). The next start of the service has another one.
  bool has_id = false;
};

constexpr std::size_t listener_name_max_bytes = 100;
/// Introduces the net namespace at the end of a name.
constexpr std::string_view namespace_separator = "__netns_";
/// Introduces the owner of the mount namespace in the name of a Unix listener.
constexpr std::string_view owner_separator = "__in_";

/// Plugin instances that sum up the unstable listeners.
constexpr std::string_view tcp_aggregate = "tcp_unstable";
constexpr std::string_view unix_aggregate = "unix_unstable";

/// Whether a plugin instance that is not a listener has the name.
bool is_reserved_name(std::string_view name);
/// Whether some address produces this name.
bool is_listener_name(std::string_view name);

/// Accepts 1 to 65535 without leading zeros.
std::optional<std::uint16_t> parse_port(std::string_view text);

/// device: the name of the interface address.device, or "if7" if it is gone. net_namespace: "" for
/// collectd's own.
ListenerName name_tcp_listener(const TcpAddress &address, std::string_view device,
                               std::string_view net_namespace);

/// address: sun_path as unix_diag sends it: a path without its NUL, or an abstract name with its
/// leading NUL. owned_by: the mount namespace of a path if it is not collectd's own: a unit as from
/// unit_of_cgroup(), or an inode.
ListenerName name_unix_listener(std::string_view address, std::string_view net_namespace,
                                std::string_view owned_by = "");

/// Whether the first of two colliding addresses keeps the plain name: the one with more dots does,
/// else the first in order. The other gets alternative_name().
bool keeps_name(std::string_view address, std::string_view other);
/// The name with a hash of the address inserted after the part that the address gives.
std::string alternative_name(std::string_view name, std::string_view address);

/// A net namespace's name in the alphabet of names.
std::string net_namespace_part(std::string_view net_namespace);

} // namespace backlog
