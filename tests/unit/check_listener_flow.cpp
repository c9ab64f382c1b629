#include "listener_flow.h"
#include "test_program.h"

#include <vector>

using namespace backlog;

START_TEST(shares) {
  const struct {
    double waited = 0;
    std::uint64_t accepted = 0;
    std::uint64_t waiting = 0;
    std::optional<double> mean = std::nullopt;
    double carried = 0;
  } cases[] = {
      {.waited = 0, .accepted = 0, .waiting = 0},
      {.waited = 0, .accepted = 10, .waiting = 0, .mean = 0},
      {.waited = 5, .accepted = 10, .waiting = 0, .mean = 0.5},
      {.waited = 5, .accepted = 0, .waiting = 10, .carried = 5}, // nobody was accepted
      {.waited = 5, .accepted = 0, .waiting = 0},                // they went otherwise
      {.waited = 40, .accepted = 10, .waiting = 10, .mean = 2, .carried = 20},
  };
  for (const auto &c : cases) {
    const WaitShare share = share_waits(c.waited, c.accepted, c.waiting);
    ck_assert(share.mean.has_value() == c.mean.has_value());
    if (c.mean)
      ck_assert_double_eq_tol(share.mean->count(), *c.mean, 1e-12);
    ck_assert_double_eq_tol(share.carried, c.carried, 1e-12);
  }
}
END_TEST

START_TEST(a_stall_over_several_intervals) {
  // Ten came at once, and were accepted after 30 s.
  double carried = 0;
  for (int i = 0; i < 2; ++i) {
    const WaitShare share = share_waits(carried + 10 * 10, 0, 10);
    ck_assert(!share.mean);
    carried = share.carried;
  }
  const WaitShare last = share_waits(carried + 10 * 10, 10, 0);
  ck_assert_double_eq_tol(last.mean->count(), 30, 1e-9);
  ck_assert_double_eq_tol(last.carried, 0, 1e-12);
}
END_TEST

START_TEST(a_queue_that_is_never_empty) {
  // 5 wait on average, 100 a second go through it: 50 ms each, by Little's law.
  double carried = 0;
  std::optional<Waits::Seconds> mean;
  for (int i = 0; i < 20; ++i) {
    const WaitShare share = share_waits(carried + 5 * 10, 1000, 5);
    carried = share.carried;
    mean = share.mean;
  }
  ck_assert_double_eq_tol(mean->count(), 0.05, 1e-6);
}
END_TEST

int main() {
  return run_tests("listener_flow", shares, a_stall_over_several_intervals,
                   a_queue_that_is_never_empty);
}
