#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace backlog {

/// The range includes both ends.
struct PortRange {
  std::uint16_t first = 0;
  std::uint16_t last = 0;

  bool contains(std::uint16_t port) const { return first <= port && port <= last; }
  bool operator==(const PortRange &) const = default;
};

/// Ports that the kernel assigns by itself (inet_csk_find_open_port()): those in
/// ip_local_port_range and not in ip_local_reserved_ports.
struct LocalPorts {
  PortRange range;
  std::vector<PortRange> reserved;

  bool gives_out(std::uint16_t port) const;
  bool operator==(const LocalPorts &) const = default;
};

/// Parses the formats of /proc/sys/net/ipv4: "32768 60999" and "8080,9000-9010".
std::optional<PortRange> parse_port_range(std::string_view text);
std::optional<std::vector<PortRange>> parse_reserved_ports(std::string_view text);

/// A listener that has listened this long is expected to stay.
constexpr std::chrono::minutes settling_time{10};

/// Whether the service's next start is likely to have another name: the name has an id, or the
/// kernel assigned the port and the listener has not been there for settling_time.
bool is_unstable(bool has_id, bool port_is_given_out, std::chrono::nanoseconds listening_for);

} // namespace backlog
