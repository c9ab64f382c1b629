#pragma once

#include <atomic>

namespace backlog {

/// The kernel request that a thread is busy with, for the threads that wait for it. A step is a
/// text with static lifetime in the words of the manual, "" for none. It belongs to the Request
/// because a plugin's thread_local is allocated at first use, and aborts when memory is short.
class Progress {
public:
  void note(const char *step) noexcept { step_ = step; }
  const char *step() const noexcept { return step_; }

private:
  std::atomic<const char *> step_{""};
};

} // namespace backlog
