#include "alarms.h"
#include "collectd_api.h"
#include "config.h"
#include "dispatch.h"
#include "fault_log.h"
#include "fault_spell.h"
#include "notice_log.h"
#include "overdue.h"
#include "sampler.h"
#include "survey_board.h"
#include "surveyor.h"
#include "table.h"
#include "table_file.h"
#include "table_records.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <exception>
#include <malloc.h>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

namespace {

using namespace backlog;
using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

constexpr std::chrono::seconds longest_wait{1};         // for a harvest, in the read callback
constexpr std::chrono::seconds longest_first_wait{5};   // which has the kernel load modules
constexpr std::chrono::milliseconds stop_patience{400}; // for each of the two threads

/// Everything between init and shutdown.
struct Running {
  explicit Running(std::shared_ptr<const Config> configuration)
      : config(std::move(configuration)), builder(config),
        alarms(config->notify, config->stalled_after, config->missing_after) {
    if (!config->table_file.empty())
      table_file.emplace(config->table_file, config->table_group);
  }

  std::shared_ptr<const Config> config;
  std::shared_ptr<SurveyBoard> board = std::make_shared<SurveyBoard>();
  Sampler sampler;
  Surveyor surveyor;
  TableBuilder builder;
  FaultLog sampler_faults;
  FaultLog survey_faults;
  FaultLog thread_faults;
  Alarms alarms;
  std::optional<TableFile> table_file;
  FaultLog table_faults;
  std::int64_t began_ns = clock_ns();
  TableMemory table_memory;
  NoticeLog notices;
  FaultSpell read_fault;
  std::optional<int> sampler_not_started; ///< why, an errno; likewise the next
  std::optional<int> surveyor_not_started;
  Overdue harvest_overdue{longest_wait};
  Overdue survey_overdue{longest_wait};
  std::size_t most_rows = 0; ///< since memory was given back
  bool harvested = false;
  bool has_read = false;
};

// Trivial to destroy: collectd's static destructors run in the parent of the daemon as well.
Config *config;
Running *running;

/// Runs a callback's body; no exception may reach collectd, whose daemon it would end.
template <class Body> int guarded(const char *callback, Body body) {
  try {
    return body();
  } catch (const std::exception &exception) {
    plugin_log(LOG_ERR, "backlog plugin: %s: %s", callback, exception.what());
  } catch (...) {
    plugin_log(LOG_ERR, "backlog plugin: %s: unknown exception", callback);
  }
  return -1;
}

Seconds collectd_interval() {
  return Seconds(static_cast<double>(plugin_get_interval()) / 1073741824.0);
}

void log_faults(FaultLog &log, const std::vector<Fault> &faults) {
  for (const FaultLog::Line &line : log.update(faults))
    plugin_log(line.begins ? LOG_WARNING : LOG_NOTICE, "backlog plugin: %s", line.text.c_str());
}

/// Logs what is to be said once only.
void log_once(const char *kind, const std::string &notice) {
  if (const auto line = running->notices.say(kind, notice, Clock::now()))
    plugin_log(LOG_NOTICE, "backlog plugin: %s", line->c_str());
}

void log_collisions(const NamespaceHarvest &harvest) {
  if (!harvest.unix_sockets)
    return;
  for (const ListenerSet::Collision &collision : harvest.unix_sockets->collisions)
    log_once("collision", collision.keeper + " and " + collision.other + " would have one name, " +
                              collision.name + ": it is that of " + collision.keeper +
                              ", and the other's is " + collision.other_name);
}

void notify(const std::vector<Notification> &notifications, const Table &table) {
  for (const Notification &notification : notifications) {
    const auto row = std::find_if(table.rows.begin(), table.rows.end(), [&](const Row &candidate) {
      return candidate.name == notification.name;
    });
    dispatch_notification(notification, row == table.rows.end() ? nullptr : &*row);
  }
}

/// A folder that is not there is no fault where nobody asked for the file.
void write_table(const Table &table, const Harvest &harvest, Seconds interval) {
  if (!running->table_file)
    return;
  TableContents contents = table_contents(table, harvest, interval, running->alarms,
                                          running->began_ns, running->table_memory);
  std::vector<Fault> faults;
  std::vector<std::string> left_out;
  const Failure failure = running->table_file->publish(contents, &left_out);
  if (!left_out.empty())
    faults.push_back({"complete table file", left_out.front()});
  if (const Failure &refusal = running->table_file->group_refusal())
    faults.push_back({"group on the table file (TableGroup)",
                      refusal->what + ", so only collectd's own group may read it"});
  if (failure)
    if (running->config->table_file_given || running->config->table_group ||
        failure->code != ENOENT)
      faults.push_back({"table file", failure->message()});
  log_faults(running->table_faults, faults);
}

/// After a peak: what the allocator keeps of it would stay collectd's for good.
void give_memory_back(std::size_t rows) {
  constexpr std::size_t peak_rows = 2000; // some megabytes
  running->most_rows = std::max(running->most_rows, rows);
  if (running->most_rows < peak_rows || rows > running->most_rows / 2)
    return;
  running->most_rows = rows;
  malloc_trim(0);
}

void publish(const Harvest &harvest, const std::optional<Survey> &survey, Seconds interval) {
  for (const NamespaceHarvest &other : harvest.others) {
    if (!other.ended)
      continue;
    running->sampler_faults.forget(other.label.name);
    running->survey_faults.forget(other.label.name);
  }
  log_faults(running->sampler_faults, harvest.faults);
  if (survey)
    log_faults(running->survey_faults, survey->faults);
  log_collisions(harvest.own);
  for (const NamespaceHarvest &other : harvest.others)
    log_collisions(other);
  const Table table = running->builder.build(harvest, survey, interval);
  for (const std::string &notice : table.notices)
    log_once("table", notice);
  dispatch_values(table, running->config->values, interval);
  // The first harvest comes right after the start and has seen next to nothing.
  if (std::exchange(running->harvested, true)) {
    const std::vector<Notification> notifications =
        running->alarms.update(alarm_inputs(table), table.measured);
    write_table(table, harvest, interval);
    // Last, since collectd waits for who receives them.
    notify(notifications, table);
  }
  give_memory_back(table.rows.size());
}

/// Why a thread gives no answer, if it gives none.
template <class Thread>
std::optional<std::string> silence_of(const Thread &thread, const std::optional<int> &not_started,
                                      const Overdue &overdue, std::chrono::seconds waited) {
  if (not_started)
    return "start a thread: " + std::generic_category().message(*not_started);
  if (!overdue.is_overdue())
    return std::nullopt;
  const std::string reason = "not ready within " + std::to_string(waited.count()) + " s";
  const std::string step = thread.step();
  return step.empty() ? reason : reason + ", waits for " + step;
}

void log_thread_faults(Running &state, std::chrono::seconds waited) {
  std::vector<Fault> faults;
  if (auto reason =
          silence_of(state.sampler, state.sampler_not_started, state.harvest_overdue, waited))
    faults.push_back({"listeners", std::move(*reason)});
  if (auto reason =
          silence_of(state.surveyor, state.surveyor_not_started, state.survey_overdue, waited))
    faults.push_back({"survey", std::move(*reason)});
  log_faults(state.thread_faults, faults);
}

bool has_listeners(const NamespaceHarvest &harvest) {
  return harvest.tcp.read || (harvest.unix_sockets && harvest.unix_sockets->read);
}

template <class Thread>
std::optional<int> start_thread(Thread &thread, const Running &state, Seconds interval) {
  if (thread.is_running())
    return std::nullopt;
  try {
    return thread.start(state.config, interval, state.board);
  } catch (const std::bad_alloc &) {
    return ENOMEM;
  }
}

/// Starts those of the threads that are not running. The surveyor is not needed for what the
/// sampler has.
void start_threads(Running &state, Seconds interval) {
  state.sampler_not_started = start_thread(state.sampler, state, interval);
  state.surveyor_not_started = start_thread(state.surveyor, state, interval);
}

/// The first one is to tell whether there are listeners, to who asks for nothing else.
std::chrono::milliseconds wait_of_read(bool is_first, Seconds interval) {
  if (is_first)
    return longest_first_wait;
  return std::min<std::chrono::milliseconds>(
      longest_wait, std::chrono::duration_cast<std::chrono::milliseconds>(interval / 2));
}

int read_callback() {
  const Seconds interval = collectd_interval();
  const Clock::time_point begin = Clock::now();
  const bool is_first = !std::exchange(running->has_read, true);
  const Clock::time_point deadline = begin + wait_of_read(is_first, interval);
  const std::chrono::seconds patience = is_first ? longest_first_wait : longest_wait;

  // What came after the read before this one had given up waiting.
  std::optional<Survey> survey = running->surveyor.try_take();
  const std::optional<Harvest> late = running->sampler.try_take();
  if (late)
    publish(*late, survey, interval);

  // A thread can have ended, having found no way back from another net namespace or no memory.
  for (const auto &failure : {running->sampler.failure(), running->surveyor.failure()})
    if (failure)
      log_once("thread", "a thread has ended, and begins anew: " + *failure);
  start_threads(*running, interval);
  if (running->sampler_not_started) {
    log_thread_faults(*running, patience);
    return -1;
  }
  running->sampler.ask();
  running->surveyor.ask();
  const std::optional<Harvest> harvest = running->sampler.take_until(deadline);
  running->harvest_overdue.note(late || harvest, begin, Clock::now());
  if (harvest) {
    if (!running->surveyor_not_started)
      if (auto fresh = running->surveyor.take_until(deadline))
        survey = std::move(fresh);
    running->survey_overdue.note(survey.has_value(), begin, Clock::now());
  }
  log_thread_faults(*running, patience);
  if (!harvest)
    return -1;
  publish(*harvest, survey, interval);
  return has_listeners(harvest->own) ? 0 : -1;
}

/// collectd suspends a plugin that fails for up to a day: only its first reading of all may. What
/// fails in one reading after the other, mostly for lack of memory, is said when it begins and
/// ends.
int first_or_no_failure() noexcept {
  const bool is_first = !running->has_read;
  const auto log_failure = [](const char *what) {
    if (running->read_fault.fails())
      plugin_log(LOG_ERR, "backlog plugin: read: %s", what);
    return -1;
  };
  int result = 0;
  try {
    result = read_callback();
    if (running->read_fault.goes_well())
      plugin_log(LOG_NOTICE, "backlog plugin: read: goes well again");
  } catch (const std::exception &exception) {
    result = log_failure(exception.what());
  } catch (...) {
    result = log_failure("unknown exception");
  }
  return is_first ? result : 0;
}

int init_callback() {
  if (running != nullptr)
    return 0;
  auto given = std::make_shared<Config>(config != nullptr ? std::move(*config) : Config());
  if (const auto error = check_config(*given)) {
    plugin_log(LOG_ERR, "backlog plugin: %s", error->c_str());
    return -1;
  }
  auto starting = std::make_unique<Running>(std::move(given));
  start_threads(*starting, collectd_interval());
  log_thread_faults(*starting,
                    longest_wait); // what could not be started is tried again at each read
  running = starting.release();
  return plugin_register_read("backlog", first_or_no_failure);
}

int shutdown_callback() {
  const std::unique_ptr<Running> ending(std::exchange(running, nullptr));
  const std::unique_ptr<Config> configuration(std::exchange(config, nullptr));
  if (!ending)
    return 0;
  for (const bool ended :
       {ending->sampler.stop(stop_patience), ending->surveyor.stop(stop_patience)})
    if (!ended)
      plugin_log(LOG_NOTICE, "backlog plugin: a thread is busy in the kernel and was left behind");
  return 0;
}

int config_callback(oconfig_item_t *block) {
  if (config == nullptr)
    config = new Config;
  const auto error = apply_config(*block, *config);
  if (!error)
    return 0;
  plugin_log(LOG_ERR, "backlog plugin: %s", error->c_str());
  return -1;
}

} // namespace

extern "C" __attribute__((visibility("default"))) void module_register(void) {
  plugin_register_complex_config("backlog", [](oconfig_item_t *block) {
    return guarded("config", [&] { return config_callback(block); });
  });
  plugin_register_init("backlog", [] { return guarded("init", init_callback); });
  plugin_register_shutdown("backlog", [] { return guarded("shutdown", shutdown_callback); });
}
