#include "sampler.h"

#include "event_guard.h"
#include "events.h"
#include "namespace_sampler.h"
#include "other_namespaces.h"
#include "pace.h"
#include "scan_planner.h"
#include "thread_cpu_time.h"

#include <algorithm>
#include <malloc.h>
#include <set>
#include <sys/socket.h>
#include <thread>
#include <utility>

namespace backlog {

namespace {

using Clock = std::chrono::steady_clock;
using Duration = std::chrono::nanoseconds;
using Seconds = std::chrono::duration<double>;

constexpr double unix_share = 0.5;   // upper bound within the own namespace's budget
constexpr double others_share = 0.5; // of the whole budget, for all other namespaces together
constexpr int max_weight_periods = 2;
// Samples due within this time of each other share a wake-up.
constexpr std::chrono::microseconds together{1000};
constexpr Duration after_failure = std::chrono::seconds(1);
// The sampler rests, until an event wakes it, this long after the last queue was busy.
constexpr std::chrono::milliseconds rest_after{100};
// Longer than the gap between two samples at rest, and than the time after which an event wakes.
constexpr Duration stuck_after = std::chrono::milliseconds(60);
// in the first harvest only
constexpr std::chrono::milliseconds wait_for_places{500};
constexpr std::chrono::milliseconds look_for_places_every{2};
constexpr Duration idle_unix_interval = std::chrono::seconds(1);

/// One kind of dump: when its next sample is due, and its cost.
struct Paced {
  explicit Paced(Duration sample_interval) : period(sample_interval) {}

  Duration max_weight() const { return max_weight_periods * period; }
  /// CPU seconds per second that it takes at present.
  double rate() const { return Seconds(cost.typical()).count() / Seconds(period).count(); }

  SampleCost cost;
  Duration period; ///< planned
  std::optional<Clock::time_point> due;
};

/// The thread's data. An exception can leave it inconsistent, so it ends the thread, and a new
/// thread starts with new data.
class SamplingLoop {
public:
  SamplingLoop(std::shared_ptr<const Config> config, Seconds interval,
               std::shared_ptr<SurveyBoard> board, Request<Harvest> &request)
      : config_(std::move(config)), request_(request),
        own_(config_, NamespaceLabel{}, ListenerRooms::of_own_namespace(), &request.progress()),
        board_(std::move(board)), other_namespaces_(config_, board_),
        scan_planner_(
            {.stalled_after = std::chrono::duration_cast<Duration>(config_->stalled_after),
             .warning_percent = lowest_warning_percent(*config_)}),
        interval_(std::chrono::duration_cast<Duration>(interval)),
        only_at_harvests_(config_->sample_interval >= interval), own_budget_(share(), Clock::now()),
        tcp_budget_((1 - unix_share) * share(), Clock::now()),
        unix_budget_(unix_share * share(), Clock::now()),
        others_budget_(others_share * share(), Clock::now()), tcp_pace_(limits_of(*config_)),
        unix_pace_(unix_limits_of(*config_)), tcp_(limits_of(*config_).sample_interval),
        unix_(limits_of(*config_).sample_interval), others_(limits_of(*config_).sample_interval) {
    if (config_->events != EventUse::off)
      start_events();
  }

  void run() {
    // At once: what drops before the first sample nobody can be given, and the thread may have been
    // started anew in the middle of an interval.
    if (!only_at_harvests_)
      tcp_.due = Clock::now();
    for (;;) {
      switch (sleep()) {
      case Request<Harvest>::Wake::stopping:
        return;
      case Request<Harvest>::Wake::asked:
        request_.deliver(harvest());
        break;
      case Request<Harvest>::Wake::due:
        if (resting_)
          end_rest();
        sample();
        break;
      }
      begin_rest_if_calm();
    }
  }

private:
  /// Share of one CPU for all sampling.
  double share() const { return config_->sampler_budget_percent / 100; }

  static PaceLimits limits_of(const Config &config) {
    return {.sample_interval = std::chrono::duration_cast<Duration>(config.sample_interval),
            .burst_interval = std::chrono::duration_cast<Duration>(config.burst_interval())};
  }

