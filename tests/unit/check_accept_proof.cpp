#include "accept_proof.h"
#include "test_program.h"

#include <chrono>
#include <optional>
#include <vector>

using namespace backlog;
using namespace std::chrono_literals;

namespace {

using Duration = AcceptFacts::Duration;
using Ages = std::vector<std::chrono::milliseconds>;

WaitingMember member(std::uint32_t length, std::uint32_t from, Duration not_shrinking_for,
                     std::uint32_t before = 0) {
  return {.cookie = length,
          .length = length,
          .not_shrinking_from = from,
          .not_shrinking_for = not_shrinking_for,
          .length_before = before};
}

Ages ages(std::size_t count, std::chrono::milliseconds oldest, std::chrono::milliseconds step) {
  Ages result;
  for (std::size_t i = 0; i < count; ++i)
    result.push_back(oldest - step * static_cast<int>(i));
  return result;
}

Ages joined(Ages first, const Ages &second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

struct Case {
  const char *name;
  std::vector<WaitingMember> members;
  Ages ages;
  std::uint64_t invisible;
  /// Whether nobody can have been accepted from a member for 30 s.
  bool is_stuck;
  Duration oldest_unmoved_for{0};
  Duration measured = 10s;
};

} // namespace

START_TEST(who_has_been_accepted_from) {
  const Case cases[] = {
      {.name = "a hang of 37 s, filled from empty",
       .members = {member(5, 1, 37s, 3)},
       .ages = {37s, 36s, 30s, 9s, 1s},
       .invisible = 0,
       .is_stuck = true},
      {.name = "a hang that left three waiting",
       .members = {member(5, 3, 31s, 4)},
       .ages = {34s, 33s, 31s, 12s, 4s},
       .invisible = 0,
       .is_stuck = true},
      {.name = "the kernel's clock has ticked less",
       .members = {member(1, 1, 31s, 1)},
       .ages = {30990ms},
       .invisible = 0,
       .is_stuck = true},
      {.name = "a hang shorter than that",
       .members = {member(5, 3, 29s, 4)},
       .ages = {34s, 33s, 29s, 12s, 4s},
       .invisible = 0,
       .is_stuck = false},
      {.name = "a closed loop of five that wait 5 s",
       .members = {member(5, 5, 500s, 5)},
       .ages = ages(5, 4900ms, 1s),
       .invisible = 0,
       .is_stuck = false},
      {.name = "a closed loop of five that wait 40 s",
       .members = {member(5, 5, 500s, 5)},
       .ages = ages(5, 39s, 8s),
       .invisible = 0,
       .is_stuck = false},
      {.name = "the same in its first 40 s, when one of the first still waits",
       .members = {member(5, 5, 36s, 5)},
       .ages = ages(5, 37s, 8s),
       .invisible = 0,
       .is_stuck = false},
      {.name = "a closed loop of one",
       .members = {member(1, 1, 500s, 1)},
       .ages = {400ms},
       .invisible = 0,
       .is_stuck = false},
      {.name = "a closed loop that hangs since 35 s",
       .members = {member(5, 5, 500s, 5)},
       .ages = ages(5, 40s, 1s),
       .invisible = 0,
       .is_stuck = true},
      {.name = "two come for each that is accepted, and the oldest waits 30 s",
       .members = {member(60, 1, 60s, 50)},
       .ages = ages(60, 30s, 500ms),
       .invisible = 0,
       .is_stuck = false},
      {.name = "the same at a long interval, in which it began",
       .members = {member(60, 30, 60s)},
       .ages = ages(60, 30s, 500ms),
       .invisible = 0,
       .is_stuck = false,
       .measured = 300s},
      {.name = "all have reset",
       .members = {member(5, 1, 40s, 5)},
       .ages = {},
       .invisible = 5,
       .is_stuck = true},
      {.name = "all but a young one have reset",
       .members = {member(5, 1, 40s, 4)},
       .ages = {2s},
       .invisible = 4,
       .is_stuck = true},
      {.name = "all of the first have reset, and more came than are seen",
       .members = {member(8, 3, 40s, 3)},
       .ages = {4s, 3s},
       .invisible = 6,
       .is_stuck = true},
      {.name = "a closed loop of five, one of which has reset",
       .members = {member(5, 5, 500s, 5)},
       .ages = ages(4, 4900ms, 1s),
       .invisible = 1,
       .is_stuck = false},
      {.name = "a closed loop of clients that reset after 2 s",
       .members = {member(5, 5, 500s, 5)},
       .ages = {1900ms, 900ms},
       .invisible = 3,
       .is_stuck = false},
      {.name = "the one that waited longest still does, whatever the lengths say",
       .members = {member(5, 1, 2s)},
       .ages = {45s, 1s},
       .invisible = 3,
       .is_stuck = true,
       .oldest_unmoved_for = 30s},
      {.name = "one of two members hangs, the other one is seen to serve",
       .members = {member(4, 1, 40s, 4), member(3, 2, 1s)},
       .ages = {39995ms, 35s, 34s, 33s, 2s, 1s, 0s},
       .invisible = 0,
       .is_stuck = true},
      {.name = "one hangs and its clients have reset, the other one is seen to serve",
       .members = {member(4, 1, 40s, 4), member(3, 2, 1s)},
       .ages = {2s, 1s, 0s},
       .invisible = 4,
       .is_stuck = true},
      {.name = "the same, and the other one serves in a closed loop",
       .members = {member(4, 2, 40s, 4), member(3, 3, 500s, 3)},
       .ages = {2s, 1s, 0s},
       .invisible = 4,
       .is_stuck = true},
      {.name = "two in closed loops",
       .members = {member(10, 10, 500s, 10), member(9, 9, 500s, 9)},
       .ages = ages(19, 10s, 500ms),
       .invisible = 0,
       .is_stuck = false},
      {.name = "two in slow closed loops",
       .members = {member(10, 10, 500s, 10), member(10, 10, 500s, 10)},
       .ages = ages(20, 100s, 5s),
       .invisible = 0,
       .is_stuck = false},
      {.name = "the same, and the oldest has been the oldest for long",
       .members = {member(10, 10, 500s, 10), member(10, 10, 500s, 10)},
       .ages = joined(ages(10, 100s, 1s), ages(10, 10s, 1s)),
       .invisible = 0,
       .is_stuck = true,
       .oldest_unmoved_for = 40s},
      {.name = "one hangs, the other one was seen to serve 16 s ago",
       .members = {member(4, 1, 40s, 4), member(3, 2, 16s, 3)},
       .ages = {39995ms, 15s, 14s, 13s, 9s, 8s, 7s},
       .invisible = 0,
       .is_stuck = true},
      {.name = "two that hang",
       .members = {member(10, 7, 35s, 10), member(10, 8, 45s, 10)},
       .ages = joined(ages(15, 60s, 1s), ages(5, 30s, 1s)),
       .invisible = 0,
       .is_stuck = true},
      {.name = "four in closed loops, two clients of which have reset",
       .members = {member(5, 5, 500s, 5), member(5, 5, 500s, 5), member(5, 5, 500s, 5),
                   member(5, 5, 500s, 5)},
       .ages = ages(18, 4900ms, 250ms),
       .invisible = 2,
       .is_stuck = false},
  };
  for (const Case &c : cases) {
    const TcpWaits waits{.ages = c.ages, .oldest_cookie = 0, .invisible = c.invisible};
    TcpQueue queue;
    queue.members = c.members;
    queue.measured = c.measured;
    queue.waits = &waits;
    queue.oldest_unmoved_for = c.oldest_unmoved_for;
    const AcceptFacts facts = tcp_accept_facts(queue, 30s);
    ck_assert_msg(facts.none_accepted_for.has_value(), "%s: not looked at", c.name);
    ck_assert_msg((*facts.none_accepted_for >= 30s) == c.is_stuck, "%s: none for %lld ms", c.name,
                  static_cast<long long>(*facts.none_accepted_for / 1ms));
    ck_assert_msg(facts.oldest_wait.has_value() == !c.ages.empty(), "%s: oldest", c.name);
    if (!c.ages.empty())
      ck_assert_msg(*facts.oldest_wait == c.ages.front(), "%s: oldest", c.name);
  }
}
END_TEST

// Each case is at an edge of the rule: the times are exact.
START_TEST(for_how_long_none_was_accepted) {
  struct Exact {
    const char *name;
    std::vector<WaitingMember> members;
    Ages ages;
    std::uint64_t invisible;
    Duration none_for;
    bool accepted;
    Duration oldest_unmoved_for{0};
  };
  const Exact cases[] = {
      {.name = "the first two came before the interval",
       .members = {member(2, 2, 40s)},
       .ages = {10s, 5s},
       .invisible = 0,
       .none_for = 5020ms,
       .accepted = true},
      {.name = "the while is as long as the interval",
       .members = {member(3, 1, 10s, 3)},
       .ages = {12s, 4s, 3s},
       .invisible = 0,
       .none_for = 10s,
       .accepted = false},
      {.name = "fewer wait than there were",
       .members = {member(3, 3, 10s)},
       .ages = {1s},
       .invisible = 0,
       .none_for = 0s,
       .accepted = true},
      {.name = "one has not shrunk for just as long as is asked, the other one for less",
       .members = {member(2, 1, 30s), member(9, 9, 20s, 9)},
       .ages = joined({31s, 5s}, ages(9, 1s, 0ms)),
       .invisible = 0,
       .none_for = 30s,
       .accepted = false},
      {.name = "one has not shrunk for more than half of that, the other one for less",
       .members = {member(5, 5, 12s, 5), member(1, 1, 20s)},
       .ages = joined({21s}, ages(5, 1s, 0ms)),
       .invisible = 0,
       .none_for = 20s,
       .accepted = false},
      {.name = "one has just begun not to shrink",
       .members = {member(1, 1, 10s), member(5, 5, 0s, 5)},
       .ages = joined({11s}, ages(5, 1s, 0ms)),
       .invisible = 0,
       .none_for = 0s,
       .accepted = false},
      {.name = "as many as it held are not seen",
       .members = {member(4, 2, 40s, 4)},
       .ages = {1s, 1s},
       .invisible = 2,
       .none_for = 40s,
       .accepted = false},
      {.name = "none for half of the while",
       .members = {member(2, 2, 40s)},
       .ages = {10s, 5s},
       .invisible = 0,
       .none_for = 20s,
       .accepted = false,
       .oldest_unmoved_for = 20s},
      {.name = "none for less than that",
       .members = {member(2, 2, 40s)},
       .ages = {10s, 5s},
       .invisible = 0,
       .none_for = 15s,
       .accepted = true,
       .oldest_unmoved_for = 15s},
  };
  for (const Exact &c : cases) {
    const TcpWaits waits{.ages = c.ages, .oldest_cookie = 0, .invisible = c.invisible};
    TcpQueue queue;
    queue.members = c.members;
    queue.measured = 10s;
    queue.waits = &waits;
    queue.oldest_unmoved_for = c.oldest_unmoved_for;
    const AcceptFacts facts = tcp_accept_facts(queue, 30s);
    ck_assert_msg(facts.none_accepted_for == c.none_for, "%s: none for %lld ns", c.name,
                  static_cast<long long>(facts.none_accepted_for->count()));
    ck_assert_msg(facts.accepted == c.accepted, "%s: accepted", c.name);
  }
}
END_TEST

START_TEST(nothing_is_known_without_a_look) {
  const std::vector<WaitingMember> members{member(5, 5, 500s, 5)};
  TcpQueue queue;
  queue.members = members;
  ck_assert(!tcp_accept_facts(queue, 30s).none_accepted_for);
  const TcpWaits waits{.ages = {40s}, .oldest_cookie = 3, .invisible = 0};
  queue.waits = &waits;
  ck_assert(tcp_accept_facts(queue, 30s).oldest_wait);
  queue.members = {};
  ck_assert(!tcp_accept_facts(queue, 30s).oldest_wait);

  const AcceptFacts unknown = unix_accept_facts(members, {});
  ck_assert(!unknown.none_accepted_for && !unknown.oldest_wait);
}
END_TEST

START_TEST(unix_queues_want_both_to_hold) {
  const auto none_for = [](std::vector<WaitingMember> members) {
    return unix_accept_facts(members, {{1, {.none_accepted_for = 20s, .oldest = 50s}},
                                       {2, {.none_accepted_for = 90s, .oldest = {}}},
                                       {3, {.none_accepted_for = 70s, .oldest = 60s}}});
  };
  ck_assert(none_for({member(1, 1, 40s)}).none_accepted_for == 20s);
  ck_assert(none_for({member(1, 1, 10s)}).none_accepted_for == 10s);
  ck_assert(none_for({member(1, 1, 10s)}).oldest_wait == 50s);
  ck_assert(!none_for({member(2, 1, 10s)}).oldest_wait);
  ck_assert(none_for({member(1, 1, 40s), member(3, 1, 65s)}).none_accepted_for == 65s);
  ck_assert(none_for({member(1, 1, 40s), member(3, 1, 65s)}).oldest_wait == 60s);
  ck_assert(none_for({member(1, 1, 0s)}).none_accepted_for == 0s);
}
END_TEST

START_TEST(an_accept_at_any_unix_member_is_one) {
  const auto facts_of = [](bool first, bool second) {
    return unix_accept_facts(std::vector{member(1, 1, 40s), member(2, 1, 40s)},
                             {{1, {.none_accepted_for = 0s, .oldest = 0s, .accepted = first}},
                              {2, {.none_accepted_for = 0s, .oldest = {}, .accepted = second}}});
  };
  ck_assert(!facts_of(false, false).accepted);
  ck_assert(facts_of(true, false).accepted);
  ck_assert(facts_of(false, true).accepted);
  ck_assert(facts_of(true, true).oldest_wait == 0s);
}
END_TEST

START_TEST(an_interval_without_a_look_ends_no_stall) {
  using TimePoint = StallFound::TimePoint;
  struct WithoutLook {
    const char *name = "";
    AcceptFacts found; ///< 20 s ago, when ten waited
    UnlookedQueue queue;
    bool none_accepted = false; ///< still
    bool late = false;          ///< still accepted too late
  };
  const AcceptFacts stopped{.oldest_wait = 40s, .none_accepted_for = 35s};
  const AcceptFacts slow{.oldest_wait = 40s, .none_accepted_for = 2s, .accepted = true};
  const UnlookedQueue unmoved{
      .length = 12, .not_empty_for = 60s, .not_shrinking_for = 55s, .accepted = {}};
  const auto with = [&](auto change) {
    UnlookedQueue queue = unmoved;
    change(queue);
    return queue;
  };
  const UnlookedQueue shrunk = with([](UnlookedQueue &q) { q.not_shrinking_for = 3s; });
  const WithoutLook cases[] = {
      {"nothing has moved", stopped, unmoved, true, true},
      {"it has shrunk, so it is accepted from", stopped, shrunk, false, true},
      {"the same, known to be slow", slow, shrunk, false, true},
      {"it was empty", stopped, with([](UnlookedQueue &q) { q.not_empty_for = 3s; }), false, false},
      {"little is left", stopped, with([](UnlookedQueue &q) { q.length = 2; }), false, false},
      {"one was accepted", stopped, with([](UnlookedQueue &q) { q.accepted = 1; }), false, true},
      {"all were accepted", stopped, with([](UnlookedQueue &q) { q.accepted = 10; }), false, false},
      {"of two members one is accepted from", stopped, with([](UnlookedQueue &q) {
         q.members = 2;
         q.accepted = 500;
       }),
       true, true},
      {"the look had found no stall",
       {.oldest_wait = 29s, .none_accepted_for = 29s},
       unmoved,
       false,
       false},
  };
  const TimePoint look{1000s};
  for (const WithoutLook &c : cases) {
    StallFound stall;
    stall.note_look(c.found, 30s, 10, look);
    const AcceptFacts facts = stall.without_look(c.queue, look + 20s);
    ck_assert_msg((facts.none_accepted_for >= 30s) == c.none_accepted, "%s", c.name);
    ck_assert_msg((facts.oldest_wait >= 30s) == c.late, "%s", c.name);
  }

  StallFound stall;
  ck_assert(!stall.without_look(unmoved, look).oldest_wait);
  stall.note_look(slow, 30s, 10, look);
  UnlookedQueue four = unmoved;
  four.accepted = 4;
  ck_assert(stall.without_look(four, look + 10s).oldest_wait);
  ck_assert(stall.without_look(four, look + 20s).oldest_wait);
  ck_assert_msg(!stall.without_look(four, look + 30s).oldest_wait, "12 of 10 were accepted");
}
END_TEST

int main() {
  return run_tests("accept_proof", an_interval_without_a_look_ends_no_stall,
                   who_has_been_accepted_from, for_how_long_none_was_accepted,
                   nothing_is_known_without_a_look, unix_queues_want_both_to_hold,
                   an_accept_at_any_unix_member_is_one);
}
