#include "refused_kinds.h"
#include "test_program.h"

#include <vector>

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

START_TEST(few_acks_among_syns_are_no_matter) {
  struct Case {
    const char *what = "";
    RefusedSums sums;
    bool are_syns = false;
  };
  const Case cases[] = {
      {"nothing", {}, true},
      {"SYNs", {.drops = 40, .overflows = 40}, true},
      {"two ACKs of 40", {.drops = 42, .overflows = 40}, true},
      {"three", {.drops = 43, .overflows = 40}, false},
      {"two cookies", {.drops = 40, .overflows = 40, .cookies = 2}, true},
      {"an ACK and two cookies", {.drops = 41, .overflows = 40, .cookies = 2}, false},
      {"SYNs and deferred ACKs", {.drops = 57, .overflows = 40, .deferred = 17}, true},
      {"ACKs", {.drops = 40, .overflows = 20}, false},
  };
  for (const auto &c : cases)
    ck_assert_msg(are_syns(c.sums) == c.are_syns, "%s", c.what);
}
END_TEST

struct Look {
  RefusedSums sums;
  bool has_refused = true;
  bool is_told = false; ///< by a call of take() afterwards
};

// However a burst falls into samples.
START_TEST(samples_of_one_burst_are_split_as_one) {
  struct Case {
    const char *what = "";
    std::vector<Look> looks;
    std::uint64_t syns = 0;
    std::uint64_t acks = 0;
  };
  const Case cases[] = {
      {"the counters are ahead of the drops",
       {{.sums = {.drops = 10, .overflows = 10}}, {.sums = {.drops = 10}}},
       0,
       10},
      {"... and the first were told",
       {{.sums = {.drops = 54, .overflows = 38, .deferred = 17, .added = 17, .limit = 16},
         .is_told = true},
        {.sums = {.drops = 43, .overflows = 25, .limit = 16}}},
       46,
       17},
      {"ACKs were deferred before any was refused",
       {{.sums = {.drops = 17, .deferred = 17, .cookies = 2, .added = 1, .limit = 16},
         .has_refused = false},
        {.sums = {.drops = 80, .overflows = 63, .cookies = 15, .added = 17, .limit = 16}}},
       46,
       17},
      {"... with a look in between",
       {{.sums = {.drops = 17, .deferred = 17, .added = 0, .limit = 16},
         .has_refused = false,
         .is_told = true},
        {.sums = {.drops = 80, .overflows = 63, .cookies = 17, .added = 17, .limit = 16}}},
       46,
       17},
      {"the queue stays full",
       {{.sums = {.drops = 10, .overflows = 10, .cookies = 3, .added = 17, .limit = 14},
         .is_told = true},
        {.sums = {.drops = 8, .overflows = 8, .cookies = 4, .added = 0, .limit = 14},
         .is_told = true}},
       14,
       4},
  };
  for (const auto &c : cases) {
    const RefusedKinds::TimePoint start{1h};
    RefusedKinds kinds;
    RefusedClients::Segments sum;
    const auto take = [&] {
      if (const auto split = kinds.take()) {
        sum.syns += split->segments.syns;
        sum.acks += split->segments.acks;
      }
    };
    for (const Look &look : c.looks) {
      kinds.add(look.sums, std::nullopt, start, look.has_refused);
      if (look.is_told)
        take();
    }
    take();
    ck_assert_msg(sum.syns == c.syns && sum.acks == c.acks, "%s: %llu SYNs, %llu ACKs", c.what,
                  static_cast<unsigned long long>(sum.syns),
                  static_cast<unsigned long long>(sum.acks));
  }
}
END_TEST

START_TEST(what_was_added_is_told_once) {
  const RefusedKinds::TimePoint start{1h};
  RefusedKinds kinds;
  ck_assert(!kinds.take() && !kinds.is_in_burst());
  kinds.add({.drops = 3, .deferred = 3}, 9, start - 5ms, false);
  ck_assert(!kinds.has_any() && !kinds.is_due(start + 1h) && kinds.is_in_burst());
  kinds.add({.drops = 10, .overflows = 10}, 3, start, true);
  kinds.add({.drops = 10, .overflows = 0}, 4, start + 5ms, true);
  ck_assert(kinds.has_any() && !kinds.is_due(start + 24ms) && kinds.is_due(start + 25ms));
  const auto split = kinds.take();
  ck_assert(split && split->before == start && split->syns_again == 7U);
  ck_assert_uint_eq(split->segments.acks, 10);
  ck_assert_uint_eq(split->segments.syns, 0);
  ck_assert_uint_eq(split->segments.final_acks + split->segments.repeated, 0);
  ck_assert(!kinds.has_any() && !kinds.take());

  kinds.add({.drops = 10, .overflows = 10}, std::nullopt, start + 10ms, true);
  kinds.add({.drops = 4, .overflows = 4}, 4, start + 15ms, true);
  const auto more = kinds.take();
  ck_assert(more && more->before == start + 10ms && !more->syns_again);
  ck_assert_uint_eq(more->segments.syns, 14);
  ck_assert_uint_eq(more->segments.acks, 0);
}
END_TEST

// Repeated data is not of the ACKs that were deferred.
START_TEST(another_burst_is_split_for_itself) {
  const RefusedKinds::TimePoint start{1h};
  RefusedKinds kinds;
  kinds.add({.drops = 97, .overflows = 63, .deferred = 17, .cookies = 17, .added = 17, .limit = 16},
            std::nullopt, start, true);
  ck_assert_uint_eq(kinds.take()->segments.acks, 17);
  kinds.end_burst();
  ck_assert(!kinds.is_in_burst());
  kinds.add({.drops = 34, .overflows = 17, .cookies = 5, .limit = 16}, std::nullopt, start + 200ms,
            true);
  const auto again = kinds.take();
  ck_assert_uint_eq(again->segments.acks, 17);
  ck_assert_uint_eq(again->segments.syns, 0);
}
END_TEST

int main() {
  return run_tests("refused_kinds", syns_and_acks_are_told_apart, few_acks_among_syns_are_no_matter,
                   samples_of_one_burst_are_split_as_one, what_was_added_is_told_once,
                   another_burst_is_split_for_itself);
}