  static PaceLimits unix_limits_of(const Config &config) {
    PaceLimits limits = limits_of(config);
    limits.idle_interval = idle_unix_interval;
    return limits;
  }

  static double lowest_warning_percent(const Config &config) {
    double lowest = config.warning_percent;
    for (const Watch &watch : config.watches)
      lowest = std::min(lowest, watch.warning_percent.value_or(lowest));
    return lowest;
  }

  void start_events() {
    Result<std::unique_ptr<Events>> started = Events::start();
    // This thread's arena would keep the 5 MB of BTF from the second time on.
    malloc_trim(0);
    may_attach_ = static_cast<bool>(started);
    if (!started) {
      notices_.push_back("no events: " + started.error().message());
      return;
    }
    events_ = std::move(*started);
    notices_.push_back("events: " + events_->summary());
    const auto has_added = [this](std::uint64_t cookie) {
      const auto read = last_reading_.sockets.find(cookie);
      const bool in_reading = read != last_reading_.sockets.end() && read->second.added > 0;
      return in_reading || events_->has_added(cookie);
    };
    ask_events({.has_added = has_added,
                .taken_of = [this](std::uint64_t cookie) { return events_->taken_of(cookie); },
                .of_unix = events_->has_unix()});
    if (events_->has_drops_by_events())
      count_frees([this](std::uint64_t cookie) -> std::optional<FreedSegments> {
        return events_->freed_of(cookie);
      });
    look_into_namespaces();
    // Loading is no sampling. A budget that pays for it would make the first bursts go unseen.
    cpu_seen_ = thread_cpu_time();
  }

  void ask_events(const EventQuestions &events) {
    own_.ask_events(events);
    other_namespaces_.ask_events(events);
  }

  /// nullptr: drops are attributed by frequent sampling.
  void count_frees(const ListenerSet::FreesOf &frees_of) {
    counts_frees_ = frees_of != nullptr;
    own_.ask_frees(frees_of);
    other_namespaces_.ask_frees(frees_of);
  }

  void stop_events(const std::string &reason) {
    if (resting_)
      end_rest();
    count_frees(nullptr);
    ask_events({});
    events_.reset();
    guard_.detached(Clock::now());
    notices_.push_back("events: switched off for a while: " + reason);
  }

  /// Checks the programs against the kernel's own counters and drops the parts that differ.
  void judge_events(const EventReading &reading, const Harvest &harvest) {
    const auto before = std::exchange(counters_before_, harvest.own.counters);
    const EventExpense spent = events_->take_expense();
    events_cost_ = spent.cost;
    if (!reading.is_whole || !before || !harvest.own.counters)
      return;
    const auto risen = [&](Counter counter) -> std::optional<std::uint64_t> {
      const auto now = (*harvest.own.counters)[counter];
      const auto then = (*before)[counter];
      return now && then && *now >= *then ? std::optional(*now - *then) : std::nullopt;
    };
    EventInterval interval;
    interval.measured = harvest.measured;
    interval.cost = events_cost_;
    interval.opened = risen(Counter::PassiveOpens);
    for (const auto &[cookie, socket] : reading.sockets)
      if (socket.socket.family != AF_UNIX && own_.net_cookie() == socket.socket.net_cookie)
        interval.arrived += socket.added;
    interval.dropped = harvest.own.drops_moved;
    if (counts_frees_)
      interval.counted = risen(Counter::ListenDrops);
    interval.sockets_left = harvest.own.has_lost;
    interval.seen = spent.seen;
    interval.missed = spent.missed;
    interval.lost = spent.lost;
    switch (guard_.note(interval)) {
    case EventGuard::Verdict::fine:
      return;
    case EventGuard::Verdict::too_dear:
      return stop_events("they cost more than SamplerBudget");
    case EventGuard::Verdict::deaf:
      return stop_events("they miss most connections");
    case EventGuard::Verdict::skipped:
      return stop_events("the kernel skips too many events");
    case EventGuard::Verdict::crowded:
      return stop_events("there are more than " + std::to_string(EVENT_LISTENERS) +
                         " listeners, of all net namespaces");
    case EventGuard::Verdict::wrong_drops:
      count_frees(nullptr);
      notices_.emplace_back(
          "events: drops are found by sampling: kfree_skb and ListenDrops differ");
    }
  }

