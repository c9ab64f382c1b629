#pragma once

#include <chrono>

namespace backlog {

/// What this thread takes to write a byte to a Unix socket and to read it again, where nothing
/// disturbs: CPU time, with whatever hangs on the tracepoint sk_data_ready, which is passed once.
/// 0: it could not be tried. Takes some milliseconds.
std::chrono::nanoseconds time_foreign_event();

} // namespace backlog
