#pragma once

#include "backlog/table.h"

#include <chrono>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace backlog {

/// What a listener's queue and alarm were at their worst, over a time.
struct WorstFigures {
  std::uint64_t peak = 0;      ///< connections
  double used_percent = 0;     ///< 0 to 100
  std::uint64_t dropped = 0;   ///< segments, in sum
  std::uint64_t overflows = 0; ///< those of them that found the accept queue full
  layout::State state = layout::State::ok;
  layout::Severity severity = layout::Severity::okay; ///< of the alarm that stood

  bool operator==(const WorstFigures &) const = default;
  void add(const WorstFigures &other);
};

/// Remembers the worst of the last five minutes, so that who looks once in five minutes has seen
/// all. Only listeners of which there is something to remember take room.
class RecentWorst {
public:
  using TimePoint = std::chrono::steady_clock::time_point;
  static constexpr std::chrono::nanoseconds span{layout::recent_ns};

  /// Adds an interval that ends now, and returns the worst of five minutes, this interval included.
  /// By at most a tenth of it more is remembered. Once an interval for each listener, in order of
  /// time.
  WorstFigures add(const std::string &name, const WorstFigures &interval, TimePoint now);
  /// Forgets what is over, also of listeners that are gone.
  void prune(TimePoint now);
  std::size_t size() const { return listeners_.size(); }

private:
  /// A tenth of the span, so that a short interval costs no more room than a long one.
  struct Part {
    std::int64_t number = 0; ///< of all since the clock began
    WorstFigures figures;
  };
  static std::int64_t number_of(TimePoint time);
  static void forget(std::vector<Part> &parts, TimePoint now);

  std::unordered_map<std::string, std::vector<Part>> listeners_;
};

} // namespace backlog
