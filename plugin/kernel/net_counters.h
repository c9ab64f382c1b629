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
  /// By Counter; empty where this kernel has no such counter.
  std::array<std::optional<std::uint64_t>, layout::counter_names.size()> values;

  std::optional<std::uint64_t> operator[](Counter counter) const {
    return values[static_cast<std::size_t>(counter)];
  }
};

/// Takes over what a text in the format of /proc/net/netstat and /proc/net/snmp (pairs of
/// lines, names and values) has of the counters; columns are found by name.
void parse_net_counters(std::string_view text, NetCounters &counters);

/// Reads the counters of the calling thread's net namespace.
class NetCountersReader {
public:
  NetCountersReader();

  /// All counters. What only /proc/net/snmp has stays empty where that cannot be read.
  Result<NetCounters> read();
  /// PassiveOpens alone; empty: it cannot be read.
  std::optional<std::uint64_t> read_passive_opens();
  /// What /proc/net/netstat alone has, ListenDrops and ListenOverflows among it.
  Result<NetCounters> read_netstat();

private:
  KernelFile netstat_;
  KernelFile snmp_;
};

} // namespace backlog
