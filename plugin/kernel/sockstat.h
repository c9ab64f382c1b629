#pragma once

#include "kernel_file.h"
#include "result.h"

#include <cstdint>
#include <optional>
#include <string_view>

namespace backlog {

/// The number of TCP sockets that a scan of all connections visits, from text in the format of
/// /proc/net/sockstat: those of the whole host, and TIME_WAIT of one net namespace.
std::optional<std::uint64_t> parse_tcp_sockets(std::string_view sockstat);

/// Reads that number for the calling thread's net namespace.
class TcpSocketsReader {
public:
  TcpSocketsReader();

  Result<std::uint64_t> read();

private:
  KernelFile sockstat_;
};

} // namespace backlog
