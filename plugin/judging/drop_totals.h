#pragma once

#include "boot_clock.h"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>

namespace backlog {

/// A drop counter for each name. It goes on when a service restarts. A name that vanishes keeps its
/// counter for a day. At most ten thousand such counters are kept: first those that have counted
/// something, then those with stable names, then the last to vanish.
class DropTotals {
public:
  using TimePoint = BootClock::time_point;

  /// Makes room for a present name, so that counting needs no memory.
  void admit(const std::string &name, TimePoint now, bool is_stable);
  /// Adds drops (segments) to a counter that was admitted in this interval.
  void add(const std::string &name, std::uint64_t drops) noexcept;

  /// A counter's value and when it began.
  struct Standing {
    std::uint64_t drops = 0;
    TimePoint since;
  };
  std::optional<Standing> standing(const std::string &name) const;

  /// A counter as its series shows it.
  struct Value {
    std::uint64_t at_end = 0; ///< segments at the end of the interval
    /// The value at the beginning, if the previous interval did not show it and it was different.
    /// No store shows a rate for a first value, so the drops with which a series begins would be
    /// lost.
    std::optional<std::uint64_t> at_begin;
  };
  /// The value of a counter that this interval has admitted and added so many drops to.
  Value take_value(const std::string &name, std::uint64_t drops) noexcept;

  /// Forgets what need not be kept.
  void end_interval(TimePoint now);

  std::size_t size() const { return totals_.size(); }

private:
  struct Total {
    std::uint64_t drops = 0;
    bool is_stable = true;
    TimePoint since;
    TimePoint last_present;
    std::uint64_t taken = 0; ///< number of the interval that showed it
  };

  std::unordered_map<std::string, Total> totals_;
  std::uint64_t interval_ = 2; ///< number of the current interval; 0 is none
};

} // namespace backlog
