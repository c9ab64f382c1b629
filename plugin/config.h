#pragma once

#include "name_filter.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <sys/types.h>

extern "C" {
#include <liboconfig/oconfig.h>
}

namespace backlog {

constexpr const char *default_table_file = "/run/collectd-backlog/table";

enum class ValueSet : std::uint8_t { basic, full };

/// What <Plugin backlog> says; the initial values are the defaults.
struct Config {
  using Seconds = std::chrono::duration<double>;

  NameFilter listeners;                             ///< Listener, IgnoreSelected
  bool report_unix = true;                          ///< ReportUnix
  bool report_syn_queue = true;                     ///< ReportSynQueue
  ValueSet values = ValueSet::basic;                ///< Values
  std::size_t max_listeners = 200;                  ///< MaxListeners: series for at most so many
  double sampler_budget_percent = 0.5;              ///< SamplerBudget: of one CPU, over any minute
  Seconds sample_interval{0.025};                   ///< SampleInterval
  std::optional<Seconds> configured_burst_interval; ///< BurstInterval

  std::string table_file = default_table_file; ///< TableFile; empty: none
  bool table_file_given = false;               ///< whether TableFile was said
  std::optional<gid_t> table_group;            ///< TableGroup

  /// 5 ms by default, or SampleInterval if that is shorter.
  Seconds burst_interval() const {
    return configured_burst_interval.value_or(std::min(sample_interval, Seconds(0.005)));
  }
};

/// Takes over one <Plugin backlog> block; several add up. The error names option, value and
/// what is allowed.
std::optional<std::string> apply_config(const oconfig_item_t &block, Config &config);

} // namespace backlog
