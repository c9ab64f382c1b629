#pragma once

#include "backlog/table.h"

#include <chrono>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace backlog {

/// The worst values of a listener's queue and alarm over a time.
struct WorstFigures {
  std::uint64_t peak = 0;      ///< connections
  double used_percent = 0;     ///< 0 to 100
  std::uint64_t dropped = 0;   ///< segments, sum
  std::uint64_t overflows = 0; ///< the part of dropped that found the queue full
  layout::State state = layout::State::ok;
  layout::Severity severity = layout::Severity::okay; ///< of the active alarm

  bool operator==(const WorstFigures &) const = default;
  void add(const WorstFigures &other);
};

/// Remembers the worst of the last five minutes, so that a check every five minutes misses nothing.
/// Only listeners with something to remember take memory.
class RecentWorst {
public:
  using TimePoint = std::chrono::steady_clock::time_point;
  static constexpr std::chrono::nanoseconds span{layout::recent_ns};

  /// Adds an interval that ends now, and returns the worst of the last five minutes including it,
  /// or of up to a tenth more. Call it once an interval for each listener, in order of time.
  WorstFigures add(const std::string &name, const WorstFigures &interval, TimePoint now);
  /// Forgets what is too old, also for listeners that are gone.
  void prune(TimePoint now);
  std::size_t size() const { return listeners_.size(); }

private:
  /// A tenth of the span, so that short intervals take no more memory than long ones.
  struct Part {
    std::int64_t number = 0; ///< counted since the clock began
    WorstFigures figures;
  };
  static std::int64_t number_of(TimePoint time);
  static void forget(std::vector<Part> &parts, TimePoint now);

  std::unordered_map<std::string, std::vector<Part>> listeners_;
};

} // namespace backlog
