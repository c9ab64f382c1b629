#include "test_program.h"
#include "window.h"

using namespace backlog;
using namespace std::chrono_literals;

START_TEST(used_and_full) {
  struct Case {
    std::uint64_t length, limit;
    double used;
    bool full, half_full;
  };
  constexpr Case cases[] = {
      {0, 0, 0, false, false},
      {1, 0, 100, true, true},
      {2, 0, 100, true, true},
      {0, 1, 0, false, false},
      {1, 1, 50, false, true},
      {2, 1, 100, true, true},
      {128, 128, 100.0 * 128 / 129, false, true},
      {129, 128, 100, true, true},
      {130, 128, 100, true, true}, // racing connects
      {11, 3, 100, true, true},    // listen(3) on a queue of 11
      {64, 128, 100.0 * 64 / 129, false, false},
      {65, 128, 100.0 * 65 / 129, false, true},
      {1, 2147483647, 100.0 / 2147483648.0, false, false},
      {4294967295, 4294967295, 100.0 * 4294967295.0 / 4294967296.0, false, true},
      {2147483648, 2147483647, 100, true, true},
  };
  for (const Case &c : cases) {
    ck_assert_double_eq_tol(used_percent(c.length, c.limit), c.used, 1e-9);
    ck_assert_int_eq(is_full(c.length, c.limit), c.full);
    ck_assert_int_eq(is_half_full(c.length, c.limit), c.half_full);
  }
}
END_TEST

START_TEST(weights_make_the_mean) {
  Window window;
  window.add(10, false, {.limit = 19, .members = 1}, 25ms);
  window.add(20, true, {.limit = 19, .members = 1}, 5ms);
  const WindowFigures figures = figures_of(window, 20, 100ms);
  ck_assert_uint_eq(figures.last, 20);
  ck_assert_uint_eq(figures.peak, 20);
  ck_assert_double_eq_tol(figures.mean, (10 * 25 + 20 * 5) / 100.0, 1e-9);
  ck_assert_double_eq_tol(figures.full_percent, 5, 1e-9);
}
END_TEST

START_TEST(a_peak_is_of_the_queues_at_that_time) {
  Window window;
  window.add(10, false, {.limit = 16, .members = 2}, 25ms);
  window.add(20, true, {.limit = 24, .members = 3}, 5ms);
  window.add(9, true, {.limit = 8, .members = 1}, 5ms);
  const WindowFigures figures = figures_of(window, 9, 100ms);
  ck_assert_uint_eq(figures.peak, 20);
  ck_assert_uint_eq(figures.peak_queues.capacity(), 27);
  ck_assert_uint_eq(figures.peak_queues.members, 3);
}
END_TEST

START_TEST(no_sample_is_no_division) {
  const WindowFigures figures = figures_of(Window(), 0, 0ms);
  ck_assert_uint_eq(figures.peak, 0);
  ck_assert_double_eq(figures.mean, 0);
  ck_assert_double_eq(figures.full_percent, 0);
}
END_TEST

int main() {
  return run_tests("window", used_and_full, weights_make_the_mean,
                   a_peak_is_of_the_queues_at_that_time, no_sample_is_no_division);
}
