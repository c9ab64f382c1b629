#pragma once

#include <atomic>

namespace backlog {

/// What a thread is going to ask the kernel for, for those who wait for the thread. A step is a
/// text that stays, in the words of the manual; "" for nothing. Belongs to its Request and is no
/// thread_local, whose memory a plugin's thread gets at first use, or aborts.
class Progress {
public:
  void note(const char *step) noexcept { step_ = step; }
  const char *step() const noexcept { return step_; }

private:
  std::atomic<const char *> step_{""};
};

} // namespace backlog
