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

struct oconfig_item_s; // defined in liboconfig/oconfig.h

namespace backlog {

constexpr const char *default_table_file = "/run/collectd-backlog/table";
constexpr const char *default_table_group = "backlog"; // which the packages make

enum class ValueSet : std::uint8_t { basic, full };
enum class EventUse : std::uint8_t { automatic, off };
/// What is told of the clients that wait: owners are those on this host.
enum class ClientReport : std::uint8_t { off, owners, addresses };

/// A <Watch> block.
struct Watch {
  ListenerEntry entry;
  std::optional<std::string> name;       ///< Name: shown in place of the listener's own
  std::optional<double> warning_percent; ///< WarningPercent
  std::optional<bool> expected;          ///< Expected
};

/// The states that send notifications; the initial values are the defaults. A state that sends none
/// counts as ok.
struct NotifyStates {
  bool high = true;
  bool overflow = true;
  bool stalled = true;
  bool missing = true;

  bool contains(layout::State state) const;
};

/// The configuration in <Plugin backlog>; the initial values are the defaults.
struct Config {
  using Seconds = std::chrono::duration<double>;

  ListenerFilter listeners;                           ///< Listener, IgnoreSelected
  bool report_unix = true;                            ///< ReportUnix
  bool report_syn_queue = true;                       ///< ReportSynQueue
  bool report_owner = true;                           ///< ReportOwner
  ClientReport report_clients = ClientReport::owners; ///< ReportClients
  NameFilter net_namespaces; ///< NetNamespace; without one, only collectd's own
  ValueSet values = ValueSet::basic;
  EventUse events = EventUse::automatic; ///< Events
  std::size_t max_listeners = 200;       ///< MaxListeners: at most so many have series
  double sampler_budget_percent = 1;     ///< SamplerBudget, percent of one CPU over any minute
  Seconds sample_interval{0.025};        ///< SampleInterval
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

  /// BurstInterval, by default 5 ms or SampleInterval if that is shorter.
  Seconds burst_interval() const {
    return configured_burst_interval.value_or(std::min(sample_interval, Seconds(0.005)));
  }
};

/// Looks up a group of this system by its name.
std::optional<gid_t> find_group(const std::string &name);
/// The group that may read the table file; the default one need not exist on the system.
std::optional<gid_t> table_group(const Config &config);

/// The settings of the matching Watch blocks for a listener; where they differ, the last one wins.
struct WatchFacts {
  std::vector<std::size_t> watches; ///< positions of the matching blocks
  std::optional<std::string> name;
  double warning_percent = 0;
  bool expected = false;

  bool watched() const { return !watches.empty(); }
};
/// Finds the matching blocks. A block can match the Name that an earlier block gives, so
/// listener.given_name is ignored.
WatchFacts watch_facts(const Config &config, ListenerView listener);

/// A watched listener is selected, whatever Listener says.
bool is_selected(const Config &config, const ListenerView &listener, const WatchFacts &facts);

/// Whether the configuration can select a net namespace other than collectd's own.
bool selects_net_namespaces(const Config &config);
/// A Watch on the name of a listener in a namespace selects the namespace too.
bool selects_net_namespace(const Config &config, const std::string &name);

/// Adds one <Plugin backlog> block to config; several blocks add up. The error names the option,
/// its value and what is allowed. A Name can be used in its own Watch block and in later ones.
std::optional<std::string> apply_config(const oconfig_item_s &block, Config &config);

/// Checks options that depend on each other, after the last block; errors as above.
std::optional<std::string> check_config(const Config &config);

} // namespace backlog