  /// Returns nullptr if there is nothing to read.
  EventReading *read_events(std::vector<Fault> &faults) {
    if (!events_)
      return nullptr;
    Result<EventReading> reading = events_->read();
    if (!reading) {
      faults.push_back({"events", reading.error().message()});
      return nullptr;
    }
    last_reading_ = std::move(*reading);
    return &last_reading_;
  }

  Request<Harvest>::Wake sleep() {
    return resting_ ? request_.sleep_until_readable(events_->wake_fd())
                    : request_.sleep_until(next_due());
  }

  bool is_busy() const {
    return own_.tcp_filling() || own_.unix_filling() || own_.is_stuck(stuck_time()) ||
           own_.tcp_failed() || own_.has_unplaced() || other_namespaces_.is_busy(stuck_time());
  }

  Duration stuck_time() const { return std::max(stuck_after, 2 * tcp_.period); }

  /// Whether the sampler may rest. Not in the first two intervals, in which other namespaces are
  /// found and must be sampled at once. Not without exact drops, which sampling must then
  /// attribute.
  bool may_rest() const {
    return harvests_ >= 2 && counts_frees_ && own_.net_cookie() && !only_at_harvests_ &&
           request_.has_bell();
  }

  void begin_rest_if_calm() {
    const Clock::time_point now = Clock::now();
    if (is_busy() || !may_rest())
      busy_until_ = now + rest_after;
    if (resting_ && is_busy())
      end_rest();
    if (resting_ || now < busy_until_)
      return;
    events_->begin_rest();
    // An addition just before the rest has woken nobody.
    own_.sample_tcp(tcp_.max_weight());
    if (config_->report_unix)
      sample_own_unix();
    spent_of(own_budget_);
    resting_ = true;
    rest_begin_ = Clock::now();
    if (is_busy())
      end_rest();
  }

  void end_rest() {
    pass_rest();
    events_->end_rest();
    resting_ = false;
    const Clock::time_point now = Clock::now();
    busy_until_ = now + rest_after;
    tcp_.due = now;
    if (config_->report_unix)
      unix_.due = now;
    if (others_count() > 0)
      others_.due = now;
  }

  /// Covers the time in which events showed that nothing happened. This thread may run much later
  /// than the event that ended it.
  void pass_rest() {
    const Clock::time_point now = Clock::now();
    const Clock::time_point end =
        std::clamp(events_->woken_at().value_or(now), std::min(rest_begin_, now), now);
    rested_ += end - std::exchange(rest_begin_, now);
    own_.pass_rest(end);
    other_namespaces_.pass_rest(end);
  }

  std::optional<Clock::time_point> next_due() const {
    std::optional<Clock::time_point> next = tcp_.due;
    for (const Paced *paced : {&unix_, &others_})
      if (paced->due && (!next || *paced->due < *next) && !(paced == &unix_ && unix_joins_tcp()))
        next = paced->due;
    return next;
  }

  /// Whether the Unix listeners wait for the next wake-up of the TCP listeners. On an idle machine
  /// the wake-up is the largest part of a sample's cost.
  bool unix_joins_tcp() const { return tcp_.due && *tcp_.due <= *unix_.due + unix_.period; }

  Duration::rep others_count() const {
    return static_cast<Duration::rep>(other_namespaces_.size());
  }

  /// The longest time that a sample of another namespace may stand for; its turn comes once in so
  /// many periods.
  Duration others_max_weight() const {
    return others_.max_weight() * std::max(others_count(), Duration::rep{1});
  }

