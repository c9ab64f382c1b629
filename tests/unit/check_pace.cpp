#include "pace.h"
#include "test_program.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <functional>
#include <random>
#include <string>
#include <utility>
#include <vector>

using namespace backlog;
using namespace std::chrono_literals;

namespace {

using TimePoint = CpuBudget::TimePoint;
using Duration = CpuBudget::Duration;
using Seconds = std::chrono::duration<double>;

constexpr double share = 0.005;
constexpr PaceLimits limits{.sample_interval = 25ms, .burst_interval = 5ms};
constexpr TimePoint start{1000s};

double ms(Duration time) { return std::chrono::duration<double, std::milli>(time).count(); }

void assert_ms(Duration actual, double expected) {
  ck_assert_double_eq_tol(ms(actual), expected, 1e-3);
}

QueueActivity filling_or_empty(bool filling) {
  return filling ? QueueActivity::filling : QueueActivity::empty;
}

/// CPU time spent, and the most of it that a minute has seen.
class Spent {
public:
  void add(TimePoint now, Duration cost) {
    spent_.emplace_back(now, cost);
    minute_ += cost;
    while (now - spent_[first_].first >= 60s)
      minute_ -= spent_[first_++].second;
    worst_minute_ = std::max(worst_minute_, minute_);
  }
  double worst_minute_seconds() const { return Seconds(worst_minute_).count(); }

private:
  std::vector<std::pair<TimePoint, Duration>> spent_;
  std::size_t first_ = 0; ///< of the minute that ends now
  Duration minute_{0};
  Duration worst_minute_{0};
};

/// Samples a simulated time as the sampler does.
class Simulation {
public:
  struct Sample {
    TimePoint at;
    Duration next; ///< planned
  };

  std::function<Duration(TimePoint)> cost = [](TimePoint) { return 60us; };
  std::function<bool(TimePoint)> filling = [](TimePoint) { return false; };
  std::function<Duration(TimePoint)> harvest_cost; ///< empty: no harvests
  Duration interval = 1s;                          ///< between harvests, the first at the begin

  explicit Simulation(TimePoint begin = start)
      : now_(begin), next_harvest_(begin), budget_(share, begin) {}

  void run_until(TimePoint end) {
    for (; now_ < end; now_ += samples.back().next) {
      while (harvest_cost && next_harvest_ <= now_)
        harvest();
      sample();
    }
  }
  void oversleep(Duration time) { now_ += time; }
  TimePoint now() const { return now_; }
  double worst_minute_seconds() const { return spent_.worst_minute_seconds(); }

  std::vector<Sample> samples;

private:
  void sample() {
    const Duration spent = spend(cost(now_));
    cost_.note(spent);
    samples.push_back({now_, next()});
  }

  // The next sample is as far from a harvest as from a sample.
  void harvest() {
    now_ = next_harvest_;
    next_harvest_ += interval;
    cost_.note_at_most(spend(harvest_cost(now_)));
    budget_.limit_debt(interval, now_);
    now_ += next();
  }

  Duration spend(Duration spent) {
    spent_.add(now_, spent);
    budget_.spend(spent, now_);
    return spent;
  }

  Duration next() {
    const Duration typical = cost_.typical();
    return pace_.next(now_, typical, filling_or_empty(filling(now_)), budget_.rate(),
                      budget_.until(typical, now_));
  }

  TimePoint now_;
  TimePoint next_harvest_;
  CpuBudget budget_;
  SampleCost cost_;
  Pace pace_{limits};
  Spent spent_;
};

} // namespace

/// One whose bucket is empty.
CpuBudget empty_budget() {
  CpuBudget budget(share, start);
  budget.spend(30ms, start);
  return budget;
}

START_TEST(budget_is_full_at_the_beginning) {
  const CpuBudget budget(share, start);
  assert_ms(budget.until(30ms, start), 0);
  ck_assert(budget.until(10ms, start) == Duration(0));
}
END_TEST

START_TEST(a_harvest_as_dear_as_a_sample_tells_nothing) {
  SampleCost cost;
  for (const Duration sample : {100us, 300us, 200us})
    cost.note(sample);
  cost.note_at_most(200us);
  cost.note_at_most(250us);
  cost.note(300us);
  assert_ms(cost.typical(), 0.3);
}
END_TEST

