#include "queue_runs.h"
#include "test_program.h"

#include <string>
#include <vector>

using namespace backlog;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t usual_capacity = 5;

/// A queue that is full at its capacity, looked at every 10 ms from 10 ms on: what each sample saw,
/// and where the interval ends; the runs are those of the last interval.
struct Case {
  const char *name;
  std::vector<std::vector<std::uint64_t>> intervals;
  QueueRuns runs;
  std::uint64_t capacity = usual_capacity;
};

/// Full in so many samples, and what comes then.
std::vector<std::uint64_t> pause_of(std::size_t samples, const std::vector<std::uint64_t> &then,
                                    const std::vector<std::uint64_t> &in_the_end = {}) {
  std::vector<std::uint64_t> lengths(samples, usual_capacity);
  lengths.insert(lengths.end(), then.begin(), then.end());
  lengths.insert(lengths.end(), in_the_end.begin(), in_the_end.end());
  return lengths;
}

std::vector<Case> cases() {
  return {
      {.name = "always empty", .intervals = {{0, 0, 0}}, .runs = {}},
      {.name = "waiting, never full", .intervals = {{0, 2, 3, 3}}, .runs = {.not_empty_for = 30ms}},
      {.name = "one full sample in a run of three",
       .intervals = {{0, 2, 5, 2, 0}},
       .runs = {.longest_full_run = 20ms, .full_times = 1}},
      {.name = "full samples in two runs",
       .intervals = {{0, 5, 5, 5, 0, 5, 5, 0}},
       .runs = {.longest_full_run = 20ms, .longest_full = 20ms, .full_times = 2}},
      {.name = "a run that began in the interval before",
       .intervals = {{0, 2, 5}, {5, 5, 0}},
       .runs = {.longest_full_run = 30ms, .longest_full = 20ms, .full_times = 1}},
      {.name = "a run that ends with the next interval's first sample",
       .intervals = {{0, 2, 5}, {0, 0}},
       .runs = {.longest_full_run = 10ms, .full_times = 1}},
      {.name = "what the interval before saw is not told again",
       .intervals = {{0, 5, 5, 0}, {0, 0}},
       .runs = {}},
      {.name = "full at the end",
       .intervals = {{0, 5, 5}},
       .runs = {.longest_full_run = 10ms,
                .longest_full = 10ms,
                .not_empty_for = 20ms,
                .full_run_goes_on = true,
                .full_untouched_for = 10ms,
                .full_run_for = 10ms,
                .full_times = 1}},
      {.name = "a pause that drains at once",
       .intervals = {pause_of(150, {0})},
       .runs = {.longest_full_run = 1490ms,
                .longest_full = 1490ms,
                .longest_pause = 1490ms,
                .full_times = 1}},
      {.name = "a pause that drains in two steps, and others come",
       .intervals = {pause_of(150, {2, 1, 2})},
       .runs = {.longest_full_run = 1500ms,
                .longest_full = 1490ms,
                .not_empty_for = 1530ms,
                .longest_pause = 1490ms,
                .full_times = 1}},
      {.name = "a pause that is drained when the next interval has begun",
       .intervals = {pause_of(150, {}), {0}},
       .runs = {.longest_full_run = 1490ms, .longest_pause = 1490ms, .full_times = 1}},
      {.name = "a pause that is being drained when the interval ends",
       .intervals = {pause_of(150, {3})},
       .runs = {.longest_full_run = 1500ms,
                .longest_full = 1490ms,
                .not_empty_for = 1510ms,
                .full_run_goes_on = true,
                .full_untouched_for = 1490ms,
                .full_run_for = 1500ms,
                .full_times = 1}},
      {.name = "full for long, and slow to drain",
       .intervals = {pause_of(150, std::vector<std::uint64_t>(110, 4), {0})},
       .runs = {.longest_full_run = 2590ms, .longest_full = 1490ms, .full_times = 1}},
      {.name = "a pause after which others come at once",
       .intervals = {{0}, pause_of(150, {1, 2, 5}, {0})},
       .runs = {.longest_full_run = 1490ms,
                .longest_full = 1490ms,
                .longest_pause = 1490ms,
                .full_times = 2}},
      {.name = "a short stop",
       .intervals = {pause_of(50, {0})},
       .runs = {.longest_full_run = 490ms, .longest_full = 490ms, .full_times = 1}},
      {.name = "a wait that drains at once, never full",
       .intervals = {std::vector<std::uint64_t>(150, 3), {0}},
       .runs = {}},
      {.name = "full at one",
       .intervals = {{0, 1, 1, 0}},
       .runs = {.longest_full_run = 10ms, .longest_full = 10ms, .full_times = 1},
       .capacity = 1},
      {.name = "one waits on when the queue has been full",
       .intervals = {{0, 5, 5, 1, 1, 0}},
       .runs = {.longest_full_run = 30ms, .longest_full = 10ms, .full_times = 1}},
      {.name = "one waits at the end when the queue has been full",
       .intervals = {{0, 5, 1}},
       .runs = {.longest_full_run = 10ms,
                .not_empty_for = 20ms,
                .full_run_goes_on = true,
                .full_run_for = 10ms,
                .full_times = 1}},
      {.name = "the shortest pause",
       .intervals = {pause_of(51, {0})},
       .runs = {.longest_full_run = 500ms,
                .longest_full = 500ms,
                .longest_pause = 500ms,
                .full_times = 1}},
      {.name = "a pause that takes as long to drain as it may",
       .intervals = {pause_of(150, std::vector<std::uint64_t>(100, 4), {0})},
       .runs = {.longest_full_run = 2490ms,
                .longest_full = 1490ms,
                .longest_pause = 1490ms,
                .full_times = 1}},
      {.name = "a pause that can be drained in time when the interval ends",
       .intervals = {pause_of(150, std::vector<std::uint64_t>(101, 4))},
       .runs = {.longest_full_run = 2500ms,
                .longest_full = 1490ms,
                .not_empty_for = 2510ms,
                .full_run_goes_on = true,
                .full_untouched_for = 1490ms,
                .full_run_for = 2500ms,
                .full_times = 1}},
      {.name = "a pause that is not drained in time when the interval ends",
       .intervals = {pause_of(150, std::vector<std::uint64_t>(102, 4))},
       .runs = {.longest_full_run = 2510ms,
                .longest_full = 1490ms,
                .not_empty_for = 2520ms,
                .full_run_goes_on = true,
                .full_run_for = 2510ms,
                .full_times = 1}},
      {.name = "accepted from while full",
       .intervals = {pause_of(150, {4, 5, 4, 5})},
       .runs = {.longest_full_run = 1530ms,
                .longest_full = 1490ms,
                .not_empty_for = 1540ms,
                .full_run_goes_on = true,
                .full_untouched_for = 10ms,
                .full_run_for = 1530ms,
                .full_times = 3}},
  };
}

