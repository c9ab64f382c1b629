#pragma once

#include "kernel_file.h"
#include "result.h"

#include <cstdint>
#include <optional>
#include <string_view>

namespace backlog {

/// TCP sockets that a scan of all connections meets, from a text in the format of
/// /proc/net/sockstat: those of the whole host, and one net namespace's in TIME_WAIT.
std::optional<std::uint64_t> parse_tcp_sockets(std::string_view sockstat);

/// Reads that number in the calling thread's net namespace.
class TcpSocketsReader {
public:
  TcpSocketsReader();

  Result<std::uint64_t> read();

private:
  KernelFile sockstat_;
};

} // namespace backlog
