#include "counter_split.h"
#include "test_program.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace backlog {
namespace {

constexpr std::uint32_t listeners = 4;
using Amounts = std::array<std::uint64_t, listeners>;

constexpr Claim full(std::uint32_t listener, std::uint64_t amount) {
  return {listener, Fullness::full, amount};
}
constexpr Claim half(std::uint32_t listener, std::uint64_t amount) {
  return {listener, Fullness::half_full, amount};
}
constexpr Claim low(std::uint32_t listener, std::uint64_t amount) {
  return {listener, Fullness::moved, amount};
}

constexpr GoneSocket gone_full(std::uint32_t listener) { return {listener, true}; }
constexpr GoneSocket gone_not_full(std::uint32_t listener) { return {listener, false}; }

enum class Claimants { known, unknown };

/// A sample, or the end of an interval.
struct Step {
  std::vector<Claim> claims{};
  std::uint64_t amount = 0;
  Amounts granted{}; ///< in this step
  Claimants claimants = Claimants::known;
  std::vector<GoneSocket> gone{};
  bool some_missing = false;
  bool may_claim_waiting = false;

  bool is_end = false;
  std::vector<std::uint32_t> seen_full{};
  bool keep_claims = true;
  std::uint64_t unattributed = 0; ///< in this interval

  std::optional<std::uint32_t> forgotten{}; ///< after the step
};

/// A sample in which nothing is claimed: what was carried is carried no more.
const Step pause{};

Step end_of_interval(Amounts granted, std::uint64_t unattributed) {
  return {.granted = granted, .is_end = true, .unattributed = unattributed};
}

struct Case {
  const char *name;
  std::vector<Step> steps;
};

class Trial {
public:
  explicit Trial(const Case &c) : name_(c.name) {}

  void take(const Step &step) {
    ++number_;
    std::vector<Claim> granted;
    if (step.is_end) {
      split_.settle(
          [&](std::uint32_t listener) {
            ck_assert_msg(listener < listeners, "%s: listener %u is asked for", name_, listener);
            return std::find(step.seen_full.begin(), step.seen_full.end(), listener) !=
                   step.seen_full.end();
          },
          step.keep_claims, granted);
    } else {
      for (const Claim &claim : step.claims)
        split_.claim(claim);
      split_.end_sample(step.amount, step.claimants == Claimants::known,
                        {.gone = step.gone, .some_missing = step.some_missing},
                        step.may_claim_waiting, granted);
    }
    check(step, granted);
    if (step.forgotten) {
      split_.forget(*step.forgotten);
      attributed_[*step.forgotten] = 0;
    }
  }

private:
  void check(const Step &step, const std::vector<Claim> &granted) {
    Amounts sums{};
    for (const Claim &claim : granted) {
      ck_assert_msg(claim.amount > 0, "%s, step %d: granted 0", name_, number_);
      sums.at(claim.listener) += claim.amount;
    }
    for (std::uint32_t listener = 0; listener < listeners; ++listener) {
      ck_assert_msg(sums[listener] == step.granted[listener],
                    "%s, step %d: listener %u is granted %ju, not %ju", name_, number_, listener,
                    std::uintmax_t{sums[listener]}, std::uintmax_t{step.granted[listener]});
      attributed_[listener] += sums[listener];
      ck_assert_uint_eq(split_.attributed(listener), attributed_[listener]);
    }
    if (!step.is_end)
      return;
    unattributed_ += step.unattributed;
    ck_assert_msg(split_.unattributed() == unattributed_, "%s, step %d: %ju unattributed, not %ju",
                  name_, number_, std::uintmax_t{split_.unattributed()},
                  std::uintmax_t{unattributed_});
    ck_assert_msg(!split_.has_carried_amount(), "%s, step %d: carried", name_, number_);
  }

