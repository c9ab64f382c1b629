#include "refused_kinds.h"
#include "test_program.h"

using namespace backlog;
using namespace std::chrono_literals;

START_TEST(syns_and_acks_are_told_apart) {
  struct Case {
    const char *what = "";
    RefusedSums sums;
    std::uint64_t syns = 0;
    std::uint64_t acks = 0;
  };
  const Case cases[] = {
      {"SYNs", {.drops = 20, .overflows = 20}, 20, 0},
      {"final ACKs and data", {.drops = 20, .overflows = 10}, 0, 10},
      {"both", {.drops = 53, .overflows = 33}, 13, 20},
      {"and segments that are no overflow", {.drops = 100, .overflows = 33}, 0, 33},
      {"cookies, none of which finds room",
       {.drops = 63, .overflows = 63, .cookies = 63, .limit = 16},
       0,
       63},
      {"... and one that does, behind those who had no cookie",
       {.drops = 126, .overflows = 126, .cookies = 126, .added = 17, .limit = 16},
       1,
       125},
      {"cookies that found room, while those without one are deferred, and their data",
       {.drops = 97, .overflows = 63, .deferred = 17, .cookies = 17, .added = 17, .limit = 16},
       46,
       17},
      {"deferred ones alone", {.drops = 20, .overflows = 0, .deferred = 20}, 0, 0},
      {"more cookies than overflows, since they are of an earlier time",
       {.drops = 26, .overflows = 26, .cookies = 46, .limit = 16},
       0,
       26},
  };
  for (const auto &c : cases) {
    const RefusedClients::Segments split = split_refused(c.sums);
    ck_assert_msg(split.syns == c.syns && split.acks == c.acks, "%s: %llu SYNs, %llu ACKs", c.what,
                  static_cast<unsigned long long>(split.syns),
                  static_cast<unsigned long long>(split.acks));
    ck_assert_uint_eq(split.final_acks + split.repeated, 0);
  }
}
END_TEST

// The counters are read after the sockets: what they are ahead by is in the next sample's drops.
START_TEST(sums_are_split_when_they_are_of_the_same_segments) {
  const RefusedKinds::TimePoint start{1h};
  RefusedKinds kinds;
  ck_assert(!kinds.take(start, true));
  kinds.add({.drops = 10, .overflows = 10}, 3, start);
  ck_assert(kinds.has_any());
  ck_assert(!kinds.take(start + 5ms, false));
  kinds.add({.drops = 10, .overflows = 0}, 4, start + 5ms);
  const auto split = kinds.take(start + 10ms, true);
  ck_assert(split && split->before == start && split->syns_again == 7U);
  ck_assert_uint_eq(split->segments.acks, 10);
  ck_assert_uint_eq(split->segments.syns, 0);
  ck_assert(!kinds.has_any());

  // Where it never becomes quiet, and where samples are rare.
  kinds.add({.drops = 10, .overflows = 10}, std::nullopt, start + 10ms);
  kinds.add({.drops = 4, .overflows = 4}, 4, start + 15ms);
  ck_assert(!kinds.take(start + 34ms, false));
  const auto late = kinds.take(start + 35ms, false);
  ck_assert(late && late->segments.syns == 14 && !late->syns_again);
}
END_TEST

int main() {
  return run_tests("refused_kinds", syns_and_acks_are_told_apart,
                   sums_are_split_when_they_are_of_the_same_segments);
}
