#pragma once

#include <chrono>
#include <ctime>

namespace backlog {

/// CPU time that the calling thread has taken, in user and in kernel mode.
inline std::chrono::nanoseconds thread_cpu_time() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

} // namespace backlog
