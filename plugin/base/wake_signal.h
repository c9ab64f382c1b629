#pragma once

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <linux/futex.h>
#include <optional>
#include <sys/syscall.h>
#include <unistd.h>

namespace backlog {

/// Bits that one thread sleeps on and others set. Sleeping and waking takes one system call and no
/// lock. A condition variable takes three times the code, which a thread that wakes on an idle
/// machine finds in no cache.
class WakeSignal {
public:
  using TimePoint = std::chrono::steady_clock::time_point;

  void set(std::uint32_t bits) {
    bits_.fetch_or(bits, std::memory_order_release);
    futex(FUTEX_WAKE_PRIVATE, 1, nullptr);
  }
  std::uint32_t bits() const { return bits_.load(std::memory_order_acquire); }
  void clear(std::uint32_t bits) { bits_.fetch_and(~bits, std::memory_order_relaxed); }

  /// Returns the bits that are set, or 0 at `due`. Only one thread may call it at a time.
  std::uint32_t sleep_until(std::optional<TimePoint> due) {
    timespec until{};
    if (due)
      until = clock_time(*due);
    for (;;) {
      const std::uint32_t bits = bits_.load(std::memory_order_acquire);
      if (bits != 0)
        return bits;
      const int error = futex(FUTEX_WAIT_BITSET_PRIVATE, 0, due.has_value() ? &until : nullptr);
      if (error == ETIMEDOUT)
        return bits_.load(std::memory_order_acquire);
      if (error != 0 && error != EAGAIN && error != EINTR) {
        if (due && TimePoint::clock::now() >= *due)
          return bits_.load(std::memory_order_acquire);
        pause_briefly();
      }
    }
  }

  /// In place of a wait that is refused, so that nothing spins.
  static void pause_briefly() {
    constexpr timespec briefly{.tv_sec = 0, .tv_nsec = 10'000'000};
    (void)nanosleep(&briefly, nullptr);
  }

private:
  /// Converts to CLOCK_MONOTONIC, which the steady clock is.
  static timespec clock_time(TimePoint time) {
    const auto ns = std::max<std::chrono::nanoseconds::rep>(
        std::chrono::nanoseconds(time.time_since_epoch()).count(), 0);
    return {.tv_sec = ns / 1'000'000'000, .tv_nsec = ns % 1'000'000'000};
  }

  /// Returns errno, or 0.
  int futex(int operation, std::uint32_t value, const timespec *until) {
    const long result =
        syscall(SYS_futex, &bits_, operation, value, until, nullptr, FUTEX_BITSET_MATCH_ANY);
    return result < 0 ? errno : 0;
  }

  std::atomic<std::uint32_t> bits_{0};
  static_assert(sizeof(std::atomic<std::uint32_t>) == sizeof(std::uint32_t));
};

} // namespace backlog
