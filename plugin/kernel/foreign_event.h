#pragma once

#include <chrono>

namespace backlog {

/// Measures the CPU time that this thread takes to write a byte to a Unix socket and read it again,
/// which passes the tracepoint sk_data_ready once. Returns 0 if that failed. Takes some
/// milliseconds.
std::chrono::nanoseconds time_foreign_event();

} // namespace backlog
