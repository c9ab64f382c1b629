#include "queue_runs.h"

#include <algorithm>

namespace backlog {

void RunClock::advance(std::uint64_t length, bool full, TimePoint before, TimePoint now) {
  if (length_ == 0) {
    first_ = now;
    last_empty_ = before;
    held_full_ = false;
    untouched_since_ = now;
    untouched_full_ = false;
    full_length_ = 0;
    pause_end_.reset();
  }
  if (length < length_)
    note_fall(length, before, now);
  length_ = length;
  if (!full || length == 0) {
    first_full_.reset();
  } else {
    full_times_ += static_cast<std::uint32_t>(!first_full_);
    first_full_ = first_full_.value_or(now);
    held_full_ = true;
    untouched_full_ = true;
    full_length_ = std::max(full_length_, length);
    longest_full_ = std::max<QueueRuns::Duration>(longest_full_, now - *first_full_);
  }
  if (held_full_ && length > 0)
    longest_full_run_ = std::max<QueueRuns::Duration>(longest_full_run_, now - first_);
}

void RunClock::note_fall(std::uint64_t length, TimePoint before, TimePoint now) {
  if (untouched_full_ && before - untouched_since_ >= shortest_pause) {
    pause_ = before - untouched_since_;
    pause_end_ = now;
  }
  untouched_since_ = now;
  untouched_full_ = false;
  if (!pause_end_ || !is_drained(length, full_length_))
    return;
  // The samples from here on are another run, even if the queue is never seen empty.
  if (now - *pause_end_ <= drained_within) {
    longest_pause_ = std::max(longest_pause_, pause_);
    held_full_ = false;
    first_ = now;
  }
  pause_end_.reset();
}

QueueRuns RunClock::end_interval(TimePoint last) {
  QueueRuns runs{.longest_full_run = longest_full_run_,
                 .longest_full = longest_full_,
                 .longest_pause = longest_pause_,
                 .full_times = full_times_};
  if (length_ > 0 && held_full_) {
    runs.full_run_for = last - first_;
    if (untouched_full_)
      runs.full_untouched_for = last - untouched_since_;
    else if (pause_end_ && last - *pause_end_ <= drained_within)
      runs.full_untouched_for = pause_;
  }
  longest_pause_ = QueueRuns::Duration(0);
  full_times_ = first_full_ ? 1 : 0;
  if (length_ > 0) {
    runs.full_run_goes_on = held_full_;
    runs.not_empty_for = last - last_empty_;
  }
  longest_full_run_ = QueueRuns::Duration(0);
  longest_full_ = QueueRuns::Duration(0);
  return runs;
}

} // namespace backlog
