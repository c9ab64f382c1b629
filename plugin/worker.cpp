#include "worker.h"

#include <csignal>
#include <pthread.h>
#include <system_error>
#include <thread>

namespace backlog {

struct Worker::State {
  std::mutex mutex;
  std::condition_variable ended;
  bool has_ended = false;
  std::thread thread;
};

Worker::~Worker() { finish(std::chrono::milliseconds(0)); }

std::optional<int> Worker::start(const std::string &name, std::function<void()> body) {
  finish(std::chrono::milliseconds(0));
  auto state = std::make_shared<State>();
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before); // the new thread inherits the mask
  std::optional<int> failure;
  try {
    state->thread = std::thread([state, body = std::move(body)] {
      body();
      const std::lock_guard lock(state->mutex);
      state->has_ended = true;
      state->ended.notify_all();
    });
    pthread_setname_np(state->thread.native_handle(), name.c_str());
    state_ = std::move(state);
  } catch (const std::system_error &error) {
    failure = error.code().value();
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return failure;
}

bool Worker::is_running() const {
  if (!state_)
    return false;
  const std::lock_guard lock(state_->mutex);
  return !state_->has_ended;
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
