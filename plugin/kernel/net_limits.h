#pragma once

#include "kernel_file.h"
#include "local_ports.h"
#include "result.h"

#include <cstdint>
#include <optional>
#include <string_view>

namespace backlog {

/// Sysctls of a net namespace that limit its queues; empty where they cannot be read.
struct NetLimits {
  std::optional<std::int64_t> somaxconn; ///< connections; the kernel caps listen()'s backlog at it
  /// Half-open connections; has effect without cookies only.
  std::optional<std::int64_t> tcp_max_syn_backlog;
  std::optional<std::int64_t> tcp_syncookies; ///< 0: off, 1: when the SYN queue is full, 2: always
  std::optional<std::int64_t> tcp_abort_on_overflow; ///< 0 or 1
};

std::optional<std::int64_t> parse_sysctl_number(std::string_view text);

/// Reads the sysctls of the calling thread's net namespace.
class NetLimitsReader {
public:
  NetLimitsReader();

  NetLimits read();
  std::optional<LocalPorts> read_local_ports();

private:
  KernelFile somaxconn_;
  KernelFile tcp_max_syn_backlog_;
  KernelFile tcp_syncookies_;
  KernelFile tcp_abort_on_overflow_;
  KernelFile ip_local_port_range_;
  KernelFile ip_local_reserved_ports_;
};

} // namespace backlog
