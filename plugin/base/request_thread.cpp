#include "request_thread.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <exception>
#include <new>
#include <pthread.h>
#include <system_error>
#include <thread>

namespace backlog {

struct PluginThread::State {
  std::mutex mutex;
  std::condition_variable ended;
  bool has_ended = false;
  bool has_failed = false;
  std::array<char, 128> failure{}; // fixed size, since memory may be what has run out
  std::thread thread;
};

namespace {

/// Blocks all signals for the calling thread and for threads that it starts meanwhile.
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

/// Copies text, cut to fit.
template <std::size_t size> void copy_text(const char *text, std::array<char, size> &target) {
  const std::size_t length = std::min(std::strlen(text), size - 1);
  std::copy_n(text, length, target.begin());
  target[length] = '\0';
}

/// Runs body; returns whether it ended with an exception, whose text is in failure.
template <std::size_t size>
bool fails(const std::function<void()> &body, std::array<char, size> &failure) {
  try {
    body();
    return false;
  } catch (const std::exception &exception) {
    copy_text(exception.what(), failure);
  } catch (...) {
    copy_text("unknown exception", failure);
  }
  return true;
}

} // namespace

PluginThread::~PluginThread() { finish(std::chrono::milliseconds(0)); }

std::optional<int> PluginThread::start(const std::string &name, std::function<void()> body) {
  finish(std::chrono::milliseconds(0));
  const SignalsBlocked blocked;
  try {
    auto state = std::make_shared<State>();
    state->thread = std::thread([state, body = std::move(body)] {
      std::array<char, sizeof state->failure> failure{};
      const bool has_failed = fails(body, failure);
      const std::lock_guard lock(state->mutex);
      state->has_failed = has_failed;
      state->failure = failure;
      state->has_ended = true;
      state->ended.notify_all();
    });
    pthread_setname_np(state->thread.native_handle(), name.c_str());
    state_ = std::move(state);
    return std::nullopt;
  } catch (const std::system_error &error) {
    return error.code().value();
  } catch (const std::bad_alloc &) {
    return ENOMEM;
  }
}

bool PluginThread::is_running() const {
  if (!state_)
    return false;
  const std::lock_guard lock(state_->mutex);
  return !state_->has_ended;
}

std::optional<std::string> PluginThread::failure() const {
  if (!state_)
    return std::nullopt;
  const std::lock_guard lock(state_->mutex);
  if (!state_->has_failed)
    return std::nullopt;
  return state_->failure.data();
}

bool PluginThread::finish(std::chrono::milliseconds patience) {
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
