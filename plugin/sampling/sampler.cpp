#include "sampler.h"

#include "events.h"
#include "namespace_sampler.h"
#include "other_namespaces.h"
#include "pace.h"
#include "scan_wishes.h"
#include "thread_cpu_time.h"

#include <algorithm>
#include <utility>

namespace backlog {

namespace {

using Clock = std::chrono::steady_clock;
using Duration = std::chrono::nanoseconds;
using Seconds = std::chrono::duration<double>;

constexpr double unix_share = 0.5;   // of the own namespace's budget, at most
constexpr double others_share = 0.5; // of the whole budget, for all other namespaces together
constexpr int max_weight_periods = 2;
// Two samples that are due within this of each other share a wake-up.
constexpr std::chrono::microseconds together{1000};
constexpr Duration after_failure = std::chrono::seconds(1);

/// One kind of dump: when its next sample is due and what one costs.
struct Paced {
  explicit Paced(Duration sample_interval) : period(sample_interval) {}

  Duration max_weight() const { return max_weight_periods * period; }
  /// CPU time a second that it takes as it goes now.
  double rate() const { return Seconds(cost.typical()).count() / Seconds(period).count(); }

  SampleCost cost;
  Duration period; ///< planned
  std::optional<Clock::time_point> due;
};

/// What the thread owns. An exception leaves it half-changed, and ends the thread: another one
/// begins with all anew.
class SamplingLoop {
public:
  SamplingLoop(std::shared_ptr<const Config> config, Seconds interval,
               std::shared_ptr<SurveyBoard> board, Mailbox<Harvest> &mailbox)
      : config_(std::move(config)), mailbox_(mailbox),
        own_(config_, NamespaceLabel{}, ListenerRooms::of_own_namespace(), &mailbox.progress()),
        board_(std::move(board)), other_namespaces_(config_, board_),
        wisher_({.stalled_after = std::chrono::duration_cast<Duration>(config_->stalled_after),
                 .warning_percent = lowest_warning_percent(*config_)}),
        interval_(std::chrono::duration_cast<Duration>(interval)),
        only_at_harvests_(config_->sample_interval >= interval), own_budget_(share(), Clock::now()),
        tcp_budget_((1 - unix_share) * share(), Clock::now()),
        unix_budget_(unix_share * share(), Clock::now()),
        others_budget_(others_share * share(), Clock::now()), tcp_pace_(limits_of(*config_)),
        unix_pace_(limits_of(*config_)), tcp_(limits_of(*config_).sample_interval),
        unix_(limits_of(*config_).sample_interval), others_(limits_of(*config_).sample_interval) {
    if (config_->events != EventUse::off)
      start_events();
  }

  void run() {
    for (;;) {
      switch (mailbox_.sleep_until(next_due())) {
      case Mailbox<Harvest>::Wake::stopping:
        return;
      case Mailbox<Harvest>::Wake::asked:
        mailbox_.deliver(harvest());
        break;
      case Mailbox<Harvest>::Wake::due:
        sample();
        break;
      }
    }
  }

private:
  /// Of one CPU, for all sampling.
  double share() const { return config_->sampler_budget_percent / 100; }

  static PaceLimits limits_of(const Config &config) {
    return {.sample_interval = std::chrono::duration_cast<Duration>(config.sample_interval),
            .burst_interval = std::chrono::duration_cast<Duration>(config.burst_interval())};
  }

  static double lowest_warning_percent(const Config &config) {
    double lowest = config.warning_percent;
    for (const Watch &watch : config.watches)
      lowest = std::min(lowest, watch.warning_percent.value_or(lowest));
    return lowest;
  }

  void start_events() {
    Result<std::unique_ptr<Events>> started = Events::start();
    if (!started) {
      notices_.push_back("no events: " + started.error().message());
      return;
    }
    events_ = std::move(*started);
    notices_.push_back("events: " + events_->summary());
    const auto has_added = [this](std::uint64_t cookie) {
      return events_ && events_->has_added(cookie);
    };
    own_.ask_events(has_added);
    other_namespaces_.ask_events(has_added);
  }

  /// nullopt: there is nothing to read.
  std::optional<EventReading> read_events(std::vector<Fault> &faults) {
    if (!events_)
      return std::nullopt;
    Result<EventReading> reading = events_->read();
    if (reading)
      return std::move(*reading);
    faults.push_back({"events", reading.error().message()});
    return std::nullopt;
  }

