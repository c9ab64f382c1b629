#include "collector.h"

#include "sampler.h"
#include "survey_board.h"
#include "surveyor.h"
#include "utf8.h"

#include <cerrno>
#include <iterator>
#include <malloc.h>
#include <new>
#include <system_error>
#include <utility>

namespace backlog {

namespace {

// An answer later than this is a fault.
constexpr std::chrono::seconds patience{1};

/// Runs one of the two threads that ask the kernel.
template <class Thread, class Answer> class KernelThread final : public AnsweringThread<Answer> {
public:
  using typename AnsweringThread<Answer>::TimePoint;

  KernelThread(std::shared_ptr<const Config> config, std::shared_ptr<SurveyBoard> board)
      : config_(std::move(config)), board_(std::move(board)) {}

  bool is_running() const override { return thread_.is_running(); }
  std::optional<int> start(std::chrono::duration<double> interval) override {
    return thread_.start(config_, interval, board_);
  }
  std::optional<std::string> failure() const override { return thread_.failure(); }
  std::string step() const override { return thread_.step(); }
  void ask() override { thread_.ask(); }
  std::optional<Answer> take_until(TimePoint deadline) override {
    return thread_.take_until(deadline);
  }
  std::optional<Answer> try_take() override { return thread_.try_take(); }
  bool stop(std::chrono::milliseconds patience) override { return thread_.stop(patience); }

private:
  std::shared_ptr<const Config> config_;
  std::shared_ptr<SurveyBoard> board_;
  Thread thread_;
};

struct Threads {
  std::unique_ptr<AnsweringThread<Harvest>> sampler;
  std::unique_ptr<AnsweringThread<Survey>> surveyor;
};

Threads kernel_threads(const std::shared_ptr<const Config> &config) {
  const auto board = std::make_shared<SurveyBoard>();
  return {std::make_unique<KernelThread<Sampler, Harvest>>(config, board),
          std::make_unique<KernelThread<Surveyor, Survey>>(config, board)};
}

/// Why a thread gives no answer, if it gives none.
template <class Thread>
std::optional<std::string> silence_of(const Thread &thread, const std::optional<int> &not_started,
                                      const ReplyWatchdog &watchdog, Collector::Seconds waited) {
  if (not_started)
    return "start a thread: " + std::generic_category().message(*not_started);
  if (!watchdog.is_overdue())
    return std::nullopt;
  const auto whole = std::chrono::ceil<std::chrono::seconds>(waited);
  const std::string reason = "not ready within " + std::to_string(whole.count()) + " s";
  const std::string step = thread.step();
  return step.empty() ? reason : reason + ", waits for " + step;
}

bool has_listeners(const NamespaceHarvest &harvest) {
  return harvest.tcp.read || (harvest.unix_sockets && harvest.unix_sockets->read);
}

std::string text_of(const NameCollision &collision) {
  return printable(collision.keeper) + " and " + printable(collision.other) +
         " would have the same name: the first is " + collision.name + ", the second " +
         collision.other_name;
}

} // namespace

Collector::Collector(std::shared_ptr<const Config> config,
                     std::unique_ptr<AnsweringThread<Harvest>> sampler,
                     std::unique_ptr<AnsweringThread<Survey>> surveyor)
    : config_(std::move(config)), sampler_(std::move(sampler)), surveyor_(std::move(surveyor)),
      builder_(config_), alarms_(config_->notify, config_->stalled_after, config_->missing_after),
      harvest_watchdog_(patience), survey_watchdog_(patience) {}

Collector::Collector(std::shared_ptr<const Config> config)
    : Collector(std::move(config), nullptr, nullptr) {
  Threads threads = kernel_threads(config_);
  sampler_ = std::move(threads.sampler);
  surveyor_ = std::move(threads.surveyor);
}

std::vector<LogLine> Collector::start(Seconds interval) {
  start_threads(interval);
  note_silence(patience);
  return std::exchange(unsaid_, {});
}

Collector::Reading Collector::read(Seconds interval, std::chrono::milliseconds longest_wait) {
  Reading reading = reading_without_log(interval, longest_wait);
  reading.log = std::exchange(unsaid_, {});
  return reading;
}

Collector::Reading Collector::reading_without_log(Seconds interval,
                                                  std::chrono::milliseconds longest_wait) {
  Reading reading;
  const Clock::time_point begin = Clock::now();
  const Clock::time_point deadline = begin + longest_wait;

  // The previous reading stopped waiting for this one.
  std::optional<Survey> survey = surveyor_->try_take();
  std::optional<Harvest> late = sampler_->try_take();
  const bool was_late = late.has_value();
  if (late)
    reading.reports.push_back(report(std::move(*late), survey, interval));

  note_ended_threads();
  start_threads(interval);
  if (sampler_not_started_) {
    note_silence(longest_wait);
    return reading;
  }
  sampler_->ask();
  std::optional<Harvest> harvest = sampler_->take_until(deadline);
  // Asked only now, because the harvest can call for scans.
  surveyor_->ask();
  harvest_watchdog_.note(was_late || harvest, begin, Clock::now());
  if (harvest) {
    if (!surveyor_not_started_)
      if (auto fresh = surveyor_->take_until(deadline))
        survey = std::move(fresh);
    survey_watchdog_.note(survey.has_value(), begin, Clock::now());
  }
  note_silence(longest_wait);
  if (!harvest)
    return reading;
  reading.has_listeners = has_listeners(harvest->own);
  reading.reports.push_back(report(std::move(*harvest), survey, interval));
  return reading;
}

std::vector<LogLine> Collector::stop(std::chrono::milliseconds patience) {
  std::vector<LogLine> log = std::exchange(unsaid_, {});
  for (const bool ended : {sampler_->stop(patience), surveyor_->stop(patience)})
    if (!ended)
      log.push_back({LogLine::Level::notice, "a thread hangs in the kernel and was left behind"});
  return log;
}

template <class Thread>
std::optional<int> Collector::start_thread(Thread &thread, Seconds interval) {
  if (thread.is_running())
    return std::nullopt;
  try {
    return thread.start(interval);
  } catch (const std::bad_alloc &) {
    return ENOMEM;
  }
}

/// Starts the threads that are not running. The sampler's results are of use without the
/// surveyor's.
void Collector::start_threads(Seconds interval) {
  sampler_not_started_ = start_thread(*sampler_, interval);
  surveyor_not_started_ = start_thread(*surveyor_, interval);
}

/// Reports threads that have ended, because they could not leave a net namespace or memory was
/// short.
void Collector::note_ended_threads() {
  for (const auto &failure : {sampler_->failure(), surveyor_->failure()})
    if (failure)
      say_once("thread", "a thread ended and was restarted: " + *failure);
}

void Collector::note_silence(std::chrono::milliseconds longest_wait) {
  std::vector<Fault> faults;
  if (auto reason = silence_of(*sampler_, sampler_not_started_, harvest_watchdog_, longest_wait))
    faults.push_back({"listeners", std::move(*reason)});
  if (auto reason = silence_of(*surveyor_, surveyor_not_started_, survey_watchdog_, longest_wait))
    faults.push_back({"survey", std::move(*reason)});
  thread_faults_.update(faults, unsaid_);
}

Report Collector::report(Harvest harvest, const std::optional<Survey> &survey, Seconds interval) {
  note_harvest(harvest, survey);
  Report report;
  report.harvest = std::move(harvest);
  report.table = builder_.build(report.harvest, survey, interval);
  if (rows_.has_ebbed(report.table.rows.size()))
    malloc_trim(0);
  for (const std::string &notice : report.harvest.notices)
    say_once("events", notice);
  for (const std::string &notice : report.table.notices)
    say_once("table", notice);
  if (!std::exchange(reported_, true))
    return report;
  report.notifications = alarms_.update(alarm_inputs(report.table), report.table.measured);
  if (!config_->table_file.empty())
    report.contents =
        table_contents(report.table, report.harvest, interval, alarms_, began_ns_, recent_worst_);
  return report;
}

void Collector::note_harvest(const Harvest &harvest, const std::optional<Survey> &survey) {
  for (const NamespaceHarvest &other : harvest.others) {
    if (!other.ended)
      continue;
    sampler_faults_.forget(other.label.name);
    survey_faults_.forget(other.label.name);
  }
  sampler_faults_.update(harvest.faults, unsaid_);
  if (survey)
    survey_faults_.update(survey->faults, unsaid_);
  const auto note_collisions = [&](const NamespaceHarvest &of) {
    for (const FamilyHarvest *family : {&of.tcp, of.unix_sockets ? &*of.unix_sockets : nullptr})
      if (family != nullptr)
        for (const NameCollision &collision : family->collisions)
          say_once("collision", text_of(collision));
  };
  note_collisions(harvest.own);
  for (const NamespaceHarvest &other : harvest.others)
    note_collisions(other);
}

void Collector::say_once(const char *kind, const std::string &notice) {
  unsaid_.reserve(unsaid_.size() + 1);
  if (auto line = notices_.say(kind, notice, Clock::now()))
    unsaid_.push_back({LogLine::Level::notice, std::move(*line)});
}

} // namespace backlog
