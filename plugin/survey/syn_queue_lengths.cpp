#include "syn_queue_lengths.h"

namespace backlog {

void SynQueueCounter::add_half_open(const TcpAddress &local) {
  ++total_;
  const auto listener = lookup_.find(local);
  if (!listener)
    return;
  if (*listener >= lengths_.size())
    lengths_.resize(*listener + 1);
  ++lengths_[*listener];
}

std::vector<SynQueueCounter::Queue> SynQueueCounter::queues() const {
  std::vector<Queue> queues;
  const std::vector<TcpAddress> &listeners = lookup_.listeners();
  queues.reserve(listeners.size());
  for (std::size_t i = 0; i < listeners.size(); ++i)
    queues.push_back({listeners[i], i < lengths_.size() ? lengths_[i] : 0});
  return queues;
}

} // namespace backlog