  void sample() {
    // At once, so that a new namespace is sampled from the start of its first whole interval.
    if (other_namespaces_.follow_board()) {
      divide_budget();
      plan_others();
    }
    if (events_)
      events_->look();
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
      sample_own_unix();
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
    events_cost_ = Duration(0);
    if (resting_)
      pass_rest();
    const Duration cpu_begin = interval_cpu_begin_;
    if (harvests_ == 0)
      wait_for_unix_places();
    // Read before the dumps: later frees and drops both belong to the next interval.
    EventReading *events = read_events(harvest.faults);
    own_.follow(board_->unix_places(), board_->unix_looks());
    harvest.own = own_.harvest(tcp_.max_weight(), unix_.max_weight(), events, harvest.faults);
    post_unplaced();
    ++tcp_samples_;
    const Duration own_cost = spent_of(own_budget_);
    const Duration unix_cost = std::min(own_.unix_harvest_cost(), own_cost);
    const Duration tcp_cost = own_cost - unix_cost;
    tcp_budget_.spend(tcp_cost, Clock::now());
    unix_budget_.spend(unix_cost, Clock::now());
    request_.progress().note("other net namespaces");
    other_namespaces_.follow_board();
    harvest.others = other_namespaces_.harvest(others_max_weight(), events, harvest.faults);
    harvest.ended_at = Clock::now();
    if (events != nullptr)
      events_->forget_dead(*events);
    look_into_namespaces();
    board_->post(scan_planner_.plan(harvest));
    spent_of(others_budget_);
    harvest.taken_at = std::chrono::system_clock::now();
    harvest.taken_at_boot = BootClock::now();
    const Clock::time_point now = Clock::now();
    for (CpuBudget *budget : {&own_budget_, &tcp_budget_, &unix_budget_})
      budget->limit_debt(interval_, now);
    others_budget_.limit_debt(interval_, now);
    harvest.measured = now - std::exchange(interval_begin_, now);
    if (events != nullptr)
      judge_events(*events, harvest);
    last_reading_ = EventReading();
    if (events != nullptr && !events_)
      malloc_trim(0); // as much as 12 MB, if the map was full
    interval_cpu_begin_ = cpu_seen_;
    if (harvests_++ > 0)
      harvest.sampler = figures(harvest, cpu_seen_ - cpu_begin + events_cost_);
    if (!events_ && may_attach_ && guard_.may_attach(now))
      start_events();
    harvest.notices = std::exchange(notices_, {});
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

  void sample_own_unix() {
    own_.follow(board_->unix_places(), board_->unix_looks());
    own_.sample_unix(unix_.max_weight());
    post_unplaced();
  }

  /// The first harvest must have the Unix listeners that exist already; the surveyor runs at the
  /// same time.
  void wait_for_unix_places() {
    if (!config_->report_unix)
      return;
    sample_own_unix();
    const Clock::time_point deadline = Clock::now() + wait_for_places;
    while (own_.has_unplaced() && Clock::now() < deadline) {
      std::this_thread::sleep_for(look_for_places_every);
      own_.follow(board_->unix_places(), board_->unix_looks());
    }
  }

  void post_unplaced() {
    if (auto unplaced = own_.take_unplaced(); !unplaced.empty())
      board_->post_unplaced(std::move(unplaced));
  }

  SamplerFigures figures(const Harvest &harvest, Duration cpu_time) {
    SamplerFigures figures;
    figures.cpu_percent = 100 * Seconds(cpu_time) / Seconds(harvest.measured);
    figures.events = level();
    const Duration looked = harvest.measured - std::exchange(rested_, Duration(0));
    if (harvest.own.tcp.read && 2 * looked > harvest.measured)
      figures.period = Seconds(looked) / std::max(1U, tcp_samples_);
    const auto others_read =
        std::count_if(harvest.others.begin(), harvest.others.end(),
                      [](const NamespaceHarvest &other) { return other.tcp.read && !other.ended; });
    if (others_read > 0)
      figures.others_period =
          Seconds(harvest.measured) / (1 + others_samples_ / static_cast<double>(others_read));
    return figures;
  }

  void look_into_namespaces() {
    if (!events_)
      return;
    std::set<std::uint64_t> cookies;
    if (const auto cookie = own_.net_cookie())
      cookies.insert(*cookie);
    other_namespaces_.add_net_cookies(cookies);
    events_->look_into(cookies);
  }

  /// Each level tells what those below it do: waits without drops are no level of their own.
  unsigned level() const {
    if (!events_)
      return 0;
    if (!counts_frees_)
      return 1;
    return events_->has_waits() ? 3 : 2;
  }

  /// CPU time of this thread since the last call, including the wake-up.
  Duration spent_of(CpuBudget &budget) {
    const Duration now = thread_cpu_time();
    const Duration cost = now - std::exchange(cpu_seen_, now);
    budget.spend(cost, Clock::now());
    return cost;
  }

  /// Gives the other namespaces part of the budget while there are any.
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
    tcp_.period = tcp_pace_.next(now, tcp_.cost.typical(), own_.tcp_activity(),
                                 std::max(own_budget_.rate() - unix_rate, tcp_budget_.rate()),
                                 std::min(own_budget_.until(tcp_.cost.typical(), now),
                                          tcp_budget_.until(tcp_.cost.typical(), now)));
    tcp_.due = due(now, tcp_.period, own_.tcp_failed());
  }

