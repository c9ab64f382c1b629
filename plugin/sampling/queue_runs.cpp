#include "queue_runs.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace backlog {

using Duration = QueueRuns::Duration;

namespace {

/// What takes no longer is no row of clients of which each is waited for.
constexpr std::chrono::milliseconds at_once{100};

double seconds(Duration time) { return std::chrono::duration<double>(time).count(); }

} // namespace

void RunClock::advance(std::uint64_t length, bool full, TimePoint before, TimePoint now,
                       std::optional<std::uint64_t> accepted, Duration unseen) {
  if (length_ == 0) {
    first_ = now;
    last_empty_ = before;
    held_full_ = false;
    untouched_since_ = now;
    untouched_full_ = false;
    full_length_ = 0;
    pause_end_.reset();
    of_all_.reset();
    of_all_when_quiet_.reset();
    of_all_when_untouched_.reset();
    unseen_ = Duration(0);
  }
  waited_ += static_cast<double>(std::min(length, length_)) * seconds(now - before);
  const std::uint64_t fallen = length < length_ ? length_ - length : 0;
  length_ = length;
  if (fallen > 0 || accepted.value_or(0) > 0)
    note_accepts(accepted.value_or(fallen), before, now);
  if (unseen >= longest_unseen && accepted != 0U)
    note_unseen(unseen, now);
  if (length == 0)
    end_run(before);
  if (!full || length == 0) {
    first_full_.reset();
  } else {
    full_times_ += static_cast<std::uint32_t>(!first_full_);
    first_full_ = first_full_.value_or(now);
    note_full();
    longest_full_ = std::max<Duration>(longest_full_, now - *first_full_);
  }
  if (holds_full())
    longest_full_run_ = std::max<Duration>(longest_full_run_, now - first_);
}

void RunClock::note_full() {
  held_full_ = true;
  untouched_full_ = true;
  full_length_ = std::max(full_length_, length_);
}

/// That nothing was accepted meanwhile was not seen either.
void RunClock::note_unseen(Duration unseen, TimePoint now) {
  unseen_ = std::max(unseen_, unseen);
  unseen_until_ = now;
  untouched_since_ = now;
  untouched_full_ = false;
  of_all_when_untouched_.reset();
}

/// What is seen of a run afterwards shows its cause, if it is long enough.
void RunClock::tell_unseen(TimePoint until) {
  if (until - unseen_until_ < longest_unseen)
    unseen_for_ = std::max(unseen_for_, unseen_);
}

void RunClock::note_accepts_of_all(std::int64_t of_all, TimePoint before, TimePoint now) {
  const std::optional<std::int64_t> then =
      quiet_for(before) >= shortest_pause ? of_all_ : std::nullopt;
  of_all_ = of_all;
  if (are_most(then))
    note_accepts(0, before, now, then);
  else if (pause_end_)
    end_pause_if_drained(before, now);
  if (first_full_)
    note_full();
  if (!of_all_when_untouched_) {
    of_all_when_untouched_ = of_all;
    untouched_of_all_since_ = now;
  }
  if (of_all_when_quiet_ &&
      4 * (of_all - *of_all_when_quiet_) <= static_cast<std::int64_t>(full_length_))
    return;
  of_all_when_quiet_ = of_all;
  quiet_since_ = now;
}

void RunClock::note_accepts(std::uint64_t accepted, TimePoint before, TimePoint now,
                            std::optional<std::int64_t> of_all_then) {
  if (untouched_for(before) >= shortest_pause) {
    const bool is_quiet = quiet_for(before) >= shortest_pause;
    pause_ = is_quiet ? quiet_for(before) : untouched_for(before);
    pause_end_ = now;
    accepted_since_pause_ = 0;
    of_all_before_pause_end_ = of_all_then || !is_quiet ? of_all_then : of_all_;
    of_all_per_second_in_pause_.reset();
    if (of_all_ && of_all_when_untouched_ && before > untouched_of_all_since_)
      of_all_per_second_in_pause_ = static_cast<double>(*of_all_ - *of_all_when_untouched_) /
                                    seconds(before - untouched_of_all_since_);
    of_all_at_pause_end_ = of_all_;
  }
  untouched_since_ = now;
  untouched_full_ = false;
  of_all_when_untouched_.reset();
  accepted_since_pause_ += accepted;
  if (pause_end_)
    end_pause_if_drained(before, now);
}

void RunClock::end_pause_if_drained(TimePoint before, TimePoint now) {
  if (!is_drained(length_, full_length_) && 4 * accepted_since_pause_ < 3 * full_length_ &&
      !are_most(of_all_before_pause_end_))
    return;
  // The samples from here on are another run, even if the queue is never seen empty.
  if (now - *pause_end_ <= drained_within && !goes_on_as_in_pause(now)) {
    longest_pause_ = std::max(longest_pause_, pause_);
    end_run(before);
    first_ = now;
  }
  pause_end_.reset();
}

/// How long the queue has been full, or about to be, and was not seen to be accepted from.
Duration RunClock::untouched_for(TimePoint now) const {
  return untouched_full_ ? Duration(now - untouched_since_) : Duration(0);
}

/// Likewise, and next to nothing was accepted from all queues.
Duration RunClock::quiet_for(TimePoint now) const {
  return of_all_ ? std::min<Duration>(untouched_for(now), now - quiet_since_) : Duration(0);
}

/// Whether so many have been accepted from all queues since then as are most of this one when full.
bool RunClock::are_most(const std::optional<std::int64_t> &of_all_then) const {
  return of_all_then && of_all_ &&
         4 * (*of_all_ - *of_all_then) >= 3 * static_cast<std::int64_t>(full_length_);
}

/// Whether as many are accepted from all queues since the pause as in it: a queue that is full
/// again before each look is not seen to fall, though it is accepted from. Beside busy ones nobody
/// knows.
bool RunClock::goes_on_as_in_pause(TimePoint now) const {
  const Duration since = now - *pause_end_;
  if (since < at_once || !of_all_per_second_in_pause_)
    return false;
  const auto accepted = static_cast<double>(*of_all_ - *of_all_at_pause_end_);
  const double expected = *of_all_per_second_in_pause_ * seconds(since);
  const double by_chance = std::sqrt(std::max(0.0, expected));
  return 2 * (accepted - expected + by_chance) < static_cast<double>(full_length_);
}

void RunClock::end_run(TimePoint before) {
  if (std::exchange(held_full_, false)) {
    longest_full_run_ = std::max<Duration>(longest_full_run_, before - first_);
    tell_unseen(before);
  }
}

QueueRuns RunClock::end_interval(TimePoint last) {
  if (holds_full())
    tell_unseen(last);
  QueueRuns runs{.longest_full_run = longest_full_run_,
                 .longest_full = longest_full_,
                 .longest_pause = longest_pause_,
                 .unseen_for = std::exchange(unseen_for_, Duration(0)),
                 .waited = std::exchange(waited_, 0),
                 .full_times = full_times_};
  if (length_ > 0 && held_full_) {
    runs.full_run_for = last - first_;
    if (untouched_full_)
      runs.full_untouched_for = last - untouched_since_;
    else if (pause_end_ && last - *pause_end_ <= drained_within)
      runs.full_untouched_for = pause_;
  }
  longest_pause_ = Duration(0);
  full_times_ = first_full_ ? 1 : 0;
  if (length_ > 0) {
    runs.full_run_goes_on = held_full_;
    runs.not_empty_for = last - last_empty_;
  }
  longest_full_run_ = Duration(0);
  longest_full_ = Duration(0);
  return runs;
}

} // namespace backlog
