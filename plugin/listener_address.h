#pragma once

#include <array>
#include <cstdint>

namespace backlog {

/// What a TCP socket listens on.
struct TcpAddress {
  std::array<std::uint8_t, 16> bytes{}; ///< network order; IPv4 uses the first four
  std::uint32_t device = 0;             ///< index of the bound device, 0: any
  std::uint16_t port = 0;               ///< host order
  bool ipv6 = false;
  bool v6only = false; ///< IPV6_V6ONLY of an IPv6 socket

  bool operator==(const TcpAddress &) const = default;
  bool is_any() const { return bytes == std::array<std::uint8_t, 16>{}; }
};

} // namespace backlog