  std::optional<Clock::time_point> next_due() const {
    std::optional<Clock::time_point> next;
    for (const Paced *paced : {&tcp_, &unix_, &others_})
      if (paced->due && (!next || *paced->due < *next))
        next = paced->due;
    return next;
  }

  Duration::rep others_count() const {
    return static_cast<Duration::rep>(other_namespaces_.size());
  }

  /// How much time a sample of one of the other namespaces may stand for: their turn comes once
  /// in so many periods.
  Duration others_max_weight() const {
    return others_.max_weight() * std::max(others_count(), Duration::rep{1});
  }

  void sample() {
    // At once: in its first whole interval, a namespace is sampled from the beginning.
    if (other_namespaces_.follow_board()) {
      divide_budget();
      plan_others();
    }
    const Clock::time_point due_by = Clock::now() + together;
    if (tcp_.due && *tcp_.due <= due_by) {
      own_.sample_tcp(tcp_.max_weight());
      ++tcp_samples_;
      const Duration cost = spent_of(own_budget_);
      tcp_budget_.spend(cost, Clock::now());
      tcp_.cost.note(cost);
      plan_tcp();
    }
    if (unix_.due && *unix_.due <= due_by) {
      own_.sample_unix(unix_.max_weight());
      const Duration cost = spent_of(own_budget_);
      unix_budget_.spend(cost, Clock::now());
      unix_.cost.note(cost);
      plan_unix();
    }
    if (others_.due && *others_.due <= due_by) {
      other_namespaces_.sample_next(others_max_weight());
      ++others_samples_;
      others_.cost.note(spent_of(others_budget_));
      plan_others();
    }
  }

  Harvest harvest() {
    Harvest harvest;
    const Duration cpu_begin = interval_cpu_begin_;
    // Before the dumps: what is freed meanwhile is told with the next interval, as its drops are.
    std::optional<EventReading> reading = read_events(harvest.faults);
    EventReading *events = reading ? &*reading : nullptr;
    harvest.own = own_.harvest(tcp_.max_weight(), unix_.max_weight(), events, harvest.faults);
    ++tcp_samples_;
    const Duration own_cost = spent_of(own_budget_);
    const Duration unix_cost = std::min(own_.unix_harvest_cost(), own_cost);
    const Duration tcp_cost = own_cost - unix_cost;
    tcp_budget_.spend(tcp_cost, Clock::now());
    unix_budget_.spend(unix_cost, Clock::now());
    mailbox_.progress().note("other net namespaces");
    other_namespaces_.follow_board();
    harvest.others = other_namespaces_.harvest(others_max_weight(), events, harvest.faults);
    harvest.ended_at = Clock::now();
    if (reading)
      events_->forget_dead(*reading);
    harvest.notices = std::exchange(notices_, {});
    board_->post(wisher_.wishes(harvest));
    spent_of(others_budget_);
    harvest.taken_at = std::chrono::system_clock::now();
    const Clock::time_point now = Clock::now();
    for (CpuBudget *budget : {&own_budget_, &tcp_budget_, &unix_budget_})
      budget->limit_debt(interval_, now);
    others_budget_.limit_debt(interval_, now);
    harvest.measured = now - std::exchange(interval_begin_, now);
    interval_cpu_begin_ = cpu_seen_;
    if (!std::exchange(first_harvest_, false))
      harvest.sampler = figures(harvest, cpu_seen_ - cpu_begin);
    tcp_samples_ = 0;
    others_samples_ = 0;

    tcp_.cost.note_at_most(tcp_cost);
    unix_.cost.note_at_most(unix_cost);
    plan_tcp();
    if (config_->report_unix)
      plan_unix();
    divide_budget();
    plan_others();
    return harvest;
  }

  SamplerFigures figures(const Harvest &harvest, Duration cpu_time) const {
    SamplerFigures figures;
    figures.cpu_percent = 100 * Seconds(cpu_time) / Seconds(harvest.measured);
    figures.events = level();
    if (harvest.own.tcp.read)
      figures.period = Seconds(harvest.measured) / std::max(1U, tcp_samples_);
    const auto others_read =
        std::count_if(harvest.others.begin(), harvest.others.end(),
                      [](const NamespaceHarvest &other) { return other.tcp.read && !other.ended; });
    if (others_read > 0)
      figures.others_period =
          Seconds(harvest.measured) / (1 + others_samples_ / static_cast<double>(others_read));
    return figures;
  }

