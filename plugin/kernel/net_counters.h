#pragma once

#include "backlog/table.h"
#include "kernel_file.h"
#include "result.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace backlog {

using layout::Counter;

struct NetCounters {
  /// Indexed by Counter; empty where this kernel lacks the counter.
  std::array<std::optional<std::uint64_t>, layout::counter_names.size()> values;

  std::optional<std::uint64_t> operator[](Counter counter) const {
    return values[static_cast<std::size_t>(counter)];
  }
};

/// Reads the counters from text in the format of /proc/net/netstat and /proc/net/snmp: pairs of
/// lines with names and values. Columns are found by name.
void parse_net_counters(std::string_view text, NetCounters &counters);

/// Reads the counters of the calling thread's net namespace.
class NetCountersReader {
public:
  NetCountersReader();

  /// Reads all counters. Those only in /proc/net/snmp stay empty if it cannot be read.
  Result<NetCounters> read();
  /// PassiveOpens alone; empty: it cannot be read.
  std::optional<std::uint64_t> read_passive_opens();
  /// Reads the counters in /proc/net/netstat, among them ListenDrops and ListenOverflows.
  Result<NetCounters> read_netstat();

private:
  KernelFile netstat_;
  KernelFile snmp_;
};

} // namespace backlog
