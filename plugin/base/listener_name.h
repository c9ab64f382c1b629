#pragma once

#include "listener_address.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace backlog {

/// The one name of a listener: plugin instance in collectd, key of the table, word in messages.
/// It is a function of the address alone, so that no series is ever renamed. Alphabet
/// [a-z0-9_-], at most 100 bytes.
struct ListenerName {
  std::string text;
  /// A part of the address is an id (eight or more hex digits, a UUID among them, the name that
  /// autobind gave, or one as of mkdtemp()): the next start of the same service has another one.
  bool has_id = false;
};

constexpr std::size_t listener_name_max_bytes = 100;
/// Before the net namespace at the end of a name.
constexpr std::string_view namespace_separator = "__netns_";
/// Before the owner of the mount namespace, at the end of a Unix listener's name otherwise.
constexpr std::string_view owner_separator = "__in_";

/// Instances that sum up the unstable listeners.
constexpr std::string_view tcp_aggregate = "tcp_unstable";
constexpr std::string_view unix_aggregate = "unix_unstable";

/// Whether an instance that is no listener has the name.
bool is_reserved_name(std::string_view name);
/// Whether there can be a listener whose address gives it this name.
bool is_listener_name(std::string_view name);

/// 1 to 65535, without leading zeros.
std::optional<std::uint16_t> parse_port(std::string_view text);

/// device: the name of address.device, or "if7" where that device is gone; net_namespace: ""
/// for the plugin's own.
ListenerName name_tcp_listener(const TcpAddress &address, std::string_view device,
                               std::string_view net_namespace);

/// address: sun_path as unix_diag gives it: a path without its NUL, or an abstract name with its
/// leading NUL.
/// owned_by: whose mount namespace a path is of, if that is not the plugin's own: a unit as
/// unit_of_cgroup() names it, or an inode.
ListenerName name_unix_listener(std::string_view address, std::string_view net_namespace,
                                std::string_view owned_by = "");

/// Whether the first of two addresses that meet in a name keeps it, by the addresses alone: the one
/// with more dots, then the first in order. The other one has alternative_name().
bool keeps_name(std::string_view address, std::string_view other);
/// The name with a hash of the address behind what is of the address.
std::string alternative_name(std::string_view name, std::string_view address);

/// A net namespace's name in the alphabet.
std::string net_namespace_part(std::string_view net_namespace);

} // namespace backlog
