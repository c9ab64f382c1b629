#pragma once

#include <algorithm>
#include <cstddef>

namespace backlog {

/// Notices when far less is in use than there once was, and it stays so: then it pays to give freed
/// memory back to the kernel, which the allocator keeps to itself otherwise.
class HighWater {
public:
  /// Below `least` nothing is worth it. patience: how many notes in a row must be that low.
  HighWater(std::size_t least, unsigned patience) : least_(least), patience_(patience) {}

  /// Returns true once when `amount` has stayed below half of the most that was noted.
  bool has_ebbed(std::size_t amount) {
    most_ = std::max(most_, amount);
    if (most_ < least_ || 2 * amount > most_) {
      low_for_ = 0;
      return false;
    }
    if (++low_for_ < patience_)
      return false;
    most_ = amount;
    low_for_ = 0;
    return true;
  }

private:
  std::size_t least_;
  unsigned patience_;
  std::size_t most_ = 0;
  unsigned low_for_ = 0;
};

} // namespace backlog
