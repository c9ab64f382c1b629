#include "request_thread.h"
#include "short_memory.h"
#include "test_program.h"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <exception>
#include <functional>
#include <future>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <thread>

using namespace backlog;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

namespace {

/// Answers with the number of questions so far, each after `gate` has opened.
class Counting : public RequestThread<int> {
public:
  explicit Counting(const std::shared_future<void> &gate) {
    const auto failure = start("counting", [gate, asked = asked_](Request<int> &request) {
      int count = 0;
      while (request.sleep_until(std::nullopt) != Request<int>::Wake::stopping) {
        if (count == 0)
          asked->set_value();
        gate.wait();
        request.deliver(++count);
      }
    });
    ck_assert(!failure);
  }

  /// Until the thread has taken its first question.
  void wait_until_asked() { asked_->get_future().wait(); }
  std::shared_ptr<std::promise<void>> asked() const { return asked_; }

private:
  std::shared_ptr<std::promise<void>> asked_ = std::make_shared<std::promise<void>>();
};

struct LongException : std::exception {
  const char *what() const noexcept override { return "longer than what a string holds in itself"; }
};

} // namespace

START_TEST(answers_when_asked) {
  std::promise<void> gate;
  gate.set_value();
  Counting thread(gate.get_future().share());
  ck_assert(!thread.try_take());
  thread.ask();
  ck_assert(thread.take_until(Clock::now() + 10s) == 1);
  thread.ask();
  ck_assert(thread.take_until(Clock::now() + 10s) == 2);
  ck_assert(thread.stop(10s));
}
END_TEST

START_TEST(late_answer_waits_for_the_next_take) {
  std::promise<void> gate;
  Counting thread(gate.get_future().share());
  thread.ask();
  ck_assert(!thread.take_until(Clock::now() + 1ms));
  thread.ask(); // while the answer is owed: no second one
  gate.set_value();
  ck_assert(thread.take_until(Clock::now() + 10s) == 1);
  ck_assert(thread.stop(10s));
}
END_TEST

START_TEST(an_answer_that_waits_is_not_replaced) {
  Request<int> request;
  ck_assert(!request.try_take());
  request.deliver(1); // just after nobody had found it
  request.ask();
  ck_assert(request.sleep_until(Clock::now()) == Request<int>::Wake::due);
  ck_assert(request.try_take() == 1);
  ck_assert(!request.try_take());
  request.ask();
  ck_assert(request.sleep_until(Clock::now()) == Request<int>::Wake::asked);
}
END_TEST

START_TEST(a_thread_that_is_late_is_left_behind) {
  auto gate = std::make_shared<std::promise<void>>();
  Counting thread(gate->get_future().share());
  thread.ask();
  thread.wait_until_asked();
  ck_assert(!thread.take_until(Clock::now() + 1ms));
  ck_assert(!thread.stop(1ms));
  gate->set_value();
}
END_TEST

START_TEST(an_exception_ends_the_thread_only) {
  PluginThread thread;
  ck_assert(!thread.failure());
  ck_assert(!thread.start("throwing", [] { throw std::bad_alloc(); }));
  while (thread.is_running())
    std::this_thread::sleep_for(1ms);
  assert_text(thread.failure().value_or("none"), std::bad_alloc().what());
  ck_assert(!thread.start("throwing", [] { throw 7; }));
  while (thread.is_running())
    std::this_thread::sleep_for(1ms);
  assert_text(thread.failure().value_or("none"), "unknown exception");
  ck_assert(!thread.start("throwing", [] {
    allocations_left = 0;
    throw LongException();
  }));
  while (thread.is_running())
    std::this_thread::sleep_for(1ms);
  assert_text(thread.failure().value_or("none"), LongException().what());
  ck_assert(!thread.start("throwing", [] {
    allocations_left = 0;
    throw 7L;
  }));
  while (thread.is_running())
    std::this_thread::sleep_for(1ms);
  assert_text(thread.failure().value_or("none"), "unknown exception");
  ck_assert(!thread.start("well", [] {}));
  while (thread.is_running())
    std::this_thread::sleep_for(1ms);
  ck_assert(!thread.failure());
}
END_TEST

