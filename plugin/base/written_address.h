#pragma once

#include "listener_address.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace backlog {

/// A TCP listener's address as people write it: 127.0.0.1:8001, 0.0.0.0:80, *:443, [::1]:9000,
/// [::]:443, :8080; with a device 0.0.0.0%eth0:80, *%eth0:80 and [fe80::1%eth0]:80, or as ss(8)
/// writes it, [fe80::1]%eth0:80.
struct WrittenAddress {
  enum class Host : std::uint8_t {
    anywhere, ///< no host, as in :8080: any address
    all,      ///< *: the wildcard address of IPv4, of IPv6, or of both
    one,      ///< a given address; 0.0.0.0 and [::] are each one family's wildcard
  };

  Host host = Host::anywhere;
  TcpAddress address; ///< the port; for Host::one also the address, but not device and v6only
  std::string device; ///< "" for none

  /// Whether the listener has this address. device_name: the name of listener.device, "" for none.
  /// [::] matches a listener of IPv6 alone or of both families; 0.0.0.0 matches one without v6only.
  bool is_of(const TcpAddress &listener, std::string_view device_name) const;
  /// The names that a matching listener can have in collectd's own net namespace, the name of IPv6
  /// alone first; none for Host::anywhere.
  std::vector<std::string> names() const;
};

/// Returns nullopt if the text is no such address. A link-local address (fe80::1) needs its device.
std::optional<WrittenAddress> parse_written_address(std::string_view text);

} // namespace backlog
