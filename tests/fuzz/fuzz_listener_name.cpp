// Any address as one that listens: its name fits collectd, and a <Watch> can say it.
//
//   u ADDRESS NUL-less, then \n, the net namespace, \n, the owner of its mounts   of a Unix socket
//   t 16 bytes, flags, port, the device, \n, the net namespace                    of a TCP socket

#include "fuzz_input.h"
#include "listener_entry.h"
#include "listener_identity.h"
#include "listener_name.h"
#include "temporary_path.h"
#include "unix_paths.h"
#include "written_address.h"

#include <variant>

using namespace backlog;

namespace {

bool fits(const std::string &name) {
  return !name.empty() && name.size() <= listener_name_max_bytes &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_-") == std::string::npos;
}

/// A name that the configuration takes for a listener's, and that names this one.
void require_watchable(const std::string &name) {
  require(is_listener_name(name) && !is_reserved_name(name));
  const auto entry = ListenerEntry::parse(name);
  require(std::holds_alternative<ListenerEntry>(entry));
  require(std::get<ListenerEntry>(entry).matches({.name = name}));
}

void check_unix(FuzzInput &input) {
  std::string address = input.text('\n');
  if (address == "/") // never a socket
    address = "/a";
  const std::string net_namespace = input.text('\n');
  const std::string owner = input.text('\n');
  const ListenerName name = name_unix_listener(address, net_namespace, owner);
  require(fits(name.text));
  require_watchable(name.text);
  require(name.text == name_unix_listener(address, net_namespace, owner).text);

  const std::string other = alternative_name(name.text, address);
  require(fits(other) && other != name.text);
  require(keeps_name(address, owner) != keeps_name(owner, address) || address == owner);

  const std::string shown = shown_address(address);
  require(shown.size() == address.size() && shown.find('\0') == std::string::npos);
  const std::string renamed = path_without_temporary_suffix(address);
  require(renamed.size() < address.size() || renamed.empty());
  require(!is_temporary_path(address) || name.has_id || address.starts_with('\0'));

  const bool is_absolute = address.starts_with('/') || address.starts_with('\0');
  if (!is_absolute || !net_namespace.empty() || !owner.empty())
    return;
  if (address.front() == '\0')
    address.front() = '@';
  if (NameFilter::is_regex(address))
    return;
  const auto entry = ListenerEntry::parse(address);
  if (const auto *parsed = std::get_if<ListenerEntry>(&entry))
    require(parsed->matches({.name = name.text, .address = address}));
}

void check_tcp(FuzzInput &input) {
  TcpAddress address;
  for (std::uint8_t &byte : address.bytes)
    byte = input.byte();
  const std::uint8_t flags = input.byte();
  address.ipv6 = (flags & 1) != 0;
  address.v6only = address.ipv6 && (flags & 2) != 0;
  address.device = (flags & 4) != 0 ? 3 : 0;
  if (!address.ipv6)
    std::fill(address.bytes.begin() + 4, address.bytes.end(), std::uint8_t{0});
  address.port = std::max<std::uint16_t>(input.number<std::uint16_t>(), 1);
  std::string device = input.text('\n').substr(0, 15); // IFNAMSIZ
  if (device.empty())
    device = "if3";
  const std::string net_namespace = input.text('\n');
  const ListenerName name = name_tcp_listener(address, device, net_namespace);
  require(fits(name.text));
  require_watchable(name.text);
  require(fits(alternative_name(name.text, net_namespace)));
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
  FuzzInput input(data, size);
  if (input.byte() == 't')
    check_tcp(input);
  else
    check_unix(input);
  return 0;
}
