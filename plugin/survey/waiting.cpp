#include "waiting.h"

#include <algorithm>

namespace backlog {

void OldestWaits::add_waiting(const WaitingConnection &connection) {
  const auto listener = lookup_.find(connection.local);
  if (!listener)
    return;
  ages_.resize(lookup_.listeners().size());
  std::optional<Age> &age = ages_[*listener];
  age = std::max(age.value_or(connection.age), connection.age);
}

std::vector<OldestWaits::Oldest> OldestWaits::oldest() const {
  std::vector<Oldest> result;
  result.reserve(lookup_.listeners().size());
  for (std::size_t i = 0; i < lookup_.listeners().size(); ++i)
    result.push_back({lookup_.listeners()[i], i < ages_.size() ? ages_[i] : std::nullopt});
  return result;
}

} // namespace backlog
