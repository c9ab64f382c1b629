#include "queue_runs.h"

#include <algorithm>

namespace backlog {

void RunClock::advance(std::uint64_t length, bool full, TimePoint before, TimePoint now) {
  if (length_ == 0) {
    first_ = now;
    last_empty_ = before;
    held_full_ = false;
  }
  length_ = length;
  if (!full || length == 0) {
    first_full_.reset();
  } else {
    first_full_ = first_full_.value_or(now);
    held_full_ = true;
    longest_full_ = std::max<QueueRuns::Duration>(longest_full_, now - *first_full_);
  }
  if (held_full_ && length > 0)
    longest_full_run_ = std::max<QueueRuns::Duration>(longest_full_run_, now - first_);
}

QueueRuns RunClock::end_interval(TimePoint last) {
  QueueRuns runs{.longest_full_run = longest_full_run_, .longest_full = longest_full_};
  if (length_ > 0) {
    runs.full_run_goes_on = held_full_;
    runs.not_empty_for = last - last_empty_;
  }
  longest_full_run_ = QueueRuns::Duration(0);
  longest_full_ = QueueRuns::Duration(0);
  return runs;
}

} // namespace backlog