  unsigned level() const {
    if (!events_)
      return 0;
    return 1U + static_cast<unsigned>(events_->tells_drops()) +
           static_cast<unsigned>(events_->tells_waits());
  }

  /// CPU time of this thread since the last call, which includes waking up.
  Duration spent_of(CpuBudget &budget) {
    const Duration now = thread_cpu_time();
    const Duration cost = now - std::exchange(cpu_seen_, now);
    budget.spend(cost, Clock::now());
    return cost;
  }

  /// A part of the budget is the others' while there are any.
  void divide_budget() {
    const bool divided = others_count() > 0;
    if (std::exchange(budget_is_divided_, divided) == divided)
      return;
    const Clock::time_point now = Clock::now();
    const double own_share = divided ? share() * (1 - others_share) : share();
    own_budget_.change_share(own_share, now);
    tcp_budget_.change_share((1 - unix_share) * own_share, now);
    unix_budget_.change_share(unix_share * own_share, now);
  }

  void plan_tcp() {
    const Clock::time_point now = Clock::now();
    const double unix_rate = unix_.due ? std::min(unix_.rate(), unix_budget_.rate()) : 0;
    tcp_.period = tcp_pace_.next(now, tcp_.cost.typical(), own_.tcp_filling(),
                                 std::max(own_budget_.rate() - unix_rate, tcp_budget_.rate()),
                                 std::min(own_budget_.until(tcp_.cost.typical(), now),
                                          tcp_budget_.until(tcp_.cost.typical(), now)));
    tcp_.due = due(now, tcp_.period, own_.tcp_failed());
  }

  void plan_unix() {
    const Clock::time_point now = Clock::now();
    unix_.period =
        unix_pace_.next(now, unix_.cost.typical(), own_.unix_filling(), unix_budget_.rate(),
                        std::max(own_budget_.until(unix_.cost.typical(), now),
                                 unix_budget_.until(unix_.cost.typical(), now)));
    unix_.due = due(now, unix_.period, own_.unix_failed());
  }

  void plan_others() {
    others_.due.reset();
    if (others_count() == 0)
      return;
    const Clock::time_point now = Clock::now();
    // Each of them as often as the own one, if the budget has it.
    const Duration in_turn =
        std::chrono::duration_cast<Duration>(config_->sample_interval) / others_count();
    others_.period = Pace({.sample_interval = in_turn, .burst_interval = in_turn})
                         .next(now, others_.cost.typical(), false, others_budget_.rate(),
                               others_budget_.until(others_.cost.typical(), now));
    others_.due = due(now, others_.period, false);
  }

  std::optional<Clock::time_point> due(Clock::time_point now, Duration period, bool failed) const {
    if (only_at_harvests_)
      return std::nullopt;
    return now + (failed ? std::max(period, after_failure) : period);
  }

  std::shared_ptr<const Config> config_;
  Mailbox<Harvest> &mailbox_;
  NamespaceSampler own_;
  std::shared_ptr<SurveyBoard> board_;
  OtherNamespaces other_namespaces_;
  std::unique_ptr<Events> events_; ///< nullptr: not in use
  std::vector<std::string> notices_;
  ScanWisher wisher_;
  Duration interval_; ///< collectd's
  bool only_at_harvests_;
  CpuBudget own_budget_;
  CpuBudget tcp_budget_; ///< the part of the own namespace's that Unix listeners cannot take
  CpuBudget unix_budget_;
  CpuBudget others_budget_;
  bool budget_is_divided_ = false;
  Pace tcp_pace_;
  Pace unix_pace_;
  Paced tcp_;
  Paced unix_;
  Paced others_;
  Duration cpu_seen_ = thread_cpu_time();

  Clock::time_point interval_begin_ = Clock::now();
  Duration interval_cpu_begin_ = cpu_seen_;
  unsigned tcp_samples_ = 0;
  unsigned others_samples_ = 0;
  bool first_harvest_ = true;
};

} // namespace

std::optional<int> Sampler::start(const std::shared_ptr<const Config> &config,
                                  std::chrono::duration<double> interval,
                                  const std::shared_ptr<SurveyBoard> &board) {
  return AskedWorker::start("backlog sampler",
                            [config, interval, board](Mailbox<Harvest> &mailbox) {
                              SamplingLoop(config, interval, board, mailbox).run();
                            });
}

} // namespace backlog
