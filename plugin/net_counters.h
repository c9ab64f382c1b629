#pragma once

#include "kernel_file.h"
#include "result.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace backlog {

/// The kernel's counters around listening, per net namespace, in events since its creation.
/// Their names are the kernel's own (net/ipv4/proc.c: snmp4_net_list, snmp4_tcp_list).
enum class Counter : std::uint8_t {
  ListenOverflows,
  ListenDrops,
  TCPReqQFullDrop,
  TCPReqQFullDoCookies,
  SyncookiesSent,
  SyncookiesRecv,
  SyncookiesFailed,
  EmbryonicRsts,
  TCPDeferAcceptDrop,
  TCPFastOpenListenOverflow,
  TCPSynRetrans,
  TCPTimeouts,
  RetransSegs,
  PassiveOpens,
  AttemptFails,
  count
};

constexpr std::size_t counter_count = static_cast<std::size_t>(Counter::count);

struct NetCounters {
  /// By Counter; empty where this kernel has no such counter.
  std::array<std::optional<std::uint64_t>, counter_count> values;

  std::optional<std::uint64_t> operator[](Counter counter) const {
    return values[static_cast<std::size_t>(counter)];
  }
};

std::string_view counter_name(Counter counter);

/// Takes over what a text in the format of /proc/net/netstat and /proc/net/snmp (pairs of
/// lines, names and values) has of the counters; columns are found by name.
void parse_net_counters(std::string_view text, NetCounters &counters);

/// Reads the counters of the calling thread's net namespace.
class NetCountersReader {
public:
  NetCountersReader();

  /// All counters. What only /proc/net/snmp has stays empty where that cannot be read.
  Result<NetCounters> read();
  /// What /proc/net/netstat alone has, ListenDrops and ListenOverflows among it.
  Result<NetCounters> read_netstat();

private:
  KernelFile netstat_;
  KernelFile snmp_;
};

} // namespace backlog
