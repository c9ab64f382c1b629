#include "peak_bound.h"
#include "test_program.h"

#include <vector>

using namespace backlog;

START_TEST(bounds) {
  const struct {
    std::uint64_t seen = 0;
    std::uint64_t most_arrivals = 0;
    std::uint64_t limit = 0;
    std::uint32_t members = 1;
    std::uint64_t bound = 0;
  } cases[] = {
      {.seen = 0, .most_arrivals = 0, .limit = 128, .bound = 0}, // nobody came
      {.seen = 7, .most_arrivals = 0, .limit = 128, .bound = 7},
      {.seen = 7, .most_arrivals = 5, .limit = 128, .bound = 12},
      {.seen = 0, .most_arrivals = 1000, .limit = 128, .bound = 130},
      {.seen = 129, .most_arrivals = 1000, .limit = 128, .bound = 130},
      {.seen = 131, .most_arrivals = 1000, .limit = 128, .bound = 131}, // seen is seen
      {.seen = 9, .most_arrivals = 1000, .limit = 40, .members = 4, .bound = 48},
      {.seen = 0, .most_arrivals = 3, .limit = 0, .bound = 2},
  };
  for (const auto &c : cases)
    ck_assert_uint_eq(peak_bound(c.seen, c.most_arrivals, c.limit, c.members), c.bound);
}
END_TEST

START_TEST(gaps) {
  constexpr std::nullopt_t none = std::nullopt;
  struct Look {
    std::optional<std::uint64_t> before;
    std::optional<std::uint64_t> after;
  };
  const struct {
    std::vector<Look> looks; // the first one ends the interval before
    std::optional<std::uint64_t> most;
  } cases[] = {
      {.looks = {{10, 10}, {10, 10}}, .most = 0},
      {.looks = {{10, 10}, {14, 17}}, .most = 7},
      // What comes during a look is between this one and both others.
      {.looks = {{10, 13}, {13, 13}}, .most = 3},
      {.looks = {{10, 10}, {12, 12}, {17, 17}, {18, 18}}, .most = 5},
      {.looks = {{10, 10}, {none, none}}, .most = none},
      {.looks = {{none, none}, {12, 12}}, .most = none},
      {.looks = {{10, 10}, {12, none}, {13, 13}}, .most = none},
      {.looks = {{10, 10}, {3, 3}}, .most = none}, // counted anew
  };
  for (const auto &c : cases) {
    GapArrivals gaps;
    ck_assert(c.looks.size() > 1);
    gaps.look(c.looks[0].before, c.looks[0].after);
    ck_assert(!gaps.take_most()); // when the one before began is not known
    for (std::size_t i = 1; i < c.looks.size(); ++i)
      gaps.look(c.looks[i].before, c.looks[i].after);
    const auto most = gaps.take_most();
    ck_assert(most == c.most);
  }
}
END_TEST

START_TEST(an_interval_begins_where_the_last_one_ended) {
  GapArrivals gaps;
  gaps.look(10, 10);
  gaps.look(15, 15);
  (void)gaps.take_most();
  gaps.look(16, 17);
  ck_assert(gaps.take_most() == 2U);
  gaps.miss();
  ck_assert(!gaps.take_most());
  gaps.look(20, 20);
  ck_assert(!gaps.take_most());
  gaps.look(21, 21);
  ck_assert(gaps.take_most() == 1U);
}
END_TEST

int main() {
  return run_tests("peak_bound", bounds, gaps, an_interval_begins_where_the_last_one_ended);
}