void assert_duration(const Case &tried, const char *what, QueueRuns::Duration actual,
                     QueueRuns::Duration expected) {
  ck_assert_msg(actual == expected, "%s: %s is %lld ns, not %lld", tried.name, what,
                static_cast<long long>(actual.count()), static_cast<long long>(expected.count()));
}

} // namespace

START_TEST(runs_of_a_queue) {
  for (const Case &tried : cases()) {
    RunClock clock;
    RunClock::TimePoint now{};
    QueueRuns runs;
    std::uint64_t previous = 0;
    for (const std::vector<std::uint64_t> &interval : tried.intervals) {
      for (const std::uint64_t length : interval) {
        const RunClock::TimePoint before = now;
        now += 10ms;
        if (length > 0 || previous > 0)
          clock.advance(length, length >= tried.capacity, before, now);
        previous = length;
      }
      runs = clock.end_interval(now);
    }
    assert_duration(tried, "longest_full_run", runs.longest_full_run, tried.runs.longest_full_run);
    assert_duration(tried, "longest_full", runs.longest_full, tried.runs.longest_full);
    assert_duration(tried, "not_empty_for", runs.not_empty_for, tried.runs.not_empty_for);
    ck_assert_msg(runs.full_run_goes_on == tried.runs.full_run_goes_on, "%s", tried.name);
    assert_duration(tried, "longest_pause", runs.longest_pause, tried.runs.longest_pause);
    assert_duration(tried, "full_untouched_for", runs.full_untouched_for,
                    tried.runs.full_untouched_for);
    assert_duration(tried, "full_run_for", runs.full_run_for, tried.runs.full_run_for);
    ck_assert_msg(runs.full_times == tried.runs.full_times, "%s: full %u times", tried.name,
                  runs.full_times);
  }
}
END_TEST

