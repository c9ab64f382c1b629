#pragma once

#include <chrono>
#include <ctime>

namespace backlog {

/// CLOCK_BOOTTIME. Unlike the steady clock it goes on while the system sleeps, and it is the same
/// for all processes, so that readers of the table can use its times.
struct BootClock {
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<BootClock>;
  static constexpr bool is_steady = true;

  static time_point now() {
    timespec time{};
    clock_gettime(CLOCK_BOOTTIME, &time);
    return time_point(std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec));
  }
};

} // namespace backlog
