#include "short_memory.h"
#include "test_program.h"
#include "worker.h"

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
class Counting : public AskedWorker<int> {
public:
  explicit Counting(const std::shared_future<void> &gate) {
    const auto failure = start("counting", [gate, asked = asked_](Mailbox<int> &mailbox) {
      int count = 0;
      while (mailbox.sleep_until(std::nullopt) != Mailbox<int>::Wake::stopping) {
        if (count == 0)
          asked->set_value();
        gate.wait();
        mailbox.deliver(++count);
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
  Counting worker(gate.get_future().share());
  ck_assert(!worker.try_take());
  worker.ask();
  ck_assert(worker.take_until(Clock::now() + 10s) == 1);
  worker.ask();
  ck_assert(worker.take_until(Clock::now() + 10s) == 2);
  ck_assert(worker.stop(10s));
}
END_TEST

START_TEST(late_answer_waits_for_the_next_take) {
  std::promise<void> gate;
  Counting worker(gate.get_future().share());
  worker.ask();
  ck_assert(!worker.take_until(Clock::now() + 1ms));
  worker.ask(); // while the answer is owed: no second one
  gate.set_value();
  ck_assert(worker.take_until(Clock::now() + 10s) == 1);
  ck_assert(worker.stop(10s));
}
END_TEST

START_TEST(an_answer_that_waits_is_not_replaced) {
  Mailbox<int> mailbox;
  ck_assert(!mailbox.try_take());
  mailbox.deliver(1); // just after nobody had found it
  mailbox.ask();
  ck_assert(mailbox.sleep_until(Clock::now()) == Mailbox<int>::Wake::due);
  ck_assert(mailbox.try_take() == 1);
  ck_assert(!mailbox.try_take());
  mailbox.ask();
  ck_assert(mailbox.sleep_until(Clock::now()) == Mailbox<int>::Wake::asked);
}
END_TEST

START_TEST(a_thread_that_is_late_is_left_behind) {
  auto gate = std::make_shared<std::promise<void>>();
  Counting worker(gate->get_future().share());
  worker.ask();
  worker.wait_until_asked();
  ck_assert(!worker.take_until(Clock::now() + 1ms));
  ck_assert(!worker.stop(1ms));
  gate->set_value();
}
END_TEST

START_TEST(an_exception_ends_the_thread_only) {
  Worker worker;
  ck_assert(!worker.failure());
  ck_assert(!worker.start("throwing", [] { throw std::bad_alloc(); }));
  while (worker.is_running())
    std::this_thread::sleep_for(1ms);
  assert_text(worker.failure().value_or("none"), std::bad_alloc().what());
  ck_assert(!worker.start("throwing", [] { throw 7; }));
  while (worker.is_running())
    std::this_thread::sleep_for(1ms);
  assert_text(worker.failure().value_or("none"), "unknown exception");
  ck_assert(!worker.start("throwing", [] {
    allocations_left = 0;
    throw LongException();
  }));
  while (worker.is_running())
    std::this_thread::sleep_for(1ms);
  assert_text(worker.failure().value_or("none"), LongException().what());
  ck_assert(!worker.start("throwing", [] {
    allocations_left = 0;
    throw 7L;
  }));
  while (worker.is_running())
    std::this_thread::sleep_for(1ms);
  assert_text(worker.failure().value_or("none"), "unknown exception");
  ck_assert(!worker.start("well", [] {}));
  while (worker.is_running())
    std::this_thread::sleep_for(1ms);
  ck_assert(!worker.failure());
}
END_TEST

START_TEST(a_thread_that_cannot_start_for_lack_of_memory) {
  Worker worker;
  const std::function<void()> body = [] {};
  allocations_left = 0;
  const std::optional<int> failure = worker.start("late", body);
  allocations_left.reset();
  ck_assert(failure == ENOMEM);
  ck_assert(!worker.is_running());
  ck_assert(!worker.start("late", body));
  ck_assert(worker.finish(10s));
}
END_TEST

START_TEST(says_what_it_waits_for) {
  Mailbox<int> mailbox;
  assert_text(mailbox.progress().step(), "");
  mailbox.progress().note("TCP listeners");
  assert_text(mailbox.progress().step(), "TCP listeners");
  (void)mailbox.sleep_until(Clock::now());
  assert_text(mailbox.progress().step(), "");
}
END_TEST

START_TEST(a_worker_that_goes_takes_its_thread_along) {
  std::promise<void> gate;
  gate.set_value();
  std::weak_ptr<std::promise<void>> owned_by_thread;
  {
    Counting worker(gate.get_future().share());
    worker.ask();
    ck_assert(worker.take_until(Clock::now() + 60s) == 1);
    owned_by_thread = worker.asked();
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
  Worker worker;
  ck_assert(!worker.start("masked", [&] { pthread_sigmask(SIG_BLOCK, nullptr, &mask); }));
  ck_assert(worker.finish(10s));
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGCHLD, SIGALRM})
    ck_assert_int_eq(sigismember(&mask, signal), 1);
  pthread_sigmask(SIG_BLOCK, nullptr, &mask);
  ck_assert_int_eq(sigismember(&mask, SIGTERM), 0);
}
END_TEST

START_TEST(signals_are_not_blocked_where_memory_ends) {
  Worker worker;
  bool started = false;
  for (std::size_t enough = 0; !started; ++enough) {
    allocations_left = enough;
    try {
      started = !worker.start("short", [] {});
    } catch (const std::bad_alloc &) {
    }
    allocations_left.reset();
    sigset_t mask;
    ck_assert_int_eq(pthread_sigmask(SIG_BLOCK, nullptr, &mask), 0);
    ck_assert_int_eq(sigismember(&mask, SIGTERM), 0);
  }
  ck_assert(worker.finish(10s));
}
END_TEST

START_TEST(sleep_ends_when_due) {
  Mailbox<int> mailbox;
  ck_assert(mailbox.sleep_until(Clock::now() + 1ms) == Mailbox<int>::Wake::due);
  mailbox.ask();
  ck_assert(mailbox.sleep_until(Clock::now() + 1h) == Mailbox<int>::Wake::asked);
  mailbox.stop();
  ck_assert(mailbox.sleep_until(Clock::now() + 1h) == Mailbox<int>::Wake::stopping);
}
END_TEST

int main() {
  return run_tests("worker", answers_when_asked, late_answer_waits_for_the_next_take,
                   a_thread_that_is_late_is_left_behind, an_exception_ends_the_thread_only,
                   a_thread_that_cannot_start_for_lack_of_memory, says_what_it_waits_for,
                   a_worker_that_goes_takes_its_thread_along, signals_are_blocked,
                   signals_are_not_blocked_where_memory_ends, sleep_ends_when_due,
                   an_answer_that_waits_is_not_replaced);
}
