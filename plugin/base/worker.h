#pragma once

#include "progress.h"
#include "unique_fd.h"

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <poll.h>
#include <string>
#include <sys/eventfd.h>
#include <utility>

namespace backlog {

/// One question and one answer between a thread of ours and collectd's read thread.
template <class Answer> class Mailbox {
public:
  using TimePoint = std::chrono::steady_clock::time_point;
  enum class Wake { due, asked, stopping };

  /// Asks, unless an answer is still owed, or waits to be taken: the next one would replace it.
  void ask() {
    const std::lock_guard lock(mutex_);
    asked_ = asked_ || !answer_;
    ring();
  }

  /// The answer, if it comes in time; it stays here for the next call otherwise.
  std::optional<Answer> take_until(TimePoint deadline) {
    std::unique_lock lock(mutex_);
    changed_.wait_until(lock, deadline, [&] { return answer_.has_value() || stopping_; });
    return std::exchange(answer_, std::nullopt);
  }

  /// The answer, if it is there.
  std::optional<Answer> try_take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(answer_, std::nullopt);
  }

  /// The thread that answers is woken as if it were due.
  void nudge() {
    const std::lock_guard lock(mutex_);
    nudged_ = true;
    changed_.notify_all();
  }

  /// For the thread that answers: sleeps until it is asked, or nudged, or until `due`.
  Wake sleep_until(std::optional<TimePoint> due) {
    progress_.note("");
    std::unique_lock lock(mutex_);
    const auto woken = [&] { return asked_ || stopping_ || nudged_; };
    if (!due)
      changed_.wait(lock, woken);
    else if (!changed_.wait_until(lock, *due, woken))
      return Wake::due;
    const bool was_nudged = std::exchange(nudged_, false);
    if (stopping_)
      return Wake::stopping;
    return was_nudged && !asked_ ? Wake::due : Wake::asked;
  }

  /// The same, until `descriptor` can be read, in place of a time.
  Wake sleep_until_readable(int descriptor) {
    progress_.note("");
    for (;;) {
      pollfd waited[] = {{.fd = descriptor, .events = POLLIN, .revents = 0},
                         {.fd = bell_.get(), .events = POLLIN, .revents = 0}};
      const bool is_woken = poll(waited, 2, -1) > 0;
      eventfd_t rings = 0;
      (void)eventfd_read(bell_.get(), &rings);
      const std::lock_guard lock(mutex_);
      if (stopping_)
        return Wake::stopping;
      if (asked_)
        return Wake::asked;
      if (is_woken && waited[0].revents != 0)
        return Wake::due;
    }
  }
  /// Whether that can be done.
  bool has_bell() const { return static_cast<bool>(bell_); }

  void deliver(Answer answer) {
    const std::lock_guard lock(mutex_);
    answer_ = std::move(answer);
    asked_ = false;
    changed_.notify_all();
  }

  void stop() {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    ring();
  }

  Progress &progress() { return progress_; }

private:
  Progress progress_; ///< of the thread that answers
  void ring() {
    changed_.notify_all();
    if (bell_)
      (void)eventfd_write(bell_.get(), 1);
  }

  UniqueFd bell_{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  std::mutex mutex_;
  std::condition_variable changed_;
  bool asked_ = false;
  bool nudged_ = false;
  bool stopping_ = false;
  std::optional<Answer> answer_;
};

/// A thread of ours inside collectd: it blocks all signals, and it cannot hold up the daemon's
/// shutdown. What its body uses must be owned by the body, since a thread that is late, deep in
/// the kernel, is left behind. An exception ends the body, never the daemon.
class Worker {
public:
  Worker() = default;
  Worker(const Worker &) = delete;
  Worker &operator=(const Worker &) = delete;
  ~Worker();

  /// Starts it, also again when it has ended. name: at most 15 bytes. The error's code is that of
  /// pthread_create(), or ENOMEM.
  std::optional<int> start(const std::string &name, std::function<void()> body);
  bool is_running() const;
  /// What ended the body, if that was an exception.
  std::optional<std::string> failure() const;
  /// Waits for the body to return; false: it did not in time, and was left behind.
  bool finish(std::chrono::milliseconds patience);

private:
  struct State;
  std::shared_ptr<State> state_;
};

/// A worker that answers when it is asked.
template <class Answer> class AskedWorker {
public:
  AskedWorker() = default;
  AskedWorker(const AskedWorker &) = delete;
  AskedWorker &operator=(const AskedWorker &) = delete;
  using TimePoint = typename Mailbox<Answer>::TimePoint;

  /// A thread that was left alone ends when it can.
  ~AskedWorker() { mailbox_->stop(); }

  bool is_running() const { return worker_.is_running(); }
  std::optional<std::string> failure() const { return worker_.failure(); }
  const char *step() const { return mailbox_->progress().step(); }
  void ask() { mailbox_->ask(); }
  std::optional<Answer> take_until(TimePoint deadline) { return mailbox_->take_until(deadline); }
  std::optional<Answer> try_take() { return mailbox_->try_take(); }

  /// False: the thread did not end in time and was left behind.
  bool stop(std::chrono::milliseconds patience) {
    mailbox_->stop();
    return worker_.finish(patience);
  }

protected:
  /// loop runs in the thread until the mailbox says that it is stopping.
  std::optional<int> start(const std::string &name, std::function<void(Mailbox<Answer> &)> loop) {
    return worker_.start(name, [loop = std::move(loop), mailbox = mailbox_] { loop(*mailbox); });
  }

private:
  std::shared_ptr<Mailbox<Answer>> mailbox_ = std::make_shared<Mailbox<Answer>>();
  Worker worker_;
};

} // namespace backlog
