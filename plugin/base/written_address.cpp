#include "written_address.h"

#include "listener_name.h"

#include <arpa/inet.h>
#include <net/if.h>

namespace backlog {

namespace {

/// As dev_valid_name() in net/core/dev.c; a % is refused because it would leave open where the
/// device begins.
bool is_device_name(std::string_view name) {
  constexpr std::string_view forbidden = "%/: \t\n\v\f\r";
  return !name.empty() && name.size() < IF_NAMESIZE && name != "." && name != ".." &&
         name.find_first_of(forbidden) == std::string_view::npos;
}

/// Moves %DEVICE from the end of the text to device; returns false if it is invalid or the second
/// one.
bool take_device(std::string_view &text, std::string &device) {
  const std::size_t at = text.find('%');
  if (at == std::string_view::npos)
    return true;
  const std::string_view name = text.substr(at + 1);
  if (!device.empty() || !is_device_name(name))
    return false;
  device = name;
  text = text.substr(0, at);
  return true;
}

bool take_ip(std::string_view text, bool ipv6, WrittenAddress &written) {
  TcpAddress &address = written.address;
  address.ipv6 = ipv6;
  written.host = WrittenAddress::Host::one;
  if (inet_pton(ipv6 ? AF_INET6 : AF_INET, std::string(text).c_str(), address.bytes.data()) != 1)
    return false;
  address = address.unmapped();
  return !written.device.empty() || !address.is_link_local();
}

bool take_host(std::string_view text, WrittenAddress &written) {
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos)
      return false;
    std::string_view inside = text.substr(1, end - 1);
    std::string_view behind = text.substr(end + 1);
    return take_device(inside, written.device) && take_device(behind, written.device) &&
           behind.empty() && take_ip(inside, true, written);
  }
  if (text.empty())
    return true;
  if (!take_device(text, written.device))
    return false;
  if (text != "*")
    return take_ip(text, false, written);
  written.host = WrittenAddress::Host::all;
  return true;
}

} // namespace

std::optional<WrittenAddress> parse_written_address(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || text.find('\0') != std::string_view::npos)
    return std::nullopt;
  const auto port = parse_port(text.substr(colon + 1));
  WrittenAddress written;
  if (!port || !take_host(text.substr(0, colon), written))
    return std::nullopt;
  written.address.port = *port;
  return written;
}

bool WrittenAddress::is_of(const TcpAddress &listener, std::string_view device_name) const {
  const TcpAddress plain = listener.unmapped();
  if (plain.port != address.port)
    return false;
  if (host == Host::anywhere)
    return true;
  if (device_name != device)
    return false;
  if (host == Host::all)
    return plain.is_any();
  if (!address.is_any() || !plain.is_any())
    return plain.bytes == address.bytes && plain.ipv6 == address.ipv6;
  return address.ipv6 ? plain.ipv6 : !plain.v6only;
}

std::vector<std::string> WrittenAddress::names() const {
  if (host == Host::anywhere)
    return {};
  TcpAddress bound = address;
  bound.device = device.empty() ? 0 : 1;
  std::vector<std::string> names;
  for (const bool v6only : {true, false}) {
    bound.v6only = v6only;
    bound.ipv6 = address.ipv6 || (host == Host::all && v6only);
    if (bound.is_any() ? bound.ipv6 || !v6only : !v6only)
      names.push_back(name_tcp_listener(bound, device, "").text);
  }
  return names;
}

} // namespace backlog
