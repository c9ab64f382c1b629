#pragma once

#include "listener_address.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace backlog {

/// Where a TCP listener listens, as people write it: 127.0.0.1:8001, 0.0.0.0:80, *:443, [::1]:9000,
/// [::]:443, :8080; bound to a device 0.0.0.0%eth0:80, *%eth0:80 and [fe80::1%eth0]:80, or as ss(8)
/// writes that, [fe80::1]%eth0:80.
struct WrittenAddress {
  enum class Host : std::uint8_t {
    anywhere, ///< none, as in :8080: whatever the address
    all,      ///< *: all addresses, of IPv4, of IPv6, or of both
    one,      ///< all addresses of one family too: 0.0.0.0, [::]
  };

  Host host = Host::anywhere;
  TcpAddress address; ///< the port; of Host::one also the rest, but for device and v6only
  std::string device; ///< "": none

  /// Whether a listener listens there. device_name: that of listener.device; "": none.
  /// [::] is a listener with v6only, or of both families; 0.0.0.0 one without v6only.
  bool is_of(const TcpAddress &listener, std::string_view device_name) const;
  /// The names that such a listener can have in collectd's own net namespace, that of IPv6 alone
  /// first; none of Host::anywhere.
  std::vector<std::string> names() const;
};

/// nullopt: it is none. An address of one link (fe80::1) needs its device.
std::optional<WrittenAddress> parse_written_address(std::string_view text);

} // namespace backlog
