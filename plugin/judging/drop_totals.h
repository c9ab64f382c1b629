#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>

namespace backlog {

/// The drop counter of each name: it goes on when a service is restarted. A vanished name's is
/// kept for a day, and at most ten thousand of those are.
class DropTotals {
public:
  using TimePoint = std::chrono::steady_clock::time_point;

  /// Adds to the counter of a name that is there now.
  void add(const std::string &name, std::uint64_t drops, TimePoint now);
  /// The counter, in segments; 0 when it is told for the first time, since no store shows a rate
  /// for a first value, and what it holds already is to be seen in the next.
  std::uint64_t tell(const std::string &name);
  /// A counter as it is, and since when it counts.
  struct Standing {
    std::uint64_t drops = 0;
    TimePoint since;
  };
  std::optional<Standing> standing(const std::string &name) const;
  /// Forgets what need not be kept.
  void prune(TimePoint now);

  std::size_t size() const { return totals_.size(); }

private:
  struct Total {
    std::uint64_t drops = 0;
    bool told = false;
    TimePoint since;
    TimePoint last_present;
  };

  std::unordered_map<std::string, Total> totals_;
};

} // namespace backlog
