#include "syn_queue.h"

#include <functional>
#include <string_view>

namespace backlog {

namespace {

/// Half-open connections do not tell v6only.
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

std::size_t SynQueueCount::Hash::operator()(const TcpAddress &address) const {
  const std::string_view bytes(reinterpret_cast<const char *>(address.bytes.data()),
                               address.bytes.size());
  return std::hash<std::string_view>()(bytes) ^ (std::size_t{address.port} << 16U) ^
         address.device ^ static_cast<std::size_t>(address.ipv6);
}

void SynQueueCount::add_listener(const TcpAddress &address) {
  if (index_.try_emplace(key_of(address), queues_.size()).second)
    queues_.push_back({address});
}

void SynQueueCount::add_half_open(const TcpAddress &local) {
  ++total_;
  for (const TcpAddress &address :
       {local, on_any_device(local), wildcard_of(local), on_any_device(wildcard_of(local))}) {
    if (Queue *queue = find(address)) {
      ++queue->length;
      return;
    }
  }
}

SynQueueCount::Queue *SynQueueCount::find(const TcpAddress &address) {
  const auto found = index_.find(key_of(address));
  return found == index_.end() ? nullptr : &queues_[found->second];
}

} // namespace backlog
