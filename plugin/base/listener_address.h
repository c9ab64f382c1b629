#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

namespace backlog {

/// The address that a TCP socket listens on.
struct TcpAddress {
  std::array<std::uint8_t, 16> bytes{}; ///< network order; IPv4 uses the first four
  std::uint32_t device = 0;             ///< interface index of the bound device, 0 for any
  std::uint16_t port = 0;               ///< host order
  bool ipv6 = false;
  bool v6only = false; ///< IPV6_V6ONLY of an IPv6 socket

  bool operator==(const TcpAddress &) const = default;
  bool is_any() const { return bytes == std::array<std::uint8_t, 16>{}; }

  /// Whether only clients of the same net namespace can reach it.
  bool is_loopback() const {
    constexpr std::uint8_t ipv4_loopback = 127;
    if (!ipv6)
      return bytes.front() == ipv4_loopback;
    if (is_ipv4_mapped())
      return unmapped().is_loopback();
    return std::all_of(bytes.begin(), bytes.end() - 1,
                       [](std::uint8_t byte) { return byte == 0; }) &&
           bytes.back() == 1;
  }
  /// Whether it is an IPv4 address inside IPv6: ::ffff:a.b.c.d.
  bool is_ipv4_mapped() const {
    return ipv6 && std::equal(ipv4_prefix.begin(), ipv4_prefix.end(), bytes.begin());
  }
  /// Returns a mapped address as plain IPv4, any other unchanged.
  TcpAddress unmapped() const {
    if (!is_ipv4_mapped())
      return *this;
    TcpAddress plain{.bytes = {}, .device = device, .port = port};
    std::copy(bytes.begin() + ipv4_prefix.size(), bytes.end(), plain.bytes.begin());
    return plain;
  }
  /// Whether it is valid on one link only and so needs a device (IPv6 fe80::/10).
  bool is_link_local() const { return ipv6 && bytes[0] == 0xfe && (bytes[1] & 0xc0U) == 0x80; }

private:
  static constexpr std::array<std::uint8_t, 12> ipv4_prefix{0, 0, 0, 0, 0,    0,
                                                            0, 0, 0, 0, 0xff, 0xff};
};

} // namespace backlog