namespace {

/// A queue that every sample sees full. Clients that were refused come back at once.
class FullQueue {
public:
  explicit FullQueue(std::uint64_t capacity = usual_capacity) : capacity_(capacity) {}

  /// of_queue: accepted from it since the sample before; of_all: from all queues, ever.
  void sample(std::optional<std::uint64_t> of_queue, std::optional<std::int64_t> of_all) {
    const RunClock::TimePoint before = now_;
    now_ += 10ms;
    clock_.advance(capacity_, true, before, now_, of_queue);
    if (of_all)
      clock_.note_accepts_of_all(*of_all, before, now_);
  }
  void samples(int count, std::optional<std::int64_t> of_all) {
    for (int i = 0; i < count; ++i)
      sample(of_all ? std::nullopt : std::optional<std::uint64_t>(0), of_all);
  }
  QueueRuns end_interval() { return clock_.end_interval(now_); }

private:
  std::uint64_t capacity_;
  RunClock clock_;
  RunClock::TimePoint now_{};
};

} // namespace

START_TEST(a_drained_queue_that_is_full_again_at_once) {
  FullQueue queue;
  for (int batch = 0; batch < 3; ++batch)
    for (int i = 0; i < 200; ++i)
      queue.sample(i == 0 && batch > 0 ? usual_capacity : 0, std::nullopt);
  const QueueRuns runs = queue.end_interval();
  ck_assert(runs.longest_pause == 1990ms);
  ck_assert(runs.longest_full_run == 1990ms);
  ck_assert(runs.full_run_goes_on);
  ck_assert(runs.full_run_for == 1990ms);
}
END_TEST

START_TEST(a_queue_that_is_accepted_from_has_no_pause) {
  FullQueue queue;
  for (int i = 0; i < 600; ++i)
    queue.sample(i % 50 == 0, std::nullopt);
  const QueueRuns runs = queue.end_interval();
  ck_assert(runs.longest_pause == 0ms);
  ck_assert(runs.longest_full_run == 5990ms);
  ck_assert(runs.full_untouched_for == 490ms);
}
END_TEST

// Three quarters of a full queue, after half a second.
START_TEST(what_is_a_batch) {
  const struct {
    std::uint64_t capacity;
    std::int64_t accepted;
    int samples;
    std::chrono::milliseconds pause;
  } cases[] = {{5, 4, 200, 1990ms}, {5, 3, 200, 0ms},  {4, 3, 200, 1990ms},
               {4, 2, 200, 0ms},    {5, 5, 51, 500ms}, {5, 5, 50, 0ms}};
  for (const auto &c : cases) {
    FullQueue own(c.capacity);
    own.samples(c.samples, std::nullopt);
    own.sample(c.accepted, std::nullopt);
    ck_assert_msg(own.end_interval().longest_pause == c.pause, "%d of %d",
                  static_cast<int>(c.accepted), static_cast<int>(c.capacity));
    FullQueue all(c.capacity);
    all.samples(c.samples, 1000);
    all.sample(std::nullopt, 1000 + c.accepted);
    ck_assert_msg(all.end_interval().longest_pause == c.pause, "%d of all, of %d",
                  static_cast<int>(c.accepted), static_cast<int>(c.capacity));
  }
}
END_TEST

START_TEST(others_are_accepted_from_in_a_pause) {
  // A quarter of the queue is next to nothing.
  FullQueue few(4);
  few.samples(100, 1000);
  few.samples(100, 1001);
  few.sample(std::nullopt, 1004);
  ck_assert(few.end_interval().longest_pause == 1990ms);
  // More may have been its own, and the pause begins after it.
  FullQueue some;
  some.samples(100, 1000);
  some.samples(100, 1002);
  some.sample(std::nullopt, 1006);
  ck_assert(some.end_interval().longest_pause == 990ms);
}
END_TEST

START_TEST(the_first_of_a_batch_is_seen_before_the_others) {
  FullQueue quiet;
  quiet.samples(200, 1000);
  quiet.sample(1, 1001);
  quiet.sample(0, 1004);
  ck_assert(quiet.end_interval().longest_pause == 1990ms);
  // Where others are accepted from all the time, these may be theirs.
  FullQueue busy;
  std::int64_t of_all = 1000;
  for (int i = 0; i < 20; ++i)
    busy.samples(10, of_all += 2);
  busy.sample(1, of_all + 1);
  busy.sample(0, of_all + 5);
  ck_assert(busy.end_interval().longest_pause == 0ms);
}
END_TEST

