#pragma once

#include <chrono>
#include <ctime>

namespace backlog {

/// The CPU time of the calling thread, user and kernel.
inline std::chrono::nanoseconds thread_cpu_time() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

} // namespace backlog