START_TEST(a_thread_that_cannot_start_for_lack_of_memory) {
  PluginThread thread;
  const std::function<void()> body = [] {};
  allocations_left = 0;
  const std::optional<int> failure = thread.start("late", body);
  allocations_left.reset();
  ck_assert(failure == ENOMEM);
  ck_assert(!thread.is_running());
  ck_assert(!thread.start("late", body));
  ck_assert(thread.finish(10s));
}
END_TEST

START_TEST(says_what_it_waits_for) {
  Request<int> request;
  assert_text(request.progress().step(), "");
  request.progress().note("TCP listeners");
  assert_text(request.progress().step(), "TCP listeners");
  (void)request.sleep_until(Clock::now());
  assert_text(request.progress().step(), "");
}
END_TEST

START_TEST(a_worker_that_goes_takes_its_thread_along) {
  std::promise<void> gate;
  gate.set_value();
  std::weak_ptr<std::promise<void>> owned_by_thread;
  {
    Counting thread(gate.get_future().share());
    thread.ask();
    ck_assert(thread.take_until(Clock::now() + 60s) == 1);
    owned_by_thread = thread.asked();
    ck_assert(!owned_by_thread.expired());
  }
  const Clock::time_point patience = Clock::now() + 60s;
  while (!owned_by_thread.expired() && Clock::now() < patience)
    std::this_thread::sleep_for(1ms);
  ck_assert(owned_by_thread.expired());
}
END_TEST

START_TEST(signals_are_blocked) {
  sigset_t mask;
  sigemptyset(&mask);
  PluginThread thread;
  ck_assert(!thread.start("masked", [&] { pthread_sigmask(SIG_BLOCK, nullptr, &mask); }));
  ck_assert(thread.finish(10s));
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGCHLD, SIGALRM})
    ck_assert_int_eq(sigismember(&mask, signal), 1);
  pthread_sigmask(SIG_BLOCK, nullptr, &mask);
  ck_assert_int_eq(sigismember(&mask, SIGTERM), 0);
}
END_TEST

START_TEST(signals_are_not_blocked_where_memory_ends) {
  PluginThread thread;
  bool started = false;
  for (std::size_t enough = 0; !started; ++enough) {
    allocations_left = enough;
    try {
      started = !thread.start("short", [] {});
    } catch (const std::bad_alloc &) {
    }
    allocations_left.reset();
    sigset_t mask;
    ck_assert_int_eq(pthread_sigmask(SIG_BLOCK, nullptr, &mask), 0);
    ck_assert_int_eq(sigismember(&mask, SIGTERM), 0);
  }
  ck_assert(thread.finish(10s));
}
END_TEST

START_TEST(sleep_ends_when_due) {
  Request<int> request;
  ck_assert(request.sleep_until(Clock::now() + 1ms) == Request<int>::Wake::due);
  request.ask();
  ck_assert(request.sleep_until(Clock::now() + 1h) == Request<int>::Wake::asked);
  request.stop();
  ck_assert(request.sleep_until(Clock::now() + 1h) == Request<int>::Wake::stopping);
}
END_TEST

int main() {
  return run_tests("request_thread", answers_when_asked, late_answer_waits_for_the_next_take,
                   a_thread_that_is_late_is_left_behind, an_exception_ends_the_thread_only,
                   a_thread_that_cannot_start_for_lack_of_memory, says_what_it_waits_for,
                   a_worker_that_goes_takes_its_thread_along, signals_are_blocked,
                   signals_are_not_blocked_where_memory_ends, sleep_ends_when_due,
                   an_answer_that_waits_is_not_replaced);
}