START_TEST(budget_with_another_share_keeps_what_it_holds) {
  CpuBudget budget = empty_budget();
  budget.change_share(2 * share, start);
  assert_ms(budget.until(90us, start), 10);
  budget.change_share(share, start + 1h);
  budget.spend(30ms, start + 1h);
  assert_ms(budget.until(45us, start + 1h), 10);
}
END_TEST

START_TEST(budget_fills_at_nine_tenths_of_the_share) {
  const CpuBudget budget = empty_budget();
  ck_assert_double_eq_tol(budget.rate(), 0.0045, 1e-12);
  assert_ms(budget.until(45us, start), 10);
  assert_ms(budget.until(45us, start + 4ms), 6);
  assert_ms(budget.until(45us, start + 10ms + 1ns), 0);
}
END_TEST

START_TEST(budget_holds_a_tenth_of_a_minute) {
  CpuBudget budget(share, start);
  const TimePoint later = start + 1h;
  assert_ms(budget.until(30ms, later), 0);
  budget.spend(30ms, later);
  assert_ms(budget.until(45us, later), 10);
}
END_TEST

START_TEST(debt_is_paid_back) {
  CpuBudget budget = empty_budget();
  budget.spend(9ms, start);
  assert_ms(budget.until(0ns, start), 2000);
  assert_ms(budget.until(45us, start), 2010);
  budget.spend(9ms, start + 1s);
  assert_ms(budget.until(0ns, start + 1s), 3000);
}
END_TEST

START_TEST(debt_can_be_limited) {
  CpuBudget budget = empty_budget();
  budget.spend(90ms, start);
  budget.limit_debt(30s, start);
  assert_ms(budget.until(0ns, start), 20000);
  budget.limit_debt(10s, start);
  assert_ms(budget.until(0ns, start), 10000);
  budget.limit_debt(10s, start + 5s);
  assert_ms(budget.until(0ns, start + 5s), 5000);
  budget.limit_debt(0s, start + 20s);
  assert_ms(budget.until(50ms, start + 20s), 0); // what was there stays
}
END_TEST

START_TEST(what_the_budget_cannot_hold_waits_until_it_is_full) {
  CpuBudget budget = empty_budget();
  assert_ms(budget.until(1s, start), 30 / 0.0045);
  const TimePoint full = start + 6667ms;
  assert_ms(budget.until(1s, full), 0);
  budget.spend(1s, full);
  assert_ms(budget.until(45us, full), 970.045 / 0.0045);
}
END_TEST

// Whoever waits until its cost is there, however long that is ago, keeps every minute within the
// share. What the budget cannot hold goes beyond that by what it cannot hold.
START_TEST(no_minute_sees_more_than_the_share) {
  for (const double part : {0.0001, 0.005, 0.3, 1.0})
    for (const double largest : {0.01, 0.3, 1.0, 3.0}) { // of what the bucket holds
      std::mt19937 random(static_cast<std::uint32_t>(largest * 1000));
      std::uniform_real_distribution<double> unit(0, 1);
      const double held = part * 6;
      TimePoint now = start;
      CpuBudget budget(part, now);
      Spent spent;
      for (int i = 0; i < 20000; ++i) {
        const Seconds cost(held * largest * std::pow(unit(random), 3));
        const auto need = std::chrono::duration_cast<Duration>(cost);
        now += budget.until(need, now);
        if (unit(random) < 0.0005)
          now += std::chrono::duration_cast<Duration>(Seconds(100 * unit(random)));
        spent.add(now, need);
        budget.spend(need, now);
      }
      const double most = part * 60 + held * std::max(0.0, largest - 1);
      ck_assert_double_le(spent.worst_minute_seconds(), most * (1 + 1e-6));
      ck_assert_double_gt(spent.worst_minute_seconds(), part * 60 * 0.8);
    }
}
END_TEST

START_TEST(period_at_rest) {
  struct Case {
    Duration cost;
    double rate;
    Duration affordable_in;
    double period_ms;
  };
  constexpr Case cases[] = {
      {.cost = 0us, .rate = 0.0045, .affordable_in = 0ms, .period_ms = 25},
      {.cost = 60us, .rate = 0.0045, .affordable_in = 0ms, .period_ms = 25},
      {.cost = 60us, .rate = 0.0045, .affordable_in = 80ms, .period_ms = 80},
      {.cost = 3ms, .rate = 0.0045, .affordable_in = 0ms, .period_ms = 3 / (0.9 * 0.0045)},
      {.cost = 3ms, .rate = 0.0045, .affordable_in = 1s, .period_ms = 1000},
      {.cost = 3ms, .rate = 0.00225, .affordable_in = 0ms, .period_ms = 3 / (0.9 * 0.00225)},
      {.cost = 3ms, .rate = 0.9, .affordable_in = 0ms, .period_ms = 25},
      {.cost = 3ms, .rate = 0, .affordable_in = 0ms, .period_ms = 24 * 3.6e6},
      {.cost = 1h, .rate = 0.0001, .affordable_in = 0ms, .period_ms = 24 * 3.6e6},
  };
  for (const Case &c : cases) {
    Pace pace(limits);
    assert_ms(pace.next(start, c.cost, QueueActivity::empty, c.rate, c.affordable_in), c.period_ms);
  }
}
END_TEST

