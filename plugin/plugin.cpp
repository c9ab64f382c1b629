#include "collectd_api.h"
#include "collector.h"
#include "config.h"
#include "dispatch.h"
#include "fault_spell.h"
#include "table_file.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace {

using namespace backlog;
using Seconds = std::chrono::duration<double>;

constexpr std::chrono::seconds longest_wait{1}; // for a harvest, in the read callback
// Longer, because the kernel may have to load modules.
constexpr std::chrono::seconds longest_first_wait{5};
// For each of the two threads. The kernel detaches a program from a function in 0.1 s or more
// (synchronize_rcu_tasks()), one after the other.
constexpr std::chrono::milliseconds stop_patience{1000};

/// Everything that exists between init and shutdown.
struct Running {
  explicit Running(std::shared_ptr<const Config> configuration)
      : config(std::move(configuration)), collector(config) {
    if (!config->table_file.empty())
      table_file.emplace(config->table_file, table_group(*config));
  }

  std::shared_ptr<const Config> config;
  Collector collector;
  std::optional<TableFile> table_file;
  FaultLog table_faults;
  FaultSpell read_fault;
  bool has_read = false;
};

// Trivial to destroy, because collectd's static destructors also run in the parent of the daemon.
Config *config;
Running *running;

/// Runs a callback's body. An exception must not reach collectd, since it would end the daemon.
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

void log_lines(const std::vector<LogLine> &lines) {
  for (const LogLine &line : lines)
    plugin_log(line.level == LogLine::Level::warning ? LOG_WARNING : LOG_NOTICE,
               "backlog plugin: %s", line.text.c_str());
}

void notify(const std::vector<Notification> &notifications, const Table &table) {
  for (const Notification &notification : notifications) {
    const auto row = std::find_if(table.rows.begin(), table.rows.end(), [&](const Row &candidate) {
      return candidate.name == notification.name;
    });
    dispatch_notification(notification, row == table.rows.end() ? nullptr : &*row);
  }
}

/// Writes the table file. A missing folder is no fault unless TableFile is set.
void write_table(TableContents &contents) {
  if (!running->table_file)
    return;
  std::vector<Fault> faults;
  std::vector<std::string> left_out;
  const Failure failure = running->table_file->publish(contents, &left_out);
  if (!left_out.empty())
    faults.push_back({"complete table file", left_out.front()});
  if (const Failure &refusal = running->table_file->group_refusal();
      refusal && running->config->table_group_given)
    faults.push_back({"group on the table file (TableGroup)",
                      refusal->what + ", so only collectd's own group may read it"});
  if (running->table_file->has_rival())
    faults.push_back({"table file of its own",
                      "another process writes " + running->config->table_file +
                          " too, perhaps a second collectd: give each its own TableFile"});
  if (failure)
    if (running->config->table_file_given || running->config->table_group ||
        failure->code != ENOENT)
      faults.push_back({"table file", failure->message()});
  std::vector<LogLine> log;
  running->table_faults.update(faults, log);
  log_lines(log);
}

/// Notifications go last, because collectd waits for their receivers, and also when memory has run
/// out before, because no later interval repeats them.
void publish(Report &report, Seconds interval) {
  try {
    dispatch_values(report.table, running->config->values, interval);
    if (report.contents)
      write_table(*report.contents);
  } catch (...) {
    notify(report.notifications, report.table);
    throw;
  }
  notify(report.notifications, report.table);
}

/// The first reading waits longer, because it tells callers such as `collectd -T` whether there are
/// listeners.
std::chrono::milliseconds wait_of_read(bool is_first, Seconds interval) {
  if (is_first)
    return longest_first_wait;
  return std::min<std::chrono::milliseconds>(
      longest_wait, std::chrono::duration_cast<std::chrono::milliseconds>(interval / 2));
}

int read_callback() {
  const Seconds interval = collectd_interval();
  const bool is_first = !std::exchange(running->has_read, true);
  Collector::Reading reading = running->collector.read(interval, wait_of_read(is_first, interval));
  log_lines(reading.log);
  for (Report &report : reading.reports)
    publish(report, interval);
  return reading.has_listeners ? 0 : -1;
}

/// collectd suspends a plugin that fails for up to a day, so only the very first reading may fail.
/// A failure that lasts, mostly for lack of memory, is logged when it begins and when it ends.
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
      plugin_log(LOG_NOTICE, "backlog plugin: read: works again");
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
  log_lines(starting->collector.start(collectd_interval()));
  running = starting.release();
  return plugin_register_read("backlog", first_or_no_failure);
}

int shutdown_callback() {
  const std::unique_ptr<Running> ending(std::exchange(running, nullptr));
  const std::unique_ptr<Config> configuration(std::exchange(config, nullptr));
  if (ending)
    log_lines(ending->collector.stop(stop_patience));
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