START_TEST(a_queue_that_is_not_full_has_no_full_run) {
  RunClock clock;
  RunClock::TimePoint now{};
  for (std::int64_t of_all = 1000; of_all < 1100; ++of_all) {
    clock.advance(3, false, now, now + 10ms);
    now += 10ms;
    clock.note_accepts_of_all(of_all, now - 10ms, now);
  }
  const QueueRuns runs = clock.end_interval(now);
  ck_assert(!runs.full_run_goes_on && runs.longest_full_run == 0ms && runs.longest_pause == 0ms);
}
END_TEST

START_TEST(what_all_queues_are_accepted_from_shows_a_batch) {
  FullQueue queue;
  std::int64_t of_all = 1000;
  for (int batch = 0; batch < 3; ++batch) {
    for (int i = 0; i < 200; ++i)
      queue.sample(std::nullopt, of_all);
    of_all += usual_capacity;
  }
  const QueueRuns runs = queue.end_interval();
  ck_assert(runs.longest_pause == 1990ms);
  ck_assert(runs.longest_full_run < 2100ms);
}
END_TEST

START_TEST(others_that_accept_are_no_batch) {
  FullQueue queue;
  std::int64_t of_all = 1000;
  for (int i = 0; i < 600; ++i) {
    of_all += i % 200 == 0 ? static_cast<std::int64_t>(usual_capacity) : i % 20 == 0;
    queue.sample(std::nullopt, of_all);
  }
  ck_assert(queue.end_interval().longest_pause == 0ms);
}
END_TEST

// A queue of nine that each look finds full for 0.7 s, and then one shorter after each accept.
START_TEST(a_server_that_goes_on_as_before_has_not_paused) {
  const struct {
    const char *what = "";
    int own_unseen = 0; ///< accepted in each 100 ms of the first 0.7 s
    int others = 0;     ///< accepted from other queues in each 100 ms
    std::chrono::milliseconds apart{};
    std::chrono::milliseconds pause{};
  } cases[] = {
      {"none of its accepts was seen", 1, 0, 100ms, 0ms},
      {"none was seen, beside a few others", 1, 1, 100ms, 0ms},
      {"none was seen, beside so many that nobody knows", 1, 20, 100ms, 690ms},
      {"nobody was accepted", 0, 0, 100ms, 690ms},
      {"nobody was accepted, beside others", 0, 20, 100ms, 690ms},
      {"somebody may have been, but then many are at once", 1, 0, 10ms, 690ms},
  };
  for (const auto &c : cases) {
    RunClock clock;
    RunClock::TimePoint now{};
    std::int64_t of_all = 1000;
    const auto sample = [&](std::uint64_t length) {
      clock.advance(length, length == 9, now, now + 10ms);
      now += 10ms;
      if (now.time_since_epoch() % 100ms == 0ms)
        of_all += c.others;
      clock.note_accepts_of_all(of_all, now - 10ms, now);
    };
    for (int i = 1; i <= 70; ++i) {
      of_all += i % 10 == 5 ? c.own_unseen : 0;
      sample(9);
    }
    for (int accept = 0; accept < 9; ++accept) {
      ++of_all;
      sample(8);
      do
        sample(9);
      while (now.time_since_epoch() % c.apart != 0ms);
    }
    ck_assert_msg(clock.end_interval(now).longest_pause == c.pause, "%s", c.what);
  }
}
END_TEST

START_TEST(what_two_samples_saw_has_waited) {
  RunClock clock;
  RunClock::TimePoint now{};
  for (const auto &[length, after] :
       {std::pair{5U, 10ms}, {7U, 300ms}, {0U, 10ms}, {3U, 10ms}, {2U, 10ms}}) {
    clock.advance(length, false, now, now + after);
    now += after;
  }
  ck_assert_double_eq_tol(clock.end_interval(now).waited, 5 * 0.3 + 2 * 0.01, 1e-9);
  clock.advance(2, false, now, now + 10ms);
  ck_assert_double_eq_tol(clock.end_interval(now + 10ms).waited, 2 * 0.01, 1e-9);
}
END_TEST