  const char *name_;
  int number_ = 0;
  CounterSplit split_;
  Amounts attributed_{};
  std::uint64_t unattributed_ = 0;
};

// Which claims are met, beside others.
const std::vector<Case> &claims() {
  constexpr std::uint64_t many = 99999;
  static const std::vector<Case> cases = {
      {"half full has less than full",
       {{.claims = {full(0, 10), half(1, 10)}, .amount = 10, .granted = {10, 0}}}},
      {"half full counts one more claim as unmet",
       {{.claims = {low(0, 1)}, .claimants = Claimants::unknown},
        pause,
        {.claims = {full(0, 10), half(1, 10)},
         .amount = 10,
         .granted = {5, 5},
         .claimants = Claimants::unknown}}},
      {"one is known for no drops, and each claim counts once",
       {{.claims = {low(0, 1), low(1, 3)}, .claimants = Claimants::unknown},
        {.claims = {low(0, 1)}, .claimants = Claimants::unknown},
        {.claims = {low(0, 1)}, .claimants = Claimants::unknown},
        pause,
        {.claims = {full(0, 10), full(1, 10)},
         .amount = 10,
         .granted = {5, 5},
         .claimants = Claimants::unknown}}},
      {"by what each had of its claims before",
       {{.claims = {full(0, 3), full(1, 3)},
         .amount = 3,
         .granted = {2, 1},
         .claimants = Claimants::unknown},
        pause,
        {.claims = {full(0, 1000), full(1, 1000)},
         .amount = 1000,
         .granted = {642, 358},
         .claimants = Claimants::unknown}}},
      {"who never dropped can still have a little",
       {{.claims = {low(1, many)}, .claimants = Claimants::unknown},
        pause,
        {.claims = {full(0, 1000), full(1, 1000)},
         .amount = 1000,
         .granted = {995, 5},
         .claimants = Claimants::unknown}}},
      {"what one cannot take goes to those after it, though claimed before",
       {{.claims = {low(0, many)}, .claimants = Claimants::unknown},
        pause,
        {.claims = {full(0, 100), full(1, 100)},
         .amount = 150,
         .granted = {50, 100},
         .claimants = Claimants::unknown}}},
      {"what one lacks is the less for those after it, though claimed before",
       {{.claims = {low(2, many)}, .claimants = Claimants::unknown},
        pause,
        {.claims = {full(0, 100), full(1, 100), full(2, 100)},
         .amount = 100,
         .granted = {50, 50, 0},
         .claimants = Claimants::unknown}}},
      {"in equal parts",
       {{.claims = {full(0, 1000), full(1, 1000)},
         .amount = 1000,
         .granted = {500, 500},
         .claimants = Claimants::unknown}}},

      {"few that are just as much, of one trusted by a hair",
       {{.claims = {full(0, 3)}, .amount = 2, .granted = {2}},
        pause,
        {.claims = {low(0, 1), low(1, 1)}, .amount = 2, .granted = {1, 1}}}},
      {"the same, and it is not",
       {{.claims = {full(0, 4)}, .amount = 2, .granted = {2}},
        pause,
        {.claims = {low(0, 1), low(1, 1)}, .amount = 2},
        pause,
        end_of_interval({}, 2)}},
      {"a drop counted after the dump is as much as another's claim before, which is known for "
       "noise",
       {{.claims = {low(0, 3)}},
        pause,
        {.claims = {low(0, 1)}},
        {.claims = {full(1, 4)}, .amount = 5, .granted = {0, 4}},
        {.claims = {full(1, 1)}, .granted = {0, 1}},
        end_of_interval({}, 0)}},
      {"the same, and the other is not known for noise",
       {{.claims = {low(0, 1)}},
        {.claims = {full(1, 4)}, .amount = 5, .granted = {1, 4}},
        end_of_interval({}, 0)}},
  };
  return cases;
}

// An amount that waits because sockets are missing.
const std::vector<Case> &waiting() {
  const Step carried = {.amount = 5, .claimants = Claimants::unknown};
  const Step missing = {.claimants = Claimants::unknown, .some_missing = true};
  static const std::vector<Case> cases = {
      {"claims may not have it",
       {carried,
        missing,
        {.claims = {full(0, 9)}, .amount = 4, .granted = {4}, .claimants = Claimants::unknown},
        pause,
        end_of_interval({}, 5)}},
      {"claims may have it, once",
       {carried,
        missing,
        {.claims = {full(0, 9)},
         .amount = 4,
         .granted = {9},
         .claimants = Claimants::unknown,
         .may_claim_waiting = true},
        {.claimants = Claimants::unknown, .gone = {gone_full(1)}},
        end_of_interval({}, 0)}},
      {"it is not what others claim, so that one who has gone has it",
       {carried,
        missing,
        {.claims = {full(0, 4)},
         .amount = 4,
         .granted = {4, 5},
         .claimants = Claimants::unknown,
         .gone = {gone_full(1)}},
        pause,
        end_of_interval({}, 0)}},
      {"claims are just as much as it and the amount",
       {carried,
        missing,
        {.claims = {low(0, 9), low(1, 11)},
         .amount = 15,
         .granted = {9, 11},
         .claimants = Claimants::unknown,
         .may_claim_waiting = true},
        end_of_interval({}, 0)}},
      {"claims are just as much as the amount, without it",
       {carried,
        missing,
        {.claims = {low(0, 9), low(1, 11)},
         .amount = 20,
         .granted = {9, 11},
         .claimants = Claimants::unknown},
        end_of_interval({}, 5)}},
  };
  return cases;
}

// At the end of the interval: what sockets that had gone may have left, though claims of the same
// sample took the carried amount.
const std::vector<Case> &gone() {
  const auto left_by = [](std::vector<GoneSocket> sockets) {
    return std::vector<Step>{{.amount = 3, .claimants = Claimants::unknown},
                             {.claims = {full(2, 3)},
                              .amount = 3,
                              .granted = {0, 0, 3},
                              .claimants = Claimants::unknown,
                              .gone = std::move(sockets)},
                             pause};
  };
  const auto after = [](std::vector<Step> first, const std::vector<Step> &then) {
    first.insert(first.end(), then.begin(), then.end());
    return first;
  };
  const Step one_drop = {.claims = {full(0, 1)}, .amount = 1, .granted = {1}};
  const Step ten_drops = {.claims = {full(0, 10)}, .amount = 10, .granted = {10}};
  static const std::vector<Case> cases = {
      {"not full, and had one drop lately",
       after({one_drop}, after(left_by({gone_not_full(0)}), {end_of_interval({1}, 2)}))},
      {"not full, and had none", after(left_by({gone_not_full(0)}), {end_of_interval({}, 3)})},
      {"full, and had none", after(left_by({gone_full(0)}), {end_of_interval({3}, 0)})},
      {"full, two of them",
       after(left_by({gone_full(0), gone_full(1)}), {end_of_interval({2, 1}, 0)})},
      {"one of two members was full",
       after({one_drop},
             after(left_by({gone_not_full(0), gone_full(0)}), {end_of_interval({3}, 0)}))},
      {"the other of two members was full",
       after({one_drop},
             after(left_by({gone_full(0), gone_not_full(0)}), {end_of_interval({3}, 0)}))},
      {"the same in a later interval",
       after({one_drop, end_of_interval({}, 0), one_drop, one_drop},
             after(left_by({gone_not_full(0)}), {end_of_interval({2}, 1)}))},
      {"no more than was carried, nor in a later interval",
       {ten_drops,
        end_of_interval({}, 0),
        ten_drops,
        {.amount = 2, .claimants = Claimants::unknown},
        {.claims = {full(2, 2)},
         .amount = 7,
         .granted = {0, 0, 2},
         .claimants = Claimants::unknown,
         .gone = {gone_not_full(0)}},
        pause,
        end_of_interval({2}, 5)}},
      {"forgotten since",
       {{.amount = 3, .claimants = Claimants::unknown},
        {.claims = {full(2, 3)},
         .amount = 3,
         .granted = {0, 0, 3},
         .claimants = Claimants::unknown,
         .gone = {gone_full(0), gone_full(1)},
         .forgotten = 0},
        pause,
        end_of_interval({0, 3}, 0)}},
      {"not full: as much as is carried, if it had more lately",
       {ten_drops,
        {.amount = 8, .claimants = Claimants::unknown},
        {.granted = {8}, .claimants = Claimants::unknown, .gone = {gone_not_full(0)}},
        end_of_interval({}, 0)}},
      {"full: each as if it had one more than it had lately",
       {{.claims = {full(1, 3)}, .amount = 3, .granted = {0, 3}},
        {.amount = 10, .claimants = Claimants::unknown},
        {.granted = {2, 8}, .claimants = Claimants::unknown, .gone = {gone_full(0), gone_full(1)}},
        end_of_interval({}, 0)}},
  };
  return cases;
}

const std::vector<Case> &ends() {
  static const std::vector<Case> cases = {
      {"claims are kept",
       {{.claims = {full(0, 1)}},
        end_of_interval({}, 0),
        {.amount = 1, .granted = {1}},
        end_of_interval({}, 0)}},
      {"claims are not kept",
       {{.claims = {full(0, 2)}},
        {.is_end = true, .keep_claims = false},
        {.amount = 2},
        end_of_interval({}, 2)}},
  };
  return cases;
}

void check(const std::vector<Case> &cases) {
  for (const Case &c : cases) {
    Trial trial(c);
    for (const Step &step : c.steps)
      trial.take(step);
  }
}

START_TEST(claims_that_are_met) { check(claims()); }
END_TEST

START_TEST(amounts_that_wait) { check(waiting()); }
END_TEST

START_TEST(sockets_that_have_gone) { check(gone()); }
END_TEST

START_TEST(ends_of_intervals) { check(ends()); }
END_TEST

/// Of a surplus of less than 1 the likeliest take their part first. Were it the others, a bit would
/// get lost with each sample, until the rounding has none for anybody.
START_TEST(no_fraction_is_lost) {
  CounterSplit split;
  std::vector<Claim> granted;
  split.claim(low(1, 9999999));
  split.end_sample(0, false, {}, false, granted);
  split.end_sample(0, false, {}, false, granted);
  for (int sample = 0; sample < 100; ++sample) {
    split.claim(full(0, 10));
    split.claim(full(1, 60));
    granted.clear();
    split.end_sample(11, false, {}, false, granted);
    std::uint64_t sum = 0;
    for (const Claim &claim : granted)
      sum += claim.amount;
    ck_assert_uint_eq(sum, 11);
  }
  ck_assert_uint_eq(split.attributed(0), 1000);
  ck_assert_uint_eq(split.attributed(1), 100);
}
END_TEST

START_TEST(each_drop_is_taken_once) {
  CounterSplit split;
  std::vector<Claim> granted;
  ck_assert_uint_eq(split.take_unlisted(), 0);
  ck_assert_uint_eq(split.taken(0), 0);
  for (const std::uint64_t amount : {3, 2}) {
    split.claim(full(1, amount));
    split.end_sample(amount, true, {}, false, granted);
    ck_assert_uint_eq(split.take_unlisted(), amount);
    ck_assert_uint_eq(split.take_unlisted(), 0);
  }
  ck_assert_uint_eq(split.taken(0), 0);
  ck_assert_uint_eq(split.taken(1), 5);
  ck_assert_uint_eq(split.taken(2), 0);
  split.clear_attributed();
  ck_assert_uint_eq(split.taken(1), 0);
  ck_assert_uint_eq(split.take_unlisted(), 0);
}
END_TEST

} // namespace
} // namespace backlog

int main() {
  using namespace backlog;
  return run_tests("counter_split", claims_that_are_met, amounts_that_wait, sockets_that_have_gone,
                   ends_of_intervals, no_fraction_is_lost, each_drop_is_taken_once);
}
