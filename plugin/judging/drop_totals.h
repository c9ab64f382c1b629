#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>

namespace backlog {

/// A drop counter for each name: it goes on when a service is restarted. A vanished name's is kept
/// for a day, and at most ten thousand of those are: the ones that have counted something, then the
/// ones whose name stays, then the last to vanish.
class DropTotals {
public:
  using TimePoint = std::chrono::steady_clock::time_point;

  /// Makes room for a name that is there now, so that counting needs no memory.
  void admit(const std::string &name, TimePoint now, bool is_stable);
  /// To a counter that has been admitted in this interval. drops: segments.
  void add(const std::string &name, std::uint64_t drops) noexcept;

  /// A counter as it is, and since when it counts.
  struct Standing {
    std::uint64_t drops = 0;
    TimePoint since;
  };
  std::optional<Standing> standing(const std::string &name) const;

  /// A counter of a series.
  struct Value {
    std::uint64_t at_end = 0; ///< of the interval, segments
    /// At its beginning, where the interval before did not tell it and it was another: no store
    /// shows a rate for a first value, so that the drops with which a series begins would be lost.
    std::optional<std::uint64_t> at_begin;
  };
  /// Of one that has been admitted, and to which so many drops were added, in this interval.
  Value tell(const std::string &name, std::uint64_t drops) noexcept;

  /// Forgets what need not be kept.
  void end_interval(TimePoint now);

  std::size_t size() const { return totals_.size(); }

private:
  struct Total {
    std::uint64_t drops = 0;
    bool is_stable = true;
    TimePoint since;
    TimePoint last_present;
    std::uint64_t told = 0; ///< number of the interval
  };

  std::unordered_map<std::string, Total> totals_;
  std::uint64_t interval_ = 2; ///< the number of the one under way; 0 is none
};

} // namespace backlog
