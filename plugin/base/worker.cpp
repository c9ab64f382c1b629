#include "worker.h"

#include <csignal>
#include <exception>
#include <new>
#include <pthread.h>
#include <system_error>
#include <thread>

namespace backlog {

struct Worker::State {
  std::mutex mutex;
  std::condition_variable ended;
  bool has_ended = false;
  std::optional<std::string> failure;
  std::thread thread;
};

namespace {

/// Blocks all signals of the calling thread; threads that it makes meanwhile inherit that.
class SignalsBlocked {
public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  SignalsBlocked(const SignalsBlocked &) = delete;
  SignalsBlocked &operator=(const SignalsBlocked &) = delete;
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

private:
  sigset_t before_{};
};

std::string text_of(const std::exception &exception) {
  try {
    return exception.what();
  } catch (const std::bad_alloc &) {
    return "out of memory"; // which is short enough to need none
  }
}

std::optional<std::string> run(const std::function<void()> &body) {
  try {
    body();
    return std::nullopt;
  } catch (const std::exception &exception) {
    return text_of(exception);
  } catch (...) {
    return "unknown exception";
  }
}

} // namespace

Worker::~Worker() { finish(std::chrono::milliseconds(0)); }

std::optional<int> Worker::start(const std::string &name, std::function<void()> body) {
  finish(std::chrono::milliseconds(0));
  auto state = std::make_shared<State>();
  const SignalsBlocked blocked;
  try {
    state->thread = std::thread([state, body = std::move(body)] {
      std::optional<std::string> failure = run(body);
      const std::lock_guard lock(state->mutex);
      state->failure = std::move(failure);
      state->has_ended = true;
      state->ended.notify_all();
    });
    pthread_setname_np(state->thread.native_handle(), name.c_str());
    state_ = std::move(state);
    return std::nullopt;
  } catch (const std::system_error &error) {
    return error.code().value();
  }
}

bool Worker::is_running() const {
  if (!state_)
    return false;
  const std::lock_guard lock(state_->mutex);
  return !state_->has_ended;
}

std::optional<std::string> Worker::failure() const {
  if (!state_)
    return std::nullopt;
  const std::lock_guard lock(state_->mutex);
  return state_->failure;
}

bool Worker::finish(std::chrono::milliseconds patience) {
  if (!state_)
    return true;
  const auto state = std::exchange(state_, nullptr);
  std::unique_lock lock(state->mutex);
  if (!state->ended.wait_for(lock, patience, [&] { return state->has_ended; })) {
    state->thread.detach();
    return false;
  }
  lock.unlock();
  state->thread.join();
  return true;
}

} // namespace backlog
