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

/// One request and its answer, between one of our threads and collectd's read thread.
template <class Answer> class Request {
public:
  using TimePoint = std::chrono::steady_clock::time_point;
  enum class Wake { due, asked, stopping };

  /// Asks, unless an answer is still due or not yet taken, since the next answer would replace it.
  void ask() {
    const std::lock_guard lock(mutex_);
    if (!answer_)
      wake(asked);
  }

  /// Returns the answer if it comes in time; a later one stays for the next call.
  std::optional<Answer> take_until(TimePoint deadline) {
    std::unique_lock lock(mutex_);
    answered_.wait_until(lock, deadline, [&] { return answer_.has_value() || stopping_; });
    return std::exchange(answer_, std::nullopt);
  }

  /// Returns the answer if it has come.
  std::optional<Answer> try_take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(answer_, std::nullopt);
  }

  /// Wakes the answering thread as if it were due.
  void nudge() { wake_.set(nudged); }

  /// For the answering thread: sleeps until it is asked or nudged, or until `due`.
  Wake sleep_until(std::optional<TimePoint> due) {
    progress_.note("");
    const std::uint32_t bits = wake_.sleep_until(due);
    wake_.clear(nudged);
    return reason_of(bits);
  }

  /// The same, but waits for `descriptor` to become readable instead of for a time.
  Wake sleep_until_readable(int descriptor) {
    progress_.note("");
    for (;;) {
      pollfd waited[] = {{.fd = descriptor, .events = POLLIN, .revents = 0},
                         {.fd = bell_.get(), .events = POLLIN, .revents = 0}};
      const bool is_woken = poll(waited, 2, -1) > 0;
      if (!is_woken)
        WakeSignal::pause_briefly();
      eventfd_t rings = 0;
      (void)eventfd_read(bell_.get(), &rings);
      const Wake reason = reason_of(wake_.bits());
      if (reason != Wake::due || (is_woken && waited[0].revents != 0))
        return reason;
    }
  }
  /// Whether sleep_until_readable() works.
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

  Progress progress_; ///< of the answering thread
  WakeSignal wake_;   ///< wakes the answering thread when it waits for a time
  UniqueFd bell_{
      eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)}; ///< wakes it when it waits for a descriptor
  std::mutex mutex_;
  std::condition_variable answered_;
  bool stopping_ = false;
  std::optional<Answer> answer_;
};

/// A thread of ours inside collectd. It blocks all signals and cannot delay the daemon's shutdown:
/// a thread stuck in the kernel is left behind, so its body must own everything that it uses. An
/// exception ends the body, never the daemon.
class PluginThread {
public:
  PluginThread() = default;
  PluginThread(const PluginThread &) = delete;
  PluginThread &operator=(const PluginThread &) = delete;
  ~PluginThread();

  /// Starts the thread, also again after it has ended. name: at most 15 bytes. The error is that of
  /// pthread_create(), or ENOMEM.
  std::optional<int> start(const std::string &name, std::function<void()> body);
  bool is_running() const;
  /// The exception that ended the body, if one did.
  std::optional<std::string> failure() const;
  /// Waits for the body to return; returns false if the thread was left behind.
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

  /// A thread that is left behind ends when it can.
  ~RequestThread() { request_->stop(); }

  bool is_running() const { return thread_.is_running(); }
  std::optional<std::string> failure() const { return thread_.failure(); }
  const char *step() const { return request_->progress().step(); }
  void ask() { request_->ask(); }
  std::optional<Answer> take_until(TimePoint deadline) { return request_->take_until(deadline); }
  std::optional<Answer> try_take() { return request_->try_take(); }

  /// Returns false if the thread did not end in time and was left behind.
  bool stop(std::chrono::milliseconds patience) {
    request_->stop();
    return thread_.finish(patience);
  }

protected:
  /// Runs loop in the thread until the request reports stopping.
  std::optional<int> start(const std::string &name, std::function<void(Request<Answer> &)> loop) {
    return thread_.start(name, [loop = std::move(loop), request = request_] { loop(*request); });
  }

private:
  std::shared_ptr<Request<Answer>> request_ = std::make_shared<Request<Answer>>();
  PluginThread thread_;
};

} // namespace backlog