START_TEST(burst_lasts_50_ms_beyond_the_last_filling_sample) {
  Pace pace(limits);
  const auto next = [&](Duration at, bool filling) {
    return ms(pace.next(start + at, 60us, filling_or_empty(filling), 0.0045, 0ns));
  };
  ck_assert_double_eq(next(0ms, false), 25);
  ck_assert_double_eq(next(10ms, true), 5);
  ck_assert_double_eq(next(30ms, false), 5);
  ck_assert_double_eq(next(59ms, true), 5);
  ck_assert_double_eq(next(108ms, false), 5);
  ck_assert_double_eq(next(109ms, false), 25);
  ck_assert_double_eq(next(110ms, true), 5);
}
END_TEST

START_TEST(empty_queues_are_hardly_looked_at) {
  const struct {
    Duration at;
    QueueActivity activity;
    double period_ms;
  } steps[] = {
      {0s, QueueActivity::empty, 25},          {9s, QueueActivity::empty, 25},
      {10s, QueueActivity::empty, 1000},       {61s, QueueActivity::waiting, 25},
      {100s, QueueActivity::changed, 25},      {120s, QueueActivity::empty, 25},
      {121s, QueueActivity::empty, 1000},      {122s, QueueActivity::filling, 5},
      {122s + 50ms, QueueActivity::empty, 25}, {182s, QueueActivity::empty, 1000},
      {183s, QueueActivity::changed, 25},      {184s, QueueActivity::empty, 25},
      {185s, QueueActivity::none, 1000},       {186s, QueueActivity::changed, 25},
      {195s, QueueActivity::empty, 25},        {196s, QueueActivity::empty, 1000},
  };
  PaceLimits with_idle = limits;
  with_idle.idle_interval = 1s;
  Pace pace(with_idle);
  Pace without(limits);
  for (const auto &step : steps) {
    assert_ms(pace.next(start + step.at, 60us, step.activity, 0.0045, 0ns), step.period_ms);
    const Duration rest = without.next(start + step.at, 60us, step.activity, 0.0045, 0ns);
    assert_ms(rest, std::min(step.period_ms, 25.0));
  }
}
END_TEST

START_TEST(idle_interval_is_never_the_shorter_one) {
  Pace pace({.sample_interval = 5s, .burst_interval = 5ms, .idle_interval = 1s});
  assert_ms(pace.next(start, 60us, QueueActivity::none, 0.0045, 0ns), 5000);
}
END_TEST

// In a burst the bucket is there to be emptied.
START_TEST(burst_is_held_back_by_the_budget_only) {
  Pace pace(limits);
  assert_ms(pace.next(start, 3ms, QueueActivity::filling, 0.0045, 0ns), 5);
  assert_ms(pace.next(start, 3ms, QueueActivity::filling, 0.0045, 400ms), 400);
}
END_TEST

START_TEST(endless_burst_stays_within_the_budget) {
  Simulation simulation;
  simulation.filling = [](TimePoint) { return true; };
  simulation.run_until(start + 10min);
  ck_assert_double_le(simulation.worst_minute_seconds(), share * 60 + 60e-6);
  ck_assert_double_gt(simulation.worst_minute_seconds(), share * 60 * 0.8);
  assert_ms(simulation.samples.back().next, 0.06 / 0.0045);
}
END_TEST

