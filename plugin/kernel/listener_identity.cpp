#include "listener_identity.h"

#include "listener_name.h"

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
  ListenerName name = name_tcp_listener(address, device_name(address.device), label.name);
  return {.name = std::move(name.text),
          .address = "",
          .port = address.port,
          .has_id = name.has_id || label.has_id,
          .tcp = address};
}

std::string shown_address(std::string_view address) {
  std::string text(address);
  for (char &c : text)
    if (static_cast<unsigned char>(c) < ' ' || c == '\x7f')
      c = c == '\0' ? '@' : '?';
  return text;
}

} // namespace backlog
