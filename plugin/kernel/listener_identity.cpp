#include "listener_identity.h"

#include "listener_name.h"

#include <algorithm>
#include <array>
#include <net/if.h>
#include <utility>

namespace backlog {

namespace {

/// Looks up a device's name in the calling thread's net namespace.
std::string device_name(std::uint32_t index) {
  std::array<char, IF_NAMESIZE> name{};
  if (index == 0)
    return "";
  if (if_indextoname(index, name.data()) == nullptr)
    return "if" + std::to_string(index);
  return name.data();
}

} // namespace

ListenerIdentity identify_tcp_listener(const TcpAddress &address, const NamespaceLabel &label) {
  const std::string device = device_name(address.device);
  ListenerName name = name_tcp_listener(address, device, label.name);
  return {.name = std::move(name.text),
          // All else of an address is in its name as it is.
          .address = device.empty() ? "" : "device " + shown_address(device),
          .port = address.port,
          .has_id = name.has_id || label.has_id,
          .tcp = address};
}

std::string lasting_key(const ListenerIdentity &identity) {
  const std::string &name = identity.shared_name.empty() ? identity.name : identity.shared_name;
  return identity.address.empty() ? name : name + '\0' + identity.address;
}

std::string shown_address(std::string_view address) {
  std::string text(address);
  std::replace(text.begin(), text.end(), '\0', '@');
  return text;
}

} // namespace backlog
