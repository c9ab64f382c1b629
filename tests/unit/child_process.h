#pragma once

#include "test_program.h"
#include "unique_fd.h"

#include <array>
#include <csignal>
#include <fcntl.h>
#include <functional>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/// A child that begins with what it is told and then lives until it is ended here.
class ChildProcess {
public:
  /// begin: runs in the child; it tells whether it could do its work, and is done on return.
  explicit ChildProcess(const std::function<bool()> &begin) {
    std::array<int, 2> ready{};
    ck_assert_int_eq(pipe2(ready.data(), O_CLOEXEC), 0);
    const backlog::UniqueFd from(ready[0]);
    backlog::UniqueFd to(ready[1]);
    pid_ = fork();
    ck_assert_int_ge(pid_, 0);
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      const bool done = begin();
      if (write(to.get(), &done, sizeof done) != sizeof done)
        _exit(1);
      for (;;)
        pause();
    }
    to = backlog::UniqueFd(); // so that the end of a child that dies is seen
    ck_assert_int_eq(read(from.get(), &has_begun_, sizeof has_begun_), sizeof has_begun_);
  }
  ChildProcess(const ChildProcess &) = delete;
  ChildProcess &operator=(const ChildProcess &) = delete;
  ~ChildProcess() { end(); }

  bool has_begun() const { return has_begun_; }
  pid_t pid() const { return pid_; }
  void end() {
    if (pid_ <= 0)
      return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }

private:
  pid_t pid_ = 0;
  bool has_begun_ = false;
};
