#pragma once

#include "diagnosis.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace backlog {

/// Figures of all listeners together.
struct HostFigures {
  double worst_used_percent = 0;
  std::uint64_t listeners = 0;
  std::uint64_t high = 0; ///< listeners in this state; likewise the next three
  std::uint64_t overflow = 0;
  std::uint64_t stalled = 0;
  std::uint64_t missing = 0;
  std::uint64_t unreported = 0; ///< listeners without a series for lack of a slot or of room
  std::optional<std::uint64_t> dropped; ///< segments, a counter

  void count_state(ListenerState state) {
    constexpr std::array counts{&HostFigures::high, &HostFigures::overflow, &HostFigures::stalled,
                                &HostFigures::missing};
    if (state != ListenerState::ok)
      ++(this->*counts.at(static_cast<std::size_t>(state) - 1));
  }
};

} // namespace backlog
