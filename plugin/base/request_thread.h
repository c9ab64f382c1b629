#pragma once

#include "progress.h"
#include "unique_fd.h"
#include "wake_signal.h"

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
template <class Answer> class Request {
public:
  using TimePoint = std::chrono::steady_clock::time_point;
  enum class Wake { due, asked, stopping };

  /// Asks, unless an answer is still owed, or waits to be taken: the next one would replace it.
  void ask() {
    const std::lock_guard lock(mutex_);
    if (!answer_)
      wake(asked);
  }

  /// The answer, if it comes in time; it stays here for the next call otherwise.
  std::optional<Answer> take_until(TimePoint deadline) {
    std::unique_lock lock(mutex_);
    answered_.wait_until(lock, deadline, [&] { return answer_.has_value() || stopping_; });
    return std::exchange(answer_, std::nullopt);
  }

  /// The answer, if it is there.
  std::optional<Answer> try_take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(answer_, std::nullopt);
  }

  /// The thread that answers is woken as if it were due.
  void nudge() { wake_.set(nudged); }

  /// For the thread that answers: sleeps until it is asked, or nudged, or until `due`.
  Wake sleep_until(std::optional<TimePoint> due) {
    progress_.note("");
    const std::uint32_t bits = wake_.sleep_until(due);
    wake_.clear(nudged);
    return reason_of(bits);
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
      const Wake reason = reason_of(wake_.bits());
      if (reason != Wake::due || (is_woken && waited[0].revents != 0))
        return reason;
    }
  }
  /// Whether that can be done.
  bool has_bell() const { return static_cast<bool>(bell_); }

  void deliver(Answer answer) {
    const std::lock_guard lock(mutex_);
    answer_ = std::move(answer);
    wake_.clear(asked);
    answered_.notify_all();
  }

  void stop() {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    wake(stopping);
    answered_.notify_all();
  }

  Progress &progress() { return progress_; }

private:
  static constexpr std::uint32_t asked = 1;
  static constexpr std::uint32_t stopping = 2;
  static constexpr std::uint32_t nudged = 4;

  static Wake reason_of(std::uint32_t bits) {
    if ((bits & stopping) != 0)
      return Wake::stopping;
    return (bits & asked) != 0 ? Wake::asked : Wake::due;
  }

  void wake(std::uint32_t reason) {
    wake_.set(reason);
    if (bell_)
      (void)eventfd_write(bell_.get(), 1);
  }

  Progress progress_; ///< of the thread that answers
  WakeSignal wake_;   ///< of the thread that answers, while it waits for a time
  UniqueFd bell_{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)}; ///< while it waits for a descriptor
  std::mutex mutex_;
  std::condition_variable answered_;
  bool stopping_ = false;
  std::optional<Answer> answer_;
};

/// A thread of ours inside collectd: it blocks all signals, and it cannot hold up the daemon's
/// shutdown. What its body uses must be owned by the body, since a thread that is late, deep in
/// the kernel, is left behind. An exception ends the body, never the daemon.
class PluginThread {
public:
  PluginThread() = default;
  PluginThread(const PluginThread &) = delete;
  PluginThread &operator=(const PluginThread &) = delete;
  ~PluginThread();

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

/// A thread that answers requests.
template <class Answer> class RequestThread {
public:
  RequestThread() = default;
  RequestThread(const RequestThread &) = delete;
  RequestThread &operator=(const RequestThread &) = delete;
  using TimePoint = typename Request<Answer>::TimePoint;

  /// A thread that was left alone ends when it can.
  ~RequestThread() { request_->stop(); }

  bool is_running() const { return thread_.is_running(); }
  std::optional<std::string> failure() const { return thread_.failure(); }
  const char *step() const { return request_->progress().step(); }
  void ask() { request_->ask(); }
  std::optional<Answer> take_until(TimePoint deadline) { return request_->take_until(deadline); }
  std::optional<Answer> try_take() { return request_->try_take(); }

  /// False: the thread did not end in time and was left behind.
  bool stop(std::chrono::milliseconds patience) {
    request_->stop();
    return thread_.finish(patience);
  }

protected:
  /// loop runs in the thread until the request says that it is stopping.
  std::optional<int> start(const std::string &name, std::function<void(Request<Answer> &)> loop) {
    return thread_.start(name, [loop = std::move(loop), request = request_] { loop(*request); });
  }

private:
  std::shared_ptr<Request<Answer>> request_ = std::make_shared<Request<Answer>>();
  PluginThread thread_;
};

} // namespace backlog
