#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace backlog {

/// Both ends belong to the range.
struct PortRange {
  std::uint16_t first = 0;
  std::uint16_t last = 0;

  bool contains(std::uint16_t port) const { return first <= port && port <= last; }
  bool operator==(const PortRange &) const = default;
};

/// Local ports that the kernel gives out by itself (inet_csk_find_open_port()): those of
/// ip_local_port_range that are not in ip_local_reserved_ports.
struct LocalPorts {
  PortRange range;
  std::vector<PortRange> reserved;

  bool gives_out(std::uint16_t port) const;
  bool operator==(const LocalPorts &) const = default;
};

/// As in /proc/sys/net/ipv4: "32768 60999" and "8080,9000-9010".
std::optional<PortRange> parse_port_range(std::string_view text);
std::optional<std::vector<PortRange>> parse_reserved_ports(std::string_view text);

/// Who has listened for so long is expected to listen on.
constexpr std::chrono::minutes settling_time{10};

/// Whether the next start of the same service is likely to have another name: an id in it, or a
/// port that the kernel gives out, unless somebody has been listening there for long.
bool is_unstable(bool has_id, bool port_is_given_out, std::chrono::nanoseconds listening_for);

} // namespace backlog