  void plan_unix() {
    const Clock::time_point now = Clock::now();
    unix_.period =
        unix_pace_.next(now, unix_.cost.typical(), own_.unix_activity(), unix_budget_.rate(),
                        std::max(own_budget_.until(unix_.cost.typical(), now),
                                 unix_budget_.until(unix_.cost.typical(), now)));
    unix_.due = due(now, unix_.period, own_.unix_failed());
  }

  void plan_others() {
    others_.due.reset();
    if (others_count() == 0)
      return;
    const Clock::time_point now = Clock::now();
    // Each is sampled as often as the own namespace, if the budget allows.
    const Duration in_turn =
        std::chrono::duration_cast<Duration>(config_->sample_interval) / others_count();
    others_.period =
        Pace({.sample_interval = in_turn, .burst_interval = in_turn})
            .next(now, others_.cost.typical(), QueueActivity::empty, others_budget_.rate(),
                  others_budget_.until(others_.cost.typical(), now));
    others_.due = due(now, others_.period, false);
  }

  std::optional<Clock::time_point> due(Clock::time_point now, Duration period, bool failed) const {
    if (only_at_harvests_)
      return std::nullopt;
    return now + (failed ? std::max(period, after_failure) : period);
  }

  std::shared_ptr<const Config> config_;
  Request<Harvest> &request_;
  NamespaceSampler own_;
  std::shared_ptr<SurveyBoard> board_;
  OtherNamespaces other_namespaces_;
  std::unique_ptr<Events> events_; ///< nullptr if events are not in use
  EventReading last_reading_;      ///< valid during a harvest
  bool counts_frees_ = false;      ///< frees are counted and trusted
  bool may_attach_ = false;        ///< loading them worked
  EventGuard guard_{config_->sampler_budget_percent};
  std::optional<NetCounters> counters_before_; ///< own namespace at the last harvest
  Duration events_cost_{0};                    ///< in this interval
  bool resting_ = false;                       ///< waiting for an event
  Clock::time_point busy_until_;
  Clock::time_point rest_begin_;
  Duration rested_{0}; ///< in this interval
  std::vector<std::string> notices_;
  ScanPlanner scan_planner_;
  Duration interval_; ///< collectd's
  bool only_at_harvests_;
  CpuBudget own_budget_;
  CpuBudget tcp_budget_; ///< part of the own namespace's budget that is reserved for TCP
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
  std::uint64_t harvests_ = 0;
};

} // namespace

std::optional<int> Sampler::start(const std::shared_ptr<const Config> &config,
                                  std::chrono::duration<double> interval,
                                  const std::shared_ptr<SurveyBoard> &board) {
  return RequestThread::start("backlog sampler",
                              [config, interval, board](Request<Harvest> &request) {
                                SamplingLoop(config, interval, board, request).run();
                              });
}

} // namespace backlog
