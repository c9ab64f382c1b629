#pragma once

#include <chrono>

namespace backlog {

/// Decides whether answers due once an interval are failing to come. A single late one is no
/// trouble, except that the very first must come in time.
class ReplyWatchdog {
public:
  using TimePoint = std::chrono::steady_clock::time_point;
  using Duration = std::chrono::nanoseconds;

  explicit ReplyWatchdog(Duration patience) : patience_(patience) {}

  /// Notes the end of a wait. answered: an answer has come since the end of the previous wait.
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
  unsigned in_vain_ = 0;    ///< waits in a row without an answer
  TimePoint in_vain_since_; ///< begin of the first of them
  bool is_overdue_ = false;
};

} // namespace backlog
