#pragma once

#include "alarms.h"
#include "name_filter.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

extern "C" {
#include <liboconfig/oconfig.h>
}

namespace backlog {

constexpr const char *default_table_file = "/run/collectd-backlog/table";

enum class ValueSet : std::uint8_t { basic, full };

/// A <Watch> block: what is said of some listeners.
struct Watch {
  std::string entry;                     ///< a name, /regex/ over names, or a Unix address
  NameFilter listeners;                  ///< the same, as far as it is about names
  std::optional<std::string> name;       ///< Name: the one to be shown
  std::optional<double> warning_percent; ///< WarningPercent
  std::optional<bool> expected;          ///< Expected

  bool is_regex() const;
  bool is_unix_address() const; ///< a path, or @ and an abstract name
};

/// What <Plugin backlog> says; the initial values are the defaults.
struct Config {
  using Seconds = std::chrono::duration<double>;

  NameFilter listeners;         ///< Listener, IgnoreSelected
  bool report_unix = true;      ///< ReportUnix
  bool report_syn_queue = true; ///< ReportSynQueue
  bool report_owner = true;     ///< ReportOwner
  NameFilter net_namespaces;    ///< NetNamespace; without an entry only collectd's own
  ValueSet values = ValueSet::basic;
  std::size_t max_listeners = 200;                  ///< MaxListeners: series for at most so many
  double sampler_budget_percent = 0.5;              ///< SamplerBudget: of one CPU, over any minute
  Seconds sample_interval{0.025};                   ///< SampleInterval
  std::optional<Seconds> configured_burst_interval; ///< BurstInterval
  double warning_percent = 80;                      ///< WarningPercent
  std::size_t warning_minimum = 16;                 ///< WarningMinimum, connections
  Seconds stalled_after{30};                        ///< StalledAfter
  Seconds missing_after{60};                        ///< MissingAfter
  NotifyStates notify;                              ///< Notify
  std::vector<Watch> watches;                       ///< Watch, in order
  std::string table_file = default_table_file;      ///< TableFile; empty: none
  bool table_file_given = false;                    ///< whether TableFile was said
  std::optional<gid_t> table_group;                 ///< TableGroup; empty: that of the process

  /// 5 ms by default, or SampleInterval if that is shorter.
  Seconds burst_interval() const {
    return configured_burst_interval.value_or(std::min(sample_interval, Seconds(0.005)));
  }
};

/// What the Watch blocks say of a listener together; of what several say, the last holds.
struct WatchFacts {
  bool watched = false;
  std::optional<std::string> name;
  double warning_percent = 0;
  bool expected = false;
};
WatchFacts watch_facts(const Config &config, std::string_view listener);

/// The name that a Watch block gives to a Unix address (an abstract one with @ for its NUL).
std::optional<std::string> name_of_address(const Config &config, std::string_view address);

/// Takes over one <Plugin backlog> block; several add up. The error names option, value and
/// what is allowed.
std::optional<std::string> apply_config(const oconfig_item_t &block, Config &config);

/// What options of several blocks say together, after the last of them; errors as above.
std::optional<std::string> check_config(const Config &config);

} // namespace backlog
