#pragma once

#include <cstdint>

namespace backlog {

/// The family of a listening socket. Unix sockets have no drop counters, no SYN queue and no port.
enum class Family : std::uint8_t { tcp, unix_socket };

} // namespace backlog