START_TEST(pace_follows_the_cost_within_a_second) {
  for (const bool filling : {false, true}) {
    Simulation simulation;
    const TimePoint dear = start + 100s;
    const TimePoint cheap = start + 200s;
    simulation.filling = [&](TimePoint) { return filling; };
    simulation.cost = [&](TimePoint now) {
      return Duration(now >= dear && now < cheap ? 3ms : 50us);
    };
    simulation.run_until(start + 300s);
    ck_assert_double_le(simulation.worst_minute_seconds(), share * 60 + 3e-3);
    for (const auto &[at, next] : simulation.samples) {
      if (at < dear || at >= cheap + 1s)
        ck_assert_double_le(ms(next), 25);
      else if (at >= dear + (filling ? 20s : 100ms) && at < cheap) // once the bucket is empty
        ck_assert_double_ge(ms(next), 3 / 0.0045 - 1e-3);
      if (at < cheap) // the first dear one finds an empty bucket in a burst
        ck_assert_double_le(ms(next), (filling ? 2 * 3 / 0.0045 : 3 / (0.9 * 0.0045)) + 1e-3);
    }
  }
}
END_TEST

// The first of all meets every listener, and costs many times what a sample does.
START_TEST(samples_do_not_wait_for_what_a_harvest_costs) {
  struct Case {
    Duration first_harvest, harvest, sample;
  };
  for (const Case &c : {Case{40ms, 100us, 50us}, {10ms, 2ms, 100us}, {100ms, 1ms, 300us}}) {
    Simulation simulation;
    simulation.cost = [&](TimePoint) { return c.sample; };
    simulation.harvest_cost = [&](TimePoint now) {
      return now == start ? c.first_harvest : c.harvest;
    };
    const TimePoint debt_paid = start + 25s;
    simulation.run_until(debt_paid + 60s);
    ck_assert_double_le(simulation.worst_minute_seconds(), share * 60 + 70e-3);
    const auto paced = std::count_if(simulation.samples.begin(), simulation.samples.end(),
                                     [&](const auto &sample) { return sample.at >= debt_paid; });
    const double affordable = (0.0045 - Seconds(c.harvest).count()) / Seconds(c.sample).count();
    ck_assert_int_ge(paced, static_cast<int>(60 * 0.8 * std::min(40.0, affordable)));
  }
}
END_TEST

// Samples that are rarer than harvests are none, and harvests tell that they have become cheap.
START_TEST(harvests_tell_that_samples_have_become_cheap) {
  Simulation simulation;
  const TimePoint cheap = start + 60s;
  simulation.cost = [&](TimePoint now) { return now < cheap ? Duration(9ms) : Duration(90us); };
  simulation.harvest_cost = [&](TimePoint now) {
    return now < cheap ? Duration(1ms + 9ms) : Duration(1ms + 90us);
  };
  simulation.run_until(cheap + 60s);
  const auto after = std::count_if(simulation.samples.begin(), simulation.samples.end(),
                                   [&](const auto &sample) { return sample.at >= cheap + 3s; });
  ck_assert_int_ge(after, 57L * 20);
}
END_TEST

START_TEST(late_wake_up_is_not_made_up_for) {
  for (const bool filling : {false, true}) {
    Simulation simulation;
    simulation.filling = [&](TimePoint) { return filling; };
    simulation.run_until(start + 20s);
    simulation.oversleep(30s);
    const TimePoint woken = simulation.now();
    const std::size_t before = simulation.samples.size();
    simulation.run_until(woken + 1s);
    ck_assert_uint_le(simulation.samples.size() - before, filling ? 200 : 40);
    for (const auto &[at, next] : simulation.samples)
      ck_assert_double_ge(ms(next), filling ? 5 : 25);
  }
}
END_TEST

namespace {

/// The length of a queue in every millisecond, one a line. Its limit is 128, 2000 connections come
/// each second, and the server stalls for 50 ms at random moments.
std::vector<unsigned> recorded_lengths(const std::string &trace) {
  const std::string command = "gzip -dc '" FIXTURES_DIR "/bursts/" + trace + ".gz'";
  std::FILE *pipe = popen(command.c_str(), "r"); // NOLINT(cert-env33-c): a path of the tree
  ck_assert_ptr_nonnull(pipe);
  std::vector<unsigned> lengths;
  std::array<char, 32> line{};
  while (std::fgets(line.data(), line.size(), pipe) != nullptr)
    lengths.push_back(static_cast<unsigned>(std::stoul(line.data())));
  ck_assert_int_eq(pclose(pipe), 0);
  return lengths;
}

/// Figures of a paced sampler for a recorded queue, over every phase between the two.
class Replay {
public:
  explicit Replay(std::vector<unsigned> lengths) : lengths_(std::move(lengths)) {
    for (Duration phase = 0ms; phase < limits.sample_interval; phase += 500us)
      run(phase);
  }

