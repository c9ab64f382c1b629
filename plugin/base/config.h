#pragma once

#include "backlog/table.h"
#include "listener_entry.h"
#include "name_filter.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

struct oconfig_item_s; // of liboconfig/oconfig.h

namespace backlog {

constexpr const char *default_table_file = "/run/collectd-backlog/table";
constexpr const char *default_table_group = "backlog"; // which the packages make

enum class ValueSet : std::uint8_t { basic, full };
enum class EventUse : std::uint8_t { automatic, off };

/// A <Watch> block: what is said of some listeners.
struct Watch {
  ListenerEntry entry;
  std::optional<std::string> name;       ///< Name: the one to be shown
  std::optional<double> warning_percent; ///< WarningPercent
  std::optional<bool> expected;          ///< Expected
};

/// Of which states notifications are sent; the initial values are the defaults. A state of which
/// none is sent counts as ok.
struct NotifyStates {
  bool high = true;
  bool overflow = true;
  bool stalled = true;
  bool missing = true;

  bool contains(layout::State state) const;
};

/// What <Plugin backlog> says; the initial values are the defaults.
struct Config {
  using Seconds = std::chrono::duration<double>;

  ListenerFilter listeners;     ///< Listener, IgnoreSelected
  bool report_unix = true;      ///< ReportUnix
  bool report_syn_queue = true; ///< ReportSynQueue
  bool report_owner = true;     ///< ReportOwner
  NameFilter net_namespaces;    ///< NetNamespace; without an entry only collectd's own
  ValueSet values = ValueSet::basic;
  EventUse events = EventUse::automatic;            ///< Events
  std::size_t max_listeners = 200;                  ///< MaxListeners: series for at most so many
  double sampler_budget_percent = 1;                ///< SamplerBudget: of one CPU, over any minute
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
  bool table_group_given = false;                   ///< whether TableGroup was said

  /// 5 ms by default, or SampleInterval if that is shorter.
  Seconds burst_interval() const {
    return configured_burst_interval.value_or(std::min(sample_interval, Seconds(0.005)));
  }
};

/// Of the group of that name on this system.
std::optional<gid_t> find_group(const std::string &name);
/// Who may read the table file: by default a group that a system need not have.
std::optional<gid_t> table_group(const Config &config);

/// What the Watch blocks say of a listener together; of what several say, the last holds.
struct WatchFacts {
  std::vector<std::size_t> watches; ///< those that are for it, as indexes
  std::optional<std::string> name;
  double warning_percent = 0;
  bool expected = false;

  bool watched() const { return !watches.empty(); }
};
/// A block can also be for the name that another one gives. listener.given_name is not asked for.
WatchFacts watch_facts(const Config &config, ListenerView listener);

/// What is watched is selected, whatever Listener says.
bool is_selected(const Config &config, const ListenerView &listener, const WatchFacts &facts);

/// Whether any net namespace but collectd's own can be selected.
bool selects_net_namespaces(const Config &config);
/// One is also selected by a watch on the name of a listener in it.
bool selects_net_namespace(const Config &config, const std::string &name);

/// Takes over one <Plugin backlog> block; several add up. The error names option, value and
/// what is allowed. A name that a Watch gives can be used in its block and in those behind it.
std::optional<std::string> apply_config(const oconfig_item_s &block, Config &config);

/// What options of several blocks say together, after the last of them; errors as above.
std::optional<std::string> check_config(const Config &config);

} // namespace backlog