START_TEST(what_nobody_looked_at_is_told) {
  struct Look {
    std::uint64_t length;
    std::chrono::milliseconds after;
    std::optional<std::uint64_t> accepted{};
  };
  const struct {
    const char *what;
    std::vector<Look> looks; ///< of the last interval, after an empty one
    std::chrono::milliseconds unseen;
    std::chrono::milliseconds pause = 0ms;
    std::vector<Look> before{}; ///< of the interval before
  } cases[] = {
      {.what = "all was seen", .looks = {{5, 10ms}, {5, 300ms}, {0, 10ms}}, .unseen = 0ms},
      {.what = "as far apart as idle Unix queues are looked at",
       .looks = {{5, 1100ms}, {5, 300ms}, {0, 10ms}},
       .unseen = 0ms},
      {.what = "not as far", .looks = {{5, 1500ms}, {5, 300ms}, {0, 10ms}}, .unseen = 1500ms},
      {.what = "before a full run", .looks = {{5, 3s}, {5, 300ms}, {0, 10ms}}, .unseen = 3s},
      {.what = "in a full run", .looks = {{5, 10ms}, {5, 3s}, {0, 10ms}}, .unseen = 3s},
      {.what = "after a full run", .looks = {{5, 10ms}, {5, 10ms}, {0, 3s}}, .unseen = 3s},
      {.what = "the longer of two", .looks = {{5, 2s}, {5, 3s}, {5, 2s}}, .unseen = 3s},
      {.what = "before a run that is not full", .looks = {{3, 3s}, {0, 10ms}}, .unseen = 0ms},
      {.what = "in another run",
       .looks = {{3, 3s}, {0, 10ms}, {5, 10ms}, {0, 10ms}},
       .unseen = 0ms},
      {.what = "in the interval before",
       .looks = {{5, 300ms}, {0, 10ms}},
       .unseen = 3s,
       .before = {{5, 3s}}},
      {.what = "in the interval before, and enough was seen since",
       .looks = {{5, 1s}, {5, 1s}, {0, 10ms}},
       .unseen = 0ms,
       .pause = 2s,
       .before = {{5, 3s}}},
      {.what = "in the interval before, and just enough was seen since",
       .looks = {{5, 750ms}, {5, 750ms}, {0, 10ms}},
       .unseen = 0ms,
       .pause = 1500ms,
       .before = {{5, 3s}}},
      {.what = "the queue was not full afterwards",
       .looks = {{5, 10ms}, {3, 3s}, {3, 1s}, {0, 10ms}},
       .unseen = 3s},
      {.what = "not told again",
       .looks = {{0, 10ms}},
       .unseen = 0ms,
       .before = {{5, 3s}, {0, 1ms}}},
      {.what = "nobody was accepted meanwhile, as events know",
       .looks = {{5, 10ms, 0}, {5, 3s, 0}, {0, 10ms, 5}},
       .unseen = 0ms,
       .pause = 3s},
      {.what = "somebody was", .looks = {{5, 10ms, 0}, {5, 3s, 1}, {0, 10ms, 5}}, .unseen = 3s},
  };
  for (const auto &c : cases) {
    RunClock clock;
    RunClock::TimePoint now{};
    for (const auto *interval : {&c.before, &c.looks}) {
      (void)clock.end_interval(now);
      for (const Look &look : *interval) {
        clock.advance(look.length, look.length >= usual_capacity, now, now + look.after,
                      look.accepted, look.after);
        now += look.after;
      }
    }
    const QueueRuns runs = clock.end_interval(now);
    ck_assert_msg(runs.unseen_for == c.unseen, "%s", c.what);
    ck_assert_msg(runs.longest_pause == c.pause, "%s", c.what);
  }
}
END_TEST

int main() {
  return run_tests(
      "queue_runs", runs_of_a_queue, a_drained_queue_that_is_full_again_at_once,
      a_queue_that_is_accepted_from_has_no_pause, what_is_a_batch,
      others_are_accepted_from_in_a_pause, the_first_of_a_batch_is_seen_before_the_others,
      a_queue_that_is_not_full_has_no_full_run, what_all_queues_are_accepted_from_shows_a_batch,
      others_that_accept_are_no_batch, a_server_that_goes_on_as_before_has_not_paused,
      what_two_samples_saw_has_waited, what_nobody_looked_at_is_told);
}