  /// The median of peak seen / true peak over intervals.
  double median_seen(std::size_t interval_ms) const {
    std::vector<double> seen;
    for (const auto &samples : runs_)
      for (std::size_t begin = 0; begin + interval_ms <= lengths_.size(); begin += interval_ms)
        seen.push_back(seen_of_peak(samples, begin, begin + interval_ms));
    const auto middle = seen.begin() + static_cast<std::ptrdiff_t>(seen.size() / 2);
    std::nth_element(seen.begin(), middle, seen.end());
    return *middle;
  }

  double samples_per_second() const {
    std::size_t count = 0;
    for (const auto &samples : runs_)
      count += samples.size();
    return static_cast<double>(count) * 1000 / static_cast<double>(runs_.size() * lengths_.size());
  }

private:
  static constexpr unsigned limit = 128;

  std::size_t index_at(TimePoint time) const {
    return static_cast<std::size_t>((time - start) / 1ms);
  }

  void run(Duration phase) {
    Simulation simulation(start + phase);
    simulation.filling = [this](TimePoint now) {
      const unsigned length = lengths_[index_at(now)];
      return length >= 4 && 8 * length >= limit;
    };
    simulation.run_until(start + std::chrono::milliseconds(lengths_.size()));
    auto &samples = runs_.emplace_back();
    for (const Simulation::Sample &sample : simulation.samples)
      samples.push_back(index_at(sample.at));
  }

  double seen_of_peak(const std::vector<std::size_t> &samples, std::size_t begin,
                      std::size_t end) const {
    unsigned seen = 0;
    for (auto sample = std::lower_bound(samples.begin(), samples.end(), begin);
         sample != samples.end() && *sample < end; ++sample)
      seen = std::max(seen, lengths_[*sample]);
    const auto first = lengths_.begin() + static_cast<std::ptrdiff_t>(begin);
    return static_cast<double>(seen) /
           *std::max_element(first, first + static_cast<std::ptrdiff_t>(end - begin));
  }

  std::vector<unsigned> lengths_;
  std::vector<std::vector<std::size_t>> runs_; ///< indexes into lengths_ that were sampled
};

} // namespace

// Sampling every 10 ms, with twice the wake-ups, sees 0.92, 0.94 and 0.93.
START_TEST(peaks_of_recorded_bursts_are_seen) {
  const Replay each_second(recorded_lengths("each_second"));
  ck_assert_double_ge(each_second.median_seen(1000), 0.965);
  ck_assert_double_ge(each_second.median_seen(10000), 0.96);
  ck_assert_double_le(each_second.samples_per_second(), 54);

  const Replay each_10_seconds(recorded_lengths("each_10_seconds"));
  ck_assert_double_ge(each_10_seconds.median_seen(10000), 0.96);
  ck_assert_double_le(each_10_seconds.samples_per_second(), 42);
}
END_TEST

START_TEST(one_dear_sample_is_not_what_samples_cost_but_a_cheap_one_is) {
  SampleCost cost;
  ck_assert(cost.typical() == 0us);
  struct Case {
    std::chrono::microseconds noted, typical;
  };
  for (const Case &c : {Case{60us, 60us},
                        {20ms, 60us},
                        {50us, 50us},
                        {70us, 70us},
                        {500us, 70us},
                        {510us, 500us},
                        {520us, 510us}}) {
    cost.note(c.noted);
    ck_assert(cost.typical() == c.typical);
  }
}
END_TEST

int main() {
  return run_tests(
      "pace", samples_do_not_wait_for_what_a_harvest_costs,
      harvests_tell_that_samples_have_become_cheap,
      one_dear_sample_is_not_what_samples_cost_but_a_cheap_one_is, budget_is_full_at_the_beginning,
      a_harvest_as_dear_as_a_sample_tells_nothing, budget_with_another_share_keeps_what_it_holds,
      budget_fills_at_nine_tenths_of_the_share, budget_holds_a_tenth_of_a_minute,
      debt_can_be_limited, debt_is_paid_back, what_the_budget_cannot_hold_waits_until_it_is_full,
      no_minute_sees_more_than_the_share, period_at_rest,
      burst_lasts_50_ms_beyond_the_last_filling_sample, empty_queues_are_hardly_looked_at,
      idle_interval_is_never_the_shorter_one, burst_is_held_back_by_the_budget_only,
      endless_burst_stays_within_the_budget, pace_follows_the_cost_within_a_second,
      late_wake_up_is_not_made_up_for, peaks_of_recorded_bursts_are_seen);
}
