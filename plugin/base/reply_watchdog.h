#pragma once

#include <chrono>

namespace backlog {

/// Whether answers that are awaited once an interval do not come. A single late one is no trouble;
/// while there has been none at all, the first one is.
class ReplyWatchdog {
public:
  using TimePoint = std::chrono::steady_clock::time_point;
  using Duration = std::chrono::nanoseconds;

  explicit ReplyWatchdog(Duration patience) : patience_(patience) {}

  /// At the end of each wait. answered: since the end of the one before.
  void note(bool answered, TimePoint begin, TimePoint end) {
    if (answered) {
      ever_answered_ = true;
      in_vain_ = 0;
    } else if (in_vain_++ == 0) {
      in_vain_since_ = begin;
    }
    is_overdue_ = in_vain_ > (ever_answered_ ? 1U : 0U) && end - in_vain_since_ >= patience_;
  }
  bool is_overdue() const { return is_overdue_; }

private:
  Duration patience_;
  bool ever_answered_ = false;
  unsigned in_vain_ = 0;    ///< waits in a row
  TimePoint in_vain_since_; ///< the first of them
  bool is_overdue_ = false;
};

} // namespace backlog
