#include "sampler.h"

#include "namespace_sampler.h"
#include "pace.h"

#include <algorithm>
#include <ctime>
#include <exception>
#include <utility>

namespace backlog {

namespace {

using Clock = std::chrono::steady_clock;
using Duration = std::chrono::nanoseconds;
using Seconds = std::chrono::duration<double>;

constexpr double unix_share = 0.5; // of the budget, at most
constexpr int max_weight_periods = 2;
// Two samples that are due within this of each other share a wake-up.
constexpr std::chrono::microseconds together{1000};
constexpr Duration after_failure = std::chrono::seconds(1);

Duration thread_cpu_time() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + Duration(time.tv_nsec);
}

/// One kind of dump: when its next sample is due and what the last one cost.
struct Paced {
  explicit Paced(PaceLimits limits) : pace(limits), period(limits.sample_interval) {}

  Duration max_weight() const { return max_weight_periods * period; }
  /// CPU time a second that it takes as it goes now.
  double rate() const { return Seconds(cost).count() / Seconds(period).count(); }

  Pace pace;
  Duration cost{0};
  Duration period; ///< planned
  std::optional<Clock::time_point> due;
};

/// What the thread owns.
class SamplingLoop {
public:
  SamplingLoop(std::shared_ptr<const Config> config, Seconds interval)
      : config_(std::move(config)), own_(config_),
        only_at_harvests_(config_->sample_interval >= interval),
        budget_(config_->sampler_budget_percent / 100, Clock::now()),
        unix_budget_(unix_share * config_->sampler_budget_percent / 100, Clock::now()),
        tcp_(limits_of(*config_)), unix_(limits_of(*config_)) {}

  void run(Mailbox<Harvest> &mailbox) {
    for (;;) {
      switch (mailbox.sleep_until(next_due())) {
      case Mailbox<Harvest>::Wake::stopping:
        return;
      case Mailbox<Harvest>::Wake::asked:
        mailbox.deliver(harvest());
        break;
      case Mailbox<Harvest>::Wake::due:
        sample();
        break;
      }
    }
  }

private:
  static PaceLimits limits_of(const Config &config) {
    return {.sample_interval = std::chrono::duration_cast<Duration>(config.sample_interval),
            .burst_interval = std::chrono::duration_cast<Duration>(config.burst_interval())};
  }

  std::optional<Clock::time_point> next_due() const {
    if (!tcp_.due || !unix_.due)
      return tcp_.due ? tcp_.due : unix_.due;
    return std::min(*tcp_.due, *unix_.due);
  }

  void sample() {
    const Clock::time_point due_by = Clock::now() + together;
    try {
      if (tcp_.due && *tcp_.due <= due_by) {
        own_.sample_tcp(tcp_.max_weight());
        ++tcp_samples_;
        plan_tcp(spent());
      }
      if (unix_.due && *unix_.due <= due_by) {
        own_.sample_unix(unix_.max_weight());
        plan_unix(spent());
      }
    } catch (const std::exception &) {
      // Out of memory. The harvest, which has a way to say so, tries again.
      tcp_.due.reset();
      unix_.due.reset();
    }
  }

  Harvest harvest() {
    Harvest harvest;
    const Duration cpu_begin = interval_cpu_begin_;
    try {
      harvest.own = own_.harvest(tcp_.max_weight(), unix_.max_weight(), harvest.faults);
      ++tcp_samples_;
    } catch (const std::exception &exception) {
      harvest.faults.push_back({"listeners", exception.what()});
    }
    const Duration cost = spent();
    harvest.taken_at = std::chrono::system_clock::now();
    const Clock::time_point now = Clock::now();
    harvest.measured = now - std::exchange(interval_begin_, now);
    interval_cpu_begin_ = cpu_seen_;
    if (!std::exchange(first_harvest_, false)) {
      harvest.sampler.cpu_percent =
          100 * Seconds(cpu_seen_ - cpu_begin) / Seconds(harvest.measured);
      if (harvest.own.tcp.read)
        harvest.sampler.period = Seconds(harvest.measured) / std::max(1U, tcp_samples_);
    }
    tcp_samples_ = 0;

    // A harvest costs more than a sample and does not tell what the next sample will.
    plan_tcp(tcp_.cost.count() > 0 ? tcp_.cost : cost);
    if (config_->report_unix)
      plan_unix(unix_.cost);
    return harvest;
  }

  /// CPU time of this thread since the last call, which includes waking up; it is taken out of the
  /// budget.
  Duration spent() {
    const Duration now = thread_cpu_time();
    const Duration cost = now - std::exchange(cpu_seen_, now);
    budget_.spend(cost, Clock::now());
    return cost;
  }

  void plan_tcp(Duration cost) {
    const Clock::time_point now = Clock::now();
    const double unix_rate = unix_.due ? std::min(unix_.rate(), unix_share * budget_.rate()) : 0;
    tcp_.cost = cost;
    tcp_.period = tcp_.pace.next(now, cost, own_.tcp_filling(), budget_.rate() - unix_rate,
                                 budget_.until(cost, now));
    tcp_.due = due(now, tcp_.period, own_.tcp_failed());
  }

  void plan_unix(Duration cost) {
    const Clock::time_point now = Clock::now();
    unix_budget_.spend(cost, now);
    unix_.cost = cost;
    unix_.period =
        unix_.pace.next(now, cost, own_.unix_filling(), unix_budget_.rate(),
                        std::max(budget_.until(cost, now), unix_budget_.until(cost, now)));
    unix_.due = due(now, unix_.period, own_.unix_failed());
  }

  std::optional<Clock::time_point> due(Clock::time_point now, Duration period, bool failed) const {
    if (only_at_harvests_)
      return std::nullopt;
    return now + (failed ? std::max(period, after_failure) : period);
  }

  std::shared_ptr<const Config> config_;
  NamespaceSampler own_;
  bool only_at_harvests_;
  CpuBudget budget_;
  CpuBudget unix_budget_;
  Paced tcp_;
  Paced unix_;
  Duration cpu_seen_ = thread_cpu_time();

  Clock::time_point interval_begin_ = Clock::now();
  Duration interval_cpu_begin_ = cpu_seen_;
  unsigned tcp_samples_ = 0;
  bool first_harvest_ = true;
};

} // namespace

std::optional<int> Sampler::start(const std::shared_ptr<const Config> &config,
                                  std::chrono::duration<double> interval) {
  return AskedWorker::start("backlog sampler", [config, interval](Mailbox<Harvest> &mailbox) {
    SamplingLoop(config, interval).run(mailbox);
  });
}

} // namespace backlog
