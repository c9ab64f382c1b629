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
  std::uint64_t peak = 0;          ///< connections
  std::uint64_t peak_capacity = 0; ///< connections that fitted then; 0 without a peak
  double used_percent = 0;         ///< 0 to 100
  std::uint64_t dropped = 0;       ///< segments, sum
  std::uint64_t overflows = 0;     ///< the part of dropped that found the queue full
  std::uint64_t enough = 0;        ///< the limit that would have held everybody; 0 if not known
  layout::State state = layout::State::ok;
  layout::Severity severity = layout::Severity::okay; ///< of the active alarm

  bool operator==(const WorstFigures &) const = default;
  void add(const WorstFigures &other);
};

/// Remembers the worst of the last five minutes, so that a check every five minutes misses nothing,
/// or of another span. Only listeners with something to remember take memory.
class RecentWorst {
public:
  using TimePoint = std::chrono::steady_clock::time_point;
  using Duration = std::chrono::nanoseconds;

  /// parts: the span ends one part after the other, so that short intervals take no more memory
  /// than long ones.
  explicit RecentWorst(Duration span = Duration(layout::recent_ns), std::int64_t parts = 10)
      : part_(span / parts), parts_(parts) {}

  /// Adds an interval that ends now, and returns the worst of the span including it, or of up to a
  /// part more. Call it once an interval for each listener, in order of time.
  WorstFigures add(const std::string &name, const WorstFigures &interval, TimePoint now);
  /// Forgets what is too old, also for listeners that are gone.
  void prune(TimePoint now);
  std::size_t size() const { return listeners_.size(); }

private:
  struct Part {
    std::int64_t number = 0; ///< counted since the clock began
    WorstFigures figures;
  };
  std::int64_t number_of(TimePoint time) const { return time.time_since_epoch() / part_; }
  void forget(std::vector<Part> &parts, TimePoint now) const;

  Duration part_;
  std::int64_t parts_;
  std::unordered_map<std::string, std::vector<Part>> listeners_;
};

} // namespace backlog
