#include "listener_lookup.h"

#include <algorithm>
#include <functional>
#include <string_view>

namespace backlog {

namespace {

/// Connections have no v6only flag, so the key leaves it out.
TcpAddress key_of(TcpAddress address) {
  address.v6only = false;
  return address;
}

TcpAddress wildcard_of(const TcpAddress &address) {
  return {.bytes = {}, .device = address.device, .port = address.port, .ipv6 = address.ipv6};
}

TcpAddress on_any_device(TcpAddress address) {
  address.device = 0;
  return address;
}

} // namespace

std::size_t ListenerLookup::Hash::operator()(const TcpAddress &address) const {
  const std::string_view bytes(reinterpret_cast<const char *>(address.bytes.data()),
                               address.bytes.size());
  return std::hash<std::string_view>()(bytes) ^ (std::size_t{address.port} << 16U) ^
         address.device ^ static_cast<std::size_t>(address.ipv6);
}

std::size_t ListenerLookup::add(const TcpAddress &listener) {
  std::optional<std::size_t> &index = index_[key_of(listener)].of(listener);
  if (!index) {
    index = listeners_.size();
    listeners_.push_back(listener);
  }
  return *index;
}

std::optional<std::size_t> ListenerLookup::find(const TcpAddress &local) const {
  for (const TcpAddress &address :
       {local, on_any_device(local), wildcard_of(local), on_any_device(wildcard_of(local))}) {
    const auto found = index_.find(key_of(address));
    if (found == index_.end())
      continue;
    if (const auto listener = local.is_ipv4_mapped() ? found->second.other : found->second.first())
      return listener;
  }
  return std::nullopt;
}

} // namespace backlog
