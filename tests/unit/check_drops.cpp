#include "drop_ledger.h"
#include "listener_set.h"
#include "short_memory.h"
#include "test_program.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <optional>
#include <random>
#include <span>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace backlog {
namespace {

using namespace std::chrono_literals;

/// A listener's moved sk_drops, as a case table writes it.
constexpr DropsMoved full(std::uint32_t listener, std::uint32_t drops) {
  return {listener, drops, true, true};
}
constexpr DropsMoved half(std::uint32_t listener, std::uint32_t drops) {
  return {listener, drops, false, true};
}
constexpr DropsMoved low(std::uint32_t listener, std::uint32_t drops) {
  return {listener, drops, false, false};
}

constexpr GoneSocket gone_full(std::uint32_t listener) { return {listener, true}; }
constexpr GoneSocket gone_not_full(std::uint32_t listener) { return {listener, false}; }

enum class Read { yes, failed };

struct Sample {
  std::vector<DropsMoved> moved{};
  ListenCounters risen{}; ///< what the kernel counted up to this sample's read
  bool members_changed = false;
  Read read = Read::yes;
  std::vector<GoneSocket> gone{};
  bool some_missing = false;
};

struct Case {
  const char *name;
  std::vector<Sample> samples{};
  std::vector<std::uint32_t> seen_full{}; ///< at any time in the interval
  std::array<ListenCounters, 3> attributed{};
  ListenCounters unattributed{};
};

/// Counters of a kernel that has been up for a while.
constexpr ListenCounters boot = {1000, 700};

ListenCounters operator+(const ListenCounters &a, const ListenCounters &b) {
  return {a.drops + b.drops, a.overflows + b.overflows};
}

/// Gives the samples as the plugin does: the counters are read only if they are wanted, and at
/// the end of the interval.
void run(DropLedger &ledger, const Case &c, ListenCounters &kernel) {
  for (std::size_t i = 0; i < c.samples.size(); ++i) {
    const Sample &sample = c.samples[i];
    kernel = kernel + sample.risen;
    const bool wanted = ledger.wants_counters(!sample.moved.empty(), sample.members_changed) ||
                        i + 1 == c.samples.size();
    ledger.sample(sample.moved, sample.members_changed,
                  wanted && sample.read == Read::yes ? std::optional(kernel) : std::nullopt,
                  {.gone = sample.gone, .some_missing = sample.some_missing});
  }
  ledger.settle([&](std::uint32_t listener) {
    return std::find(c.seen_full.begin(), c.seen_full.end(), listener) != c.seen_full.end();
  });
}

void expect(const DropLedger &ledger, const Case &c) {
  for (std::uint32_t listener = 0; listener < c.attributed.size(); ++listener) {
    const ListenCounters got = ledger.attributed(listener);
    const ListenCounters &want = c.attributed[listener];
    ck_assert_msg(got.drops == want.drops && got.overflows == want.overflows,
                  "%s: listener %u has %ju drops and %ju overflows, not %ju and %ju", c.name,
                  listener, std::uintmax_t{got.drops}, std::uintmax_t{got.overflows},
                  std::uintmax_t{want.drops}, std::uintmax_t{want.overflows});
  }
  const ListenCounters rest = ledger.unattributed();
  ck_assert_msg(rest.drops == c.unattributed.drops && rest.overflows == c.unattributed.overflows,
                "%s: %ju drops and %ju overflows unattributed, not %ju and %ju", c.name,
                std::uintmax_t{rest.drops}, std::uintmax_t{rest.overflows},
                std::uintmax_t{c.unattributed.drops}, std::uintmax_t{c.unattributed.overflows});
}

void check_case(const Case &c) {
  DropLedger ledger;
  ListenCounters kernel = boot;
  ledger.sample({}, true, kernel);
  run(ledger, c, kernel);
  expect(ledger, c);
}

// The kernel's counts for each event at listener 0; listener 1 is a healthy neighbour.
const std::vector<Case> &kernel_events() {
  static const std::vector<Case> cases = {
      {.name = "SYN, accept queue full",
       .samples = {{.moved = {full(0, 1)}, .risen = {1, 1}}},
       .seen_full = {0},
       .attributed = {{{1, 1}}}},
      {.name = "final ACK, accept queue full",
       .samples = {{.moved = {full(0, 2)}, .risen = {1, 1}}},
       .seen_full = {0},
       .attributed = {{{1, 1}}}},
      {.name = "three final ACKs, tcp_abort_on_overflow",
       .samples = {{.moved = {full(0, 6)}, .risen = {3, 3}}},
       .seen_full = {0},
       .attributed = {{{3, 3}}}},
      {.name = "cookie ACK, accept queue full",
       .samples = {{.moved = {full(0, 1)}, .risen = {1, 1}}},
       .seen_full = {0},
       .attributed = {{{1, 1}}}},
      {.name = "SYN queue full, cookies", .samples = {{.risen = {0, 0}}}},
      {.name = "SYN queue full, no cookies",
       .samples = {{.moved = {low(0, 1)}, .risen = {1, 0}}},
       .attributed = {{{1, 0}}}},
      {.name = "last quarter of tcp_max_syn_backlog",
       .samples = {{.moved = {low(0, 1)}, .risen = {1, 0}}},
       .attributed = {{{1, 0}}}},
      {.name = "ICMP host unreachable for a SYN_RECV",
       .samples = {{.moved = {low(0, 1)}, .risen = {1, 0}}},
       .attributed = {{{1, 0}}}},
      {.name = "SYN refused by an LSM, no route, no memory",
       .samples = {{.moved = {half(0, 1)}, .risen = {1, 0}}},
       .attributed = {{{1, 0}}}},
      {.name = "SYN retransmitted, request exists",
       .samples = {{.moved = {low(0, 1)}, .risen = {0, 0}}}},
      {.name = "RST in SYN_RECV", .samples = {{.moved = {low(0, 1)}, .risen = {0, 0}}}},
      {.name = "final ACK of a deferred accept",
       .samples = {{.moved = {low(0, 1)}, .risen = {0, 0}}}},
      {.name = "the same while the queue is full",
       .samples = {{.moved = {full(0, 1)}, .risen = {0, 0}}},
       .seen_full = {0}},
      {.name = "stray segment to the listener",
       .samples = {{.moved = {low(0, 1)}, .risen = {0, 0}}}},
      {.name = "segment out of window in SYN_RECV",
       .samples = {{.moved = {low(0, 1)}, .risen = {0, 0}}}},
      {.name = "socket filter, IP_MINTTL", .samples = {{.moved = {low(0, 1)}, .risen = {0, 0}}}},
      {.name = "stray ACK, bad checksum", .samples = {{.risen = {0, 0}}}},
      {.name = "TFO queue full", .samples = {{.risen = {0, 0}}}},
      {.name = "overflow counted without a drop",
       .samples = {{.risen = {0, 1}}},
       .seen_full = {0},
       .unattributed = {0, 1}},
  };
  return cases;
}

START_TEST(kernel_events_alone) {
  for (const Case &c : kernel_events())
    check_case(c);
}
END_TEST

// The same events beside the noise of a deferred accept, which moves sk_drops alone.
START_TEST(kernel_events_beside_noise) {
  for (Case c : kernel_events()) {
    Sample &sample = c.samples[0];
    const bool full = !sample.moved.empty() && sample.moved[0].half_full;
    if (!full && sample.risen.drops > 0) { // nothing tells them apart
      c.unattributed = c.attributed[0];
      c.attributed[0] = {};
    }
    sample.moved.push_back(low(1, 100));
    check_case(c);
  }
}
END_TEST

const std::vector<Case> &rules() {
  static const std::vector<Case> cases = {
      {.name = "full before half full",
       .samples = {{.moved = {half(0, 5), full(1, 3)}, .risen = {5, 5}}},
       .seen_full = {1},
       .attributed = {{{2, 2}, {3, 3}}}},
      {.name = "overflows to the full, other drops to the half full",
       .samples = {{.moved = {half(0, 5), full(1, 3)}, .risen = {5, 3}}},
       .seen_full = {1},
       .attributed = {{{2, 0}, {3, 3}}}},
      {.name = "half full before the rest",
       .samples = {{.moved = {low(0, 5), half(1, 3)}, .risen = {3, 0}}},
       .attributed = {{{}, {3, 0}}}},
      {.name = "the only one",
       .samples = {{.moved = {low(2, 5)}, .risen = {4, 0}}},
       .attributed = {{{}, {}, {4, 0}}}},
      {.name = "the only one with two members",
       .samples = {{.moved = {low(2, 5), low(2, 3)}, .risen = {7, 0}}},
       .attributed = {{{}, {}, {7, 0}}}},
      {.name = "the only one, known for claims that are no drops, beside one that is full a sample "
               "later",
       .samples = {{.moved = {low(0, 3)}},
                   {},
                   {.moved = {low(0, 1)}, .risen = {1, 1}},
                   {.moved = {full(1, 3)}, .risen = {2, 2}}},
       .seen_full = {1},
       .attributed = {{{}, {3, 3}}}},
      {.name = "the same, and nobody is full",
       .samples = {{.moved = {low(0, 3)}}, {}, {.moved = {low(0, 1)}, .risen = {1, 0}}, {}},
       .attributed = {{{1, 0}}}},
      {.name = "the same at the end of the interval",
       .samples = {{.moved = {low(0, 3)}}, {}, {.moved = {low(0, 1)}, .risen = {1, 0}}},
       .attributed = {{{1, 0}}}},
      {.name = "not the only one",
       .samples = {{.moved = {low(1, 5), low(2, 5)}, .risen = {4, 0}}},
       .unattributed = {4, 0}},
      {.name = "several, all of whose claims are just as much",
       .samples = {{.moved = {low(1, 5), low(2, 11)}, .risen = {16, 16}}},
       .attributed = {{{}, {5, 5}, {11, 11}}}},
      {.name = "the same, while another came or went",
       .samples = {{.moved = {low(1, 5), low(2, 11)}, .risen = {16, 16}, .members_changed = true}},
       .attributed = {{{}, {5, 5}, {11, 11}}}},
      {.name = "the same beside a full one",
       .samples = {{.moved = {full(0, 4), low(1, 5), low(2, 11)}, .risen = {20, 20}}},
       .seen_full = {0},
       .attributed = {{{4, 4}, {5, 5}, {11, 11}}}},
      {.name = "several, whose claims are one more",
       .samples = {{.moved = {low(1, 5), low(2, 12)}, .risen = {16, 16}}},
       .unattributed = {16, 16}},
      {.name = "several, whose few claims are just as much",
       .samples = {{.moved = {low(1, 5), low(2, 10)}, .risen = {15, 15}}},
       .attributed = {{{}, {5, 5}, {10, 10}}}},
      {.name = "one of them is known for claims that are no drops",
       .samples = {{.moved = {low(1, 5), low(2, 2)}},
                   {},
                   {.moved = {low(1, 5), low(2, 10)}, .risen = {15, 15}}},
       .unattributed = {15, 15}},
      {.name = "known for such claims, but more than chance",
       .samples = {{.moved = {low(1, 5), low(2, 2)}},
                   {},
                   {.moved = {low(1, 5), low(2, 11)}, .risen = {16, 16}}},
       .attributed = {{{}, {5, 5}, {11, 11}}}},
      {.name = "a single one's claim is just as much, while another came or went",
       .samples = {{.moved = {low(1, 2)}, .risen = {2, 2}, .members_changed = true}},
       .attributed = {{{}, {2, 2}}}},
      {.name = "not the only one beside a full one",
       .samples = {{.moved = {low(0, 9), full(1, 1)}, .risen = {4, 0}}},
       .seen_full = {1},
       .attributed = {{{}, {1, 0}}},
       .unattributed = {3, 0}},
      {.name = "the only one that is left",
       .samples = {{.moved = {low(0, 9)}, .risen = {4, 0}, .members_changed = true}},
       .unattributed = {4, 0}},
      {.name = "full, while another came or went",
       .samples = {{.moved = {full(0, 4)}, .risen = {6, 6}, .members_changed = true}},
       .seen_full = {0},
       .attributed = {{{4, 4}}},
       .unattributed = {2, 2}},
      {.name = "members of a group, each by its own queue",
       .samples = {{.moved = {full(0, 2), low(0, 50), half(1, 3)}, .risen = {4, 2}}},
       .seen_full = {0},
       .attributed = {{{2, 2}, {2, 0}}}},
      {.name = "in proportion",
       .samples = {{.moved = {full(0, 30), full(1, 60)}, .risen = {60, 60}}},
       .seen_full = {0, 1},
       .attributed = {{{20, 20}, {40, 40}}}},
      {.name = "largest remainder",
       .samples = {{.moved = {full(0, 5), full(1, 3), full(2, 2)},
                    .risen = {7, 7}}}, // 3.5, 2.1, 1.4
       .seen_full = {0, 1, 2},
       .attributed = {{{4, 4}, {2, 2}, {1, 1}}}},
      {.name = "largest remainder, two units",
       .samples = {{.moved = {full(0, 13), full(1, 11), full(2, 6)},
                    .risen = {20, 20}}}, // 8.67, 7.33, 4
       .seen_full = {0, 1, 2},
       .attributed = {{{9, 9}, {7, 7}, {4, 4}}}},
      {.name = "never more than claimed",
       .samples = {{.moved = {full(0, 3), full(1, 2)}, .risen = {9, 9}}},
       .seen_full = {0, 1},
       .attributed = {{{3, 3}, {2, 2}}},
       .unattributed = {4, 4}},
      {.name = "overflows in proportion to the drops",
       .samples = {{.moved = {full(0, 30), full(1, 60)}, .risen = {60, 30}}},
       .seen_full = {0, 1},
       .attributed = {{{20, 10}, {40, 20}}}},
      {.name = "overflows are no more than the drops",
       .samples = {{.moved = {full(0, 3)}, .risen = {2, 5}}},
       .seen_full = {0},
       .attributed = {{{2, 2}}},
       .unattributed = {0, 3}},

      {.name = "counted after the dump, moved in the next",
       .samples = {{.moved = {low(1, 9)}, .risen = {2, 2}, .members_changed = true},
                   {.moved = {full(0, 2)}, .risen = {0, 0}},
                   {}},
       .seen_full = {0},
       .attributed = {{{2, 2}}}},
      {.name = "moved, counted in the next",
       .samples = {{.moved = {full(0, 2)}, .risen = {0, 0}},
                   {.moved = {low(1, 1)}, .risen = {2, 2}},
                   {}},
       .seen_full = {0},
       .attributed = {{{2, 2}}}},
      {.name = "claims of the sample come first",
       .samples = {{.moved = {full(0, 2)}, .risen = {0, 0}},
                   {.moved = {full(1, 2)}, .risen = {2, 2}},
                   {}},
       .seen_full = {0, 1},
       .attributed = {{{}, {2, 2}}}},
      {.name = "a full queue's carried claim comes before a lesser one of the sample",
       .samples = {{.moved = {full(0, 2)}, .risen = {0, 0}},
                   {.moved = {low(1, 2)}, .risen = {2, 2}},
                   {}},
       .seen_full = {0},
       .attributed = {{{2, 2}}}},
      {.name = "who went has what is left of the sample before",
       .samples = {{.moved = {full(0, 2)}, .risen = {2, 2}},
                   {.moved = {full(1, 3)}, .risen = {8, 8}, .members_changed = true},
                   {.moved = {full(1, 1)},
                    .risen = {0, 0},
                    .members_changed = true,
                    .read = Read::yes,
                    .gone = {gone_full(0)}}},
       .attributed = {{{6, 6}, {4, 4}}}},
      {.name = "who went has nothing of the sample itself, nor of later ones",
       .samples =
           {{.moved = {full(0, 2)}, .risen = {2, 2}},
            {.risen = {0, 0}, .members_changed = true},
            {.risen = {5, 5}, .members_changed = true, .read = Read::yes, .gone = {gone_full(0)}},
            {.risen = {3, 3}, .members_changed = true}},
       .attributed = {{{2, 2}}},
       .unattributed = {8, 8}},
      {.name = "who was missing once only has what it claims",
       .samples = {{.moved = {full(0, 2)}, .risen = {2, 2}},
                   {.risen = {5, 5}, .members_changed = true},
                   {.moved = {full(0, 3)}, .risen = {0, 0}},
                   {}},
       .attributed = {{{5, 5}}},
       .unattributed = {2, 2}},
      {.name = "who was not full has no more than it had lately",
       .samples = {{.moved = {half(0, 2)}, .risen = {2, 2}},
                   {.risen = {5, 4}, .members_changed = true},
                   {.risen = {0, 0},
                    .members_changed = true,
                    .read = Read::yes,
                    .gone = {gone_not_full(0)}}},
       .attributed = {{{4, 4}}},
       .unattributed = {3, 2}},
      {.name = "who was not full and had nothing lately has nothing",
       .samples = {{.risen = {5, 4}, .members_changed = true},
                   {.risen = {0, 0},
                    .members_changed = true,
                    .read = Read::yes,
                    .gone = {gone_not_full(0)}}},
       .unattributed = {5, 4}},
      {.name = "the last drops of a socket that the dump before still had",
       .samples =
           {{.moved = {full(0, 2)}, .risen = {2, 2}},
            {.moved = {low(1, 1), low(2, 1)}, .risen = {3, 3}},
            {.risen = {0, 0}, .members_changed = true, .read = Read::yes, .some_missing = true},
            {.risen = {0, 0}, .members_changed = true, .read = Read::yes, .gone = {gone_full(0)}}},
       .attributed = {{{5, 5}}}},
      {.name = "they wait one sample, and no longer",
       .samples =
           {{.moved = {full(0, 2)}, .risen = {2, 2}},
            {.moved = {low(1, 1), low(2, 1)}, .risen = {3, 3}},
            {.risen = {0, 0}, .members_changed = true, .read = Read::yes, .some_missing = true},
            {.risen = {0, 0}, .members_changed = true, .read = Read::yes, .some_missing = true},
            {.risen = {0, 0}, .members_changed = true, .read = Read::yes, .gone = {gone_full(0)}}},
       .attributed = {{{2, 2}}},
       .unattributed = {3, 3}},
      {.name = "nobody else has what waits",
       .samples = {{.moved = {low(1, 1), low(2, 1)}, .risen = {3, 3}},
                   {.moved = {full(1, 1)},
                    .risen = {0, 0},
                    .members_changed = true,
                    .read = Read::yes,
                    .some_missing = true},
                   {.moved = {full(1, 9)},
                    .risen = {0, 0},
                    .members_changed = true,
                    .read = Read::yes,
                    .gone = {gone_full(0)}}},
       .seen_full = {1},
       .attributed = {{{2, 2}, {1, 1}}}},
      {.name = "of several that went, those that were full, by what they had lately",
       .samples =
           {{.moved = {full(0, 29)}, .risen = {29, 29}},
            {.moved = {full(1, 9)}, .risen = {9, 9}},
            {.moved = {full(2, 5)}, .risen = {5, 5}},
            {.risen = {8, 8}, .members_changed = true, .read = Read::yes, .some_missing = true},
            {.risen = {0, 0},
             .members_changed = true,
             .read = Read::yes,
             .gone = {gone_full(0), gone_full(1), gone_not_full(2)}}},
       .attributed = {{{35, 35}, {11, 11}, {5, 5}}}},
      {.name = "of several that were not full, each at most what it had lately",
       .samples =
           {{.moved = {full(0, 6)}, .risen = {6, 6}},
            {.moved = {full(1, 2)}, .risen = {2, 2}},
            {.risen = {20, 20}, .members_changed = true, .read = Read::yes, .some_missing = true},
            {.risen = {0, 0},
             .members_changed = true,
             .read = Read::yes,
             .gone = {gone_not_full(0), gone_not_full(1), gone_not_full(2)}}},
       .attributed = {{{12, 12}, {4, 4}}},
       .unattributed = {12, 12}},
      {.name = "what one left behind while others have claims",
       .samples = {{.moved = {full(0, 9)}, .risen = {9, 9}},
                   {.moved = {full(1, 3)},
                    .risen = {8, 8},
                    .members_changed = true,
                    .read = Read::yes,
                    .some_missing = true},
                   {.moved = {full(1, 20)},
                    .risen = {20, 20},
                    .members_changed = true,
                    .read = Read::yes,
                    .gone = {gone_full(0)}},
                   {.moved = {full(1, 4)}, .risen = {4, 4}},
                   {}},
       .seen_full = {1},
       .attributed = {{{14, 14}, {27, 27}}}},
      {.name = "an amount is carried one sample only",
       .samples = {{.risen = {3, 3}, .members_changed = true},
                   {},
                   {.moved = {full(0, 3)}, .risen = {0, 0}},
                   {}},
       .unattributed = {3, 3}},
      {.name = "a claim is carried one sample only",
       .samples = {{.moved = {half(0, 3)}, .risen = {0, 0}},
                   {},
                   {.moved = {half(1, 1)}, .risen = {3, 0}},
                   {}},
       .attributed = {{{}, {1, 0}}},
       .unattributed = {2, 0}},
      {.name = "what a carried claim has had is not had twice",
       .samples = {{.moved = {half(0, 3)}, .risen = {2, 0}},
                   {.moved = {half(1, 1)}, .risen = {3, 0}},
                   {}},
       .attributed = {{{3, 0}, {1, 0}}},
       .unattributed = {1, 0}},
      {.name = "the only one, of a carried amount",
       .samples = {{.risen = {2, 0}}, {.moved = {low(0, 2)}, .risen = {0, 0}}, {}},
       .attributed = {{{2, 0}}}},
      {.name = "a listener goes and leaves drops: not its neighbour's noise",
       .samples = {{.risen = {2, 0}, .members_changed = true},
                   {.moved = {low(0, 2)}, .risen = {0, 0}},
                   {}},
       .unattributed = {2, 0}},
      {.name = "a listener that claimed in the sample before is no stranger",
       .samples = {{.moved = {low(1, 2)}, .risen = {0, 0}},
                   {.moved = {low(0, 2)}, .risen = {2, 0}},
                   {}},
       .unattributed = {2, 0}},
      {.name = "an overflow that is counted after its drop",
       .samples = {{.moved = {full(0, 2)}, .risen = {2, 1}}, {.risen = {0, 1}}, {}},
       .seen_full = {0},
       .attributed = {{{2, 2}}}},

      {.name = "at the end, to those seen full by what they have not got",
       .samples = {{.risen = {9, 9}, .members_changed = true},
                   {},
                   {.moved = {low(0, 6), low(1, 3), low(2, 50)}, .risen = {0, 0}},
                   {}},
       .seen_full = {0, 1},
       .attributed = {{{6, 6}, {3, 3}}}},
      {.name = "at the end, shared",
       .samples = {{.risen = {6, 6}, .members_changed = true},
                   {},
                   {.moved = {low(0, 5), low(1, 5)}, .risen = {0, 0}},
                   {}},
       .seen_full = {0, 1},
       .attributed = {{{3, 3}, {3, 3}}}},
      {.name = "at the end, first to whose claims were met before",
       .samples = {{.moved = {full(1, 6)}, .risen = {6, 6}},
                   {.risen = {4, 4}, .members_changed = true},
                   {},
                   {.moved = {low(0, 6), low(1, 6)}, .risen = {0, 0}},
                   {}},
       .seen_full = {0, 1},
       .attributed = {{{}, {10, 10}}}},
      {.name = "at the end, to nobody",
       .samples = {{.risen = {9, 9}, .members_changed = true},
                   {},
                   {.moved = {low(0, 6), low(1, 3)}, .risen = {0, 0}},
                   {}},
       .seen_full = {2},
       .unattributed = {9, 9}},
      {.name = "at the end, of the last sample too",
       .samples = {{.moved = {low(0, 6), low(1, 3)}, .risen = {4, 4}}},
       .seen_full = {0},
       .attributed = {{{4, 4}}}},

      {.name = "a restarted service: the old socket's last drops are nobody's",
       .samples = {{.moved = {full(0, 4)}, .risen = {4, 4}},
                   {.moved = {low(1, 7)}, .risen = {3, 3}, .members_changed = true},
                   {.moved = {full(0, 2)}, .risen = {2, 2}, .members_changed = true},
                   {}},
       .seen_full = {0},
       .attributed = {{{6, 6}}},
       .unattributed = {3, 3}},
      {.name = "counters not read for a while",
       .samples = {{.moved = {full(0, 4)},
                    .risen = {4, 4},
                    .members_changed = false,
                    .read = Read::failed},
                   {.moved = {full(0, 2)},
                    .risen = {2, 2},
                    .members_changed = false,
                    .read = Read::failed},
                   {.moved = {full(0, 3)}, .risen = {3, 3}}},
       .seen_full = {0},
       .attributed = {{{9, 9}}}},
      {.name = "counters not read for a while, then a stranger alone",
       .samples = {{.risen = {4, 4}, .members_changed = true, .read = Read::failed},
                   {},
                   {.moved = {low(0, 9)}, .risen = {0, 0}},
                   {}},
       .unattributed = {4, 4}},
      {.name = "counters not read at all",
       .samples = {{.moved = {full(0, 4)},
                    .risen = {4, 4},
                    .members_changed = false,
                    .read = Read::failed}},
       .seen_full = {0}},
  };
  return cases;
}

START_TEST(rules_of_sharing) {
  for (const Case &c : rules())
    check_case(c);
}
END_TEST

START_TEST(who_gets_nothing_is_granted_nothing) {
  // One drop, carried from the sample before, and two sockets that have gone full.
  CounterSplit split;
  std::vector<Claim> granted;
  split.end_sample(1, true, {}, false, granted);
  ck_assert(granted.empty());
  const std::array gone{GoneSocket{.listener = 0, .full = true},
                        GoneSocket{.listener = 1, .full = true}};
  split.end_sample(0, false, {.gone = gone, .some_missing = false}, false, granted);
  ck_assert_uint_eq(granted.size(), 1);
  ck_assert_uint_eq(granted[0].amount, 1);
  ck_assert_uint_eq(split.attributed(0) + split.attributed(1), 1);
}
END_TEST

START_TEST(reads_counters_only_when_they_can_matter) {
  DropLedger ledger;
  ck_assert(ledger.wants_counters(false, false)); // no baseline
  ledger.sample({}, false, std::nullopt);
  ck_assert(ledger.wants_counters(false, false));
  ck_assert(!ledger.has_baseline());
  ledger.sample({}, false, boot);
  ck_assert(ledger.has_baseline());
  ck_assert(!ledger.wants_counters(false, false));
  ck_assert(ledger.wants_counters(true, false));
  ck_assert(ledger.wants_counters(false, true));

  ledger.sample({}, true, ListenCounters{boot.drops + 1, boot.overflows});
  ck_assert(ledger.wants_counters(false, false)); // a drop is carried
  ck_assert(ledger.has_carried());
  ledger.sample({}, false, ListenCounters{boot.drops + 1, boot.overflows});
  ck_assert(!ledger.wants_counters(false, false));
  ck_assert(!ledger.has_carried());

  ledger.sample({}, false, ListenCounters{boot.drops + 1, boot.overflows + 1});
  ck_assert(ledger.wants_counters(false, false)); // an overflow is carried
  ck_assert(ledger.has_carried());
  ledger.sample({}, false, ListenCounters{boot.drops + 1, boot.overflows + 1});
  ck_assert(!ledger.wants_counters(false, false));

  const std::array moved = {low(0, 5)};
  ledger.sample(moved, false, ListenCounters{boot.drops + 1, boot.overflows + 1});
  ck_assert(!ledger.wants_counters(false, false)); // a claim alone is no reason
  ledger.sample(moved, false, std::nullopt);
  ck_assert(ledger.wants_counters(false, false)); // the last read failed
  ck_assert(!ledger.has_carried());
  ledger.sample({}, false, std::nullopt);
  ck_assert(ledger.wants_counters(false, false));
  ledger.sample({}, false, ListenCounters{boot.drops + 1, boot.overflows + 1});
  ck_assert(!ledger.wants_counters(false, false));
}
END_TEST

START_TEST(first_counters_are_the_baseline) {
  DropLedger ledger;
  const std::array moved = {full(0, 50)};
  ledger.sample(moved, true, std::nullopt);
  ledger.sample(moved, true, boot);
  ListenCounters kernel = boot;
  const Case c = {.name = "after the baseline",
                  .samples = {{.moved = {full(0, 2)}, .risen = {9, 9}}, {}},
                  .seen_full = {0},
                  .attributed = {{{2, 2}}},
                  .unattributed = {7, 7}};
  run(ledger, c, kernel);
  expect(ledger, c);
}
END_TEST

START_TEST(counters_that_go_down_are_a_new_baseline) {
  for (const ListenCounters &lower :
       {ListenCounters{3, 2}, ListenCounters{boot.drops - 1, boot.overflows + 5},
        ListenCounters{boot.drops + 5, boot.overflows - 1}}) {
    DropLedger ledger;
    ledger.sample({}, true, boot);
    const std::array moved = {full(0, 4)};
    ledger.sample(moved, false, lower);
    ListenCounters kernel = lower;
    const Case c = {.name = "after the fall",
                    .samples = {{.moved = {full(0, 2)}, .risen = {5, 4}}, {}},
                    .seen_full = {0},
                    .attributed = {{{5, 4}}}};
    run(ledger, c, kernel);
    expect(ledger, c);
  }
}
END_TEST

START_TEST(no_drops_are_carried_into_the_next_interval) {
  DropLedger ledger;
  ListenCounters kernel = boot;
  ledger.sample({}, true, kernel);
  const Case drops_left = {.name = "drops left",
                           .samples = {{.risen = {2, 2}, .members_changed = true}},
                           .unattributed = {2, 2}};
  run(ledger, drops_left, kernel);
  expect(ledger, drops_left);
  ledger.clear_interval();
  const Case not_theirs = {.name = "claims after them",
                           .samples = {{.moved = {full(0, 2)}, .risen = {0, 0}}},
                           .seen_full = {0},
                           .unattributed = {2, 2}};
  run(ledger, not_theirs, kernel);
  expect(ledger, not_theirs);
  ledger.clear_interval();
}
END_TEST

// The last dump of an interval comes after the counters: what was dropped between the two is told
// by the counters of the next one.
START_TEST(claims_of_the_last_sample_are_carried_into_the_next_interval) {
  struct Interval {
    std::vector<Sample> samples;
    std::vector<std::uint32_t> seen_full;
    ListenCounters attributed; ///< to listener 0
    ListenCounters unattributed;
  };
  struct Run {
    const char *name;
    std::vector<Interval> intervals;
  };
  for (const Run &c : std::vector<Run>{
           {"met by the next",
            {{{{{full(0, 2)}, {0, 0}}}, {0}, {}, {}}, {{{{}, {2, 2}}}, {}, {2, 2}, {}}}},
           {"of a queue never seen full",
            {{{{{low(0, 2)}, {0, 0}}}, {}, {}, {}}, {{{{}, {2, 0}}}, {}, {2, 0}, {}}}},
           {"those of earlier samples are not",
            {{{{{full(0, 2)}, {0, 0}}, {}, {}}, {0}, {}, {}}, {{{{}, {2, 2}}}, {}, {}, {2, 2}}}},
           {"nor longer than a sample",
            {{{{{full(0, 2)}, {0, 0}}}, {0}, {}, {}}, {{{}, {{}, {2, 2}, true}}, {}, {}, {2, 2}}}},
           {"not by what is left at the end",
            {{{{{}, {2, 2}, true}, {}, {{full(0, 3)}, {0, 0}}}, {0}, {}, {2, 2}},
             {{{{}, {2, 2}}}, {}, {2, 2}, {2, 2}}}},
       }) {
    DropLedger ledger;
    ListenCounters kernel = boot;
    ledger.sample({}, true, kernel);
    for (const Interval &interval : c.intervals) {
      const Case each = {.name = c.name,
                         .samples = interval.samples,
                         .seen_full = interval.seen_full,
                         .attributed = {{interval.attributed}},
                         .unattributed = interval.unattributed};
      run(ledger, each, kernel);
      expect(ledger, each);
      ledger.clear_interval();
    }
  }
}
END_TEST

START_TEST(a_new_listener_has_no_claims_of_the_one_before_it) {
  DropLedger ledger;
  ListenCounters kernel = boot;
  ledger.sample({}, true, kernel);
  const Case before = {
      .name = "before", .samples = {{.moved = {full(0, 2)}, .risen = {0, 0}}}, .seen_full = {0}};
  run(ledger, before, kernel);
  ledger.clear_interval();
  ledger.forget(0);
  const Case after = {.name = "after", .samples = {{.risen = {2, 2}}}, .unattributed = {2, 2}};
  run(ledger, after, kernel);
  expect(ledger, after);
}
END_TEST

START_TEST(attributed_is_of_the_interval) {
  DropLedger ledger;
  ListenCounters kernel = boot;
  ledger.sample({}, true, kernel);
  for (int interval = 0; interval < 3; ++interval) {
    const Case c = {.name = "interval",
                    .samples = {{.moved = {full(1, 3)}, .risen = {2, 1}}},
                    .seen_full = {1},
                    .attributed = {{{}, {2, 1}}}};
    run(ledger, c, kernel);
    expect(ledger, c);
    ledger.clear_interval();
    ck_assert_uint_eq(ledger.attributed(1).drops, 0);
    ck_assert_uint_eq(ledger.attributed(1).overflows, 0);
  }
  ck_assert_uint_eq(ledger.attributed(1000).drops, 0);
}
END_TEST

/// Gives count equal samples, an interval of 100 samples each, and returns the drops of listener
/// 0 in the last interval, per cent of all of it.
double share_of_first(DropLedger &ledger, ListenCounters &kernel, const Sample &sample,
                      int intervals) {
  ListenCounters first;
  std::uint64_t all = 0;
  for (int interval = 0; interval < intervals; ++interval) {
    ledger.clear_interval();
    const Case c = {.name = "", .samples = std::vector<Sample>(100, sample), .seen_full = {0, 1}};
    const ListenCounters before = kernel;
    run(ledger, c, kernel);
    first = ledger.attributed(0);
    all = kernel.drops - before.drops;
    ck_assert_uint_eq(first.drops + ledger.attributed(1).drops, all);
  }
  return 100.0 * static_cast<double>(first.drops) / static_cast<double>(all);
}

START_TEST(equals_share_equally) {
  for (const Sample &sample :
       {Sample{{full(0, 1), full(1, 1)}, {1, 1}}, Sample{{full(1, 1), full(0, 1)}, {1, 0}},
        Sample{{full(0, 2), full(1, 2)}, {2, 2}}, Sample{{full(0, 2), full(1, 2)}, {1, 1}},
        Sample{{full(0, 5), full(1, 5)}, {7, 7}}}) {
    DropLedger ledger;
    ListenCounters kernel = boot;
    ledger.sample({}, true, kernel);
    const double percent = share_of_first(ledger, kernel, sample, 20);
    ck_assert_msg(percent > 40 && percent < 60, "%.1f %% of %ju in each sample", percent,
                  std::uintmax_t{sample.risen.drops});
  }
}
END_TEST

START_TEST(final_acks_are_told_from_syns_beside_them) {
  DropLedger ledger;
  ListenCounters kernel = boot;
  ledger.sample({}, true, kernel);
  // Listener 0 drops SYNs only, of 1 a half are final ACKs; the queue of 0 is often one short of
  // full when it is looked at.
  std::minstd_rand random(1);
  std::array<std::uint64_t, 2> truth{};
  std::array<std::uint64_t, 2> given{};
  for (int interval = 0; interval < 6; ++interval) {
    ledger.clear_interval();
    Case c = {"", {}, {0, 1}, {}, {}};
    truth = {};
    for (int sample = 0; sample < 400; ++sample) {
      const auto syns = static_cast<std::uint32_t>(random() % 5);
      const auto final_acks = static_cast<std::uint32_t>(random() % 5);
      const std::uint64_t risen = 2 * syns + final_acks;
      std::vector<DropsMoved> moved;
      if (syns > 0)
        moved.push_back(random() % 2 == 0 ? full(0, syns) : half(0, syns));
      if (syns + final_acks > 0)
        moved.push_back(full(1, syns + 2 * final_acks));
      c.samples.push_back({moved, {risen, risen}});
      truth[0] += syns;
      truth[1] += syns + final_acks;
    }
    run(ledger, c, kernel);
    given = {ledger.attributed(0).drops, ledger.attributed(1).drops};
  }
  const std::uint64_t wrong = std::max(given[0], truth[0]) - std::min(given[0], truth[0]);
  ck_assert_uint_eq(given[0] + given[1], truth[0] + truth[1]);
  ck_assert_msg(100 * wrong < truth[0], "%ju of %ju", std::uintmax_t{given[0]},
                std::uintmax_t{truth[0]});
}
END_TEST

/// A fit of listeners of whose claims these shares are met, after so many samples of all.
ShareFit fit_of(std::span<const double> shares, int samples) {
  ShareFit fit;
  std::minstd_rand random(1);
  for (int sample = 0; sample < samples; ++sample) {
    double amount = 0;
    for (std::uint32_t listener = 0; listener < shares.size(); ++listener) {
      const auto claimed = static_cast<double>(1 + random() % 20);
      // The share that was met before is the prior of the next.
      fit.claim(listener, claimed, fit.share(listener).value_or(0.5));
      amount += shares[listener] * claimed;
    }
    fit.end_sample(amount);
  }
  return fit;
}

START_TEST(shares_are_fitted) {
  for (const std::vector<double> &shares :
       {std::vector<double>{1}, {0.5}, {0}, {1, 0.5, 1}, {0, 1}, {0.3, 0.9, 0.6, 0.1, 1, 0}}) {
    const ShareFit fit = fit_of(shares, 1000);
    for (std::uint32_t listener = 0; listener < shares.size(); ++listener)
      ck_assert_double_eq_tol(fit.share(listener).value(), shares[listener], 0.05);
  }
}
END_TEST

START_TEST(shares_begin_with_the_prior_and_can_be_forgotten) {
  ShareFit fit = fit_of(std::vector<double>{1, 1}, 1);
  ck_assert_double_gt(fit.share(0).value(), 0.5);
  ck_assert_double_lt(fit.share(0).value(), 0.8);
  ck_assert(!fit.share(2));
  fit.forget(0);
  ck_assert(!fit.share(0));
  ck_assert(fit.share(1));
}
END_TEST

START_TEST(shares_of_more_listeners_than_are_fitted) {
  // The others are taken for their prior, which they are.
  std::vector<double> shares(30, 0.5);
  shares[0] = 1;
  shares[1] = 0;
  const ShareFit fit = fit_of(shares, 2000);
  std::size_t fitted = 0;
  for (std::uint32_t listener = 0; listener < shares.size(); ++listener)
    fitted += fit.share(listener) ? 1 : 0;
  ck_assert_uint_eq(fitted, 16);
  ck_assert_double_gt(fit.share(0).value(), 0.5);
  ck_assert_double_lt(fit.share(1).value(), 0.5);
}
END_TEST

START_TEST(noise_is_told_from_drops_by_experience) {
  DropLedger ledger;
  ListenCounters kernel = boot;
  ledger.sample({}, true, kernel);
  // Listener 0 is alone with its noise, 1 with its drops.
  share_of_first(ledger, kernel, {{full(1, 4)}, {4, 4}}, 1);
  const Case noise = {.name = "noise", .samples = std::vector<Sample>(100, {{low(0, 40)}, {0, 0}})};
  run(ledger, noise, kernel);
  // Then both are full at once, and only 1 drops.
  const double percent = share_of_first(ledger, kernel, {{full(0, 4), full(1, 4)}, {4, 4}}, 1);
  ck_assert_msg(percent < 5, "%.1f %%", percent);
}
END_TEST

START_TEST(past_noise_does_not_count_for_good) {
  DropLedger ledger;
  ListenCounters kernel = boot;
  ledger.sample({}, true, kernel);
  const Case noise = {.name = "noise",
                      .samples = std::vector<Sample>(1000, {{low(0, 40)}, {0, 0}})};
  run(ledger, noise, kernel);
  share_of_first(ledger, kernel, {{full(0, 4)}, {4, 4}}, 8);
  const double percent = share_of_first(ledger, kernel, {{full(0, 4), full(1, 4)}, {6, 6}}, 1);
  ck_assert_msg(percent > 40, "%.1f %%", percent);
}
END_TEST

START_TEST(forgotten_listener_starts_anew) {
  DropLedger ledger;
  ListenCounters kernel = boot;
  ledger.sample({}, true, kernel);
  const Case noise = {.name = "noise",
                      .samples = std::vector<Sample>(1000, {{low(0, 40)}, {0, 0}})};
  run(ledger, noise, kernel);
  ledger.clear_interval();
  ledger.forget(0);
  ledger.forget(1000);
  const Case c = {.name = "equal",
                  .samples = {{.moved = {full(0, 10), full(1, 10)}, .risen = {10, 10}}},
                  .attributed = {{{5, 5}, {5, 5}}}};
  run(ledger, c, kernel);
  expect(ledger, c);
}
END_TEST

START_TEST(large_numbers) {
  constexpr std::uint64_t all = 0xffffffff;
  const Case cases[] = {
      {.name = "all",
       .samples = {{.moved = {full(0, all), full(1, all)}, .risen = {2 * all, 2 * all}}},
       .attributed = {{{all, all}, {all, all}}}},
      {.name = "half",
       .samples = {{.moved = {full(0, all), full(1, all)}, .risen = {all - 1, 0}}},
       .attributed = {{{(all - 1) / 2, 0}, {(all - 1) / 2, 0}}}},
      {.name = "too much",
       .samples = {{.moved = {full(0, all)}, .risen = {1ULL << 62, 1ULL << 61}}},
       .seen_full = {0},
       .attributed = {{{all, all}}},
       .unattributed = {(1ULL << 62) - all, (1ULL << 61) - all}},
  };
  for (const Case &c : cases)
    check_case(c);
}
END_TEST

/// The identities hold over any history.
class Audit {
public:
  explicit Audit(std::uint32_t seed) : random_(seed) { ledger_.sample({}, true, kernel_); }

  void interval() {
    std::array<std::uint64_t, listeners> claimed{};
    for (int sample = 0; sample < 30; ++sample)
      one_sample(claimed);
    const bool read = up_to(3) > 0;
    ledger_.sample({}, false, read ? std::optional(kernel_) : std::nullopt);
    if (read)
      read_ = kernel_;
    ledger_.settle([this](std::uint32_t) { return up_to(1) == 0; });
    for (std::uint32_t listener = 0; listener < listeners; ++listener) {
      const ListenCounters got = ledger_.attributed(listener);
      attributed_ = attributed_ + got;
      ck_assert_uint_le(got.overflows, got.drops);
      ck_assert_uint_le(got.drops, claimed[listener]);
    }
    ledger_.clear_interval();
    const ListenCounters rest = ledger_.unattributed();
    ck_assert_uint_eq(attributed_.drops + rest.drops, read_.drops - boot.drops);
    ck_assert_uint_eq(attributed_.overflows + rest.overflows, read_.overflows - boot.overflows);
  }

private:
  static constexpr std::uint32_t listeners = 6;

  std::uint32_t up_to(std::uint32_t most) {
    return std::uniform_int_distribution<std::uint32_t>(0, most)(random_);
  }

  void one_sample(std::array<std::uint64_t, listeners> &claimed) {
    std::vector<DropsMoved> moved;
    for (std::uint32_t sockets = up_to(4); sockets > 0; --sockets) {
      const bool is_full = up_to(2) == 0;
      moved.push_back({up_to(listeners - 1), 1 + up_to(9), is_full, is_full || up_to(2) == 0});
      claimed[moved.back().listener] += moved.back().drops;
    }
    const std::uint32_t drops = up_to(1) * up_to(20);
    kernel_ = kernel_ + ListenCounters{drops, up_to(drops)};
    const bool members_changed = up_to(9) == 0;
    const bool read = ledger_.wants_counters(!moved.empty(), members_changed) && up_to(9) > 0;
    ledger_.sample(moved, members_changed, read ? std::optional(kernel_) : std::nullopt);
    if (read)
      read_ = kernel_;
  }

  std::mt19937 random_;
  DropLedger ledger_;
  ListenCounters kernel_ = boot;
  ListenCounters read_ = boot;
  ListenCounters attributed_;
};

START_TEST(nothing_is_lost_or_invented) {
  for (std::uint32_t seed = 0; seed < 50; ++seed) {
    Audit audit(seed);
    for (int interval = 0; interval < 10; ++interval)
      audit.interval();
  }
}
END_TEST

START_TEST(does_not_allocate_once_steady) {
  DropLedger ledger;
  ListenCounters kernel = boot;
  ledger.sample({}, true, kernel);
  std::vector<DropsMoved> moved;
  for (std::uint32_t listener = 0; listener < 100; ++listener)
    moved.push_back({listener, 3, listener % 2 == 0, listener % 3 == 0});
  std::size_t before = 0;
  for (int sample = 0; sample < 20; ++sample) {
    if (sample == 10)
      before = allocation_count;
    kernel = kernel + ListenCounters{200, 150};
    ledger.sample(moved, false, kernel);
  }
  ck_assert_uint_eq(allocation_count - before, 0);
}
END_TEST

/// A recording of listeners that each lived in a net namespace of its own, so that its counters
/// tell whose the drops were. Together they are what one namespace would have shown.
class Recording {
public:
  struct Socket {
    std::uint64_t cookie = 0;
    std::uint32_t length = 0;
    std::uint32_t limit = 0;
    std::uint32_t drops = 0;
  };
  struct Listener {
    ListenCounters counters;
    std::vector<Socket> sockets;
  };
  using Instant = std::vector<Listener>;

  /// A line: instant (10 ms each) listener ListenDrops ListenOverflows, and for each socket
  /// cookie:length:limit:sk_drops. It is left out while it does not change.
  explicit Recording(const std::string &run) {
    const std::string command = "gzip -dc '" FIXTURES_DIR "/drops/" + run + ".log.gz'";
    std::FILE *pipe = popen(command.c_str(), "r"); // NOLINT(cert-env33-c): a path of the tree
    ck_assert_ptr_nonnull(pipe);
    std::array<char, 4096> line{};
    Instant last;
    while (std::fgets(line.data(), line.size(), pipe) != nullptr)
      parse(line.data(), last);
    ck_assert_int_eq(pclose(pipe), 0);
    instants_.push_back(last);
  }

  const std::vector<Instant> &instants() const { return instants_; }

private:
  void parse(const std::string &line, Instant &last) {
    std::istringstream fields(line);
    std::size_t instant = 0;
    std::size_t index = 0;
    Listener listener;
    fields >> instant >> index >> listener.counters.drops >> listener.counters.overflows;
    char colon = 0;
    for (Socket s; fields >> s.cookie >> colon >> s.length >> colon >> s.limit >> colon >> s.drops;)
      listener.sockets.push_back(s);
    while (instants_.size() < instant)
      instants_.push_back(last);
    last.resize(std::max(last.size(), index + 1));
    last[index] = listener;
  }

  std::vector<Instant> instants_;
};

/// Every pace-th instant of a recording, from the first-th on, seen as the plugin sees it.
class Replay {
public:
  Replay(const Recording &recording, std::size_t pace, std::size_t first) {
    const auto &instants = recording.instants();
    truth_ = instants[first];
    sample(instants[first], true);
    settle(instants[first]);
    std::size_t interval_end = first + interval;
    for (std::size_t i = first + pace; i < instants.size(); i += pace) {
      const bool harvest = i >= interval_end || i + pace >= instants.size();
      sample(instants[i], harvest);
      if (!harvest)
        continue;
      if (set_.has_missed() || ledger_.has_carried())
        sample(instants[i], true);
      settle(instants[i]);
      interval_end = i + interval;
    }
  }

  std::uint64_t drops() const { return drops_; }
  /// Given to a listener beyond what it had in the interval.
  ListenCounters misattributed() const { return misattributed_; }

private:
  static constexpr std::size_t interval = 1000; // instants: 10 s

  void sample(const Recording::Instant &instant, bool harvest) {
    set_.begin_sample();
    for (std::size_t index = 0; index < instant.size(); ++index)
      for (const Recording::Socket &socket : instant[index].sockets)
        set_.see(
            {.cookie = socket.cookie,
             .length = socket.length,
             .limit = socket.limit,
             .drops = socket.drops},
            [index] { return ListenerIdentity{.name = std::to_string(index), .address = ""}; });
    set_.end_sample(now_ += 10ms, 1h);
    const bool wanted =
        harvest || ledger_.wants_counters(!set_.drops_moved().empty(), set_.members_changed());
    ledger_.sample(set_.drops_moved(), set_.members_changed(),
                   wanted ? std::optional(total(instant)) : std::nullopt,
                   {.gone = set_.gone_sockets(), .some_missing = set_.has_missed()});
  }

  void settle(const Recording::Instant &instant) {
    ledger_.settle([this](std::uint32_t listener) { return set_.was_full(listener); });
    std::vector<ListenCounters> got(instant.size());
    for (const ListenerInterval &listener : set_.harvest().listeners) {
      got[std::stoul(listener.identity.name)] = ledger_.attributed(listener.index);
      if (listener.members == 0)
        ledger_.forget(listener.index);
    }
    for (std::size_t index = 0; index < instant.size(); ++index) {
      const std::uint64_t drops = instant[index].counters.drops - truth_[index].counters.drops;
      const std::uint64_t overflows =
          instant[index].counters.overflows - truth_[index].counters.overflows;
      drops_ += drops;
      misattributed_ =
          misattributed_ +
          ListenCounters{got[index].drops - std::min(got[index].drops, drops),
                         got[index].overflows - std::min(got[index].overflows, overflows)};
    }
    truth_ = instant;
    ledger_.clear_interval();
  }

  static ListenCounters total(const Recording::Instant &instant) {
    ListenCounters sum;
    for (const Recording::Listener &listener : instant)
      sum = sum + listener.counters;
    return sum;
  }

  ListenerSet set_{[](const ListenerIdentity &, ListenerSet::Duration) { return false; }};
  ListenerSet::TimePoint now_{};
  DropLedger ledger_;
  Recording::Instant truth_; ///< at the begin of the interval
  std::uint64_t drops_ = 0;
  ListenCounters misattributed_;
};

struct Run {
  const char *name;
  const char *mix;
  std::array<double, 3> most_percent; ///< misattributed at 10, 20 and 50 ms
};

constexpr Run counters_then_dump[] = {
    {.name = "s1",
     .mix = "SYN overflow, healthy deferred accept",
     .most_percent = {0.05, 0.05, 0.05}},
    {.name = "s2",
     .mix = "SYN overflow, deferred accept briefly full",
     .most_percent = {0.05, 0.05, 0.05}},
    {.name = "s3", .mix = "SYN overflow, final ACK overflow", .most_percent = {0.05, 0.05, 0.05}},
    {.name = "s4",
     .mix = "SYN, final ACK, deferred briefly full, slow server",
     .most_percent = {0.15, 0.2, 0.4}},
    {.name = "s5",
     .mix = "SYN overflow, restarted; deferred briefly full",
     .most_percent = {0.1, 0.1, 0.1}},
    {.name = "s6", .mix = "SYN overflow, scanned listener", .most_percent = {0.05, 0.05, 0.15}},
    {.name = "s7",
     .mix = "SYN, deferred, final ACK, all permanently full",
     .most_percent = {0.65, 0.9, 1.55}},
};

// The plugin's order.
constexpr Run dump_then_counters[] = {
    {.name = "rs2", .mix = "as s2", .most_percent = {0.05, 0.05, 0.05}},
    {.name = "rs4", .mix = "as s4", .most_percent = {0.1, 0.15, 0.3}},
    {.name = "rs5", .mix = "as s5", .most_percent = {0.2, 0.15, 0.3}},
};

void check_run(const Run &run) {
  constexpr std::array<std::size_t, 3> paces = {1, 2, 5}; // of 10 ms
  const Recording recording(run.name);
  ck_assert_uint_gt(recording.instants().size(), 4000);
  for (std::size_t p = 0; p < paces.size(); ++p) {
    std::uint64_t drops = 0;
    ListenCounters misattributed;
    for (std::size_t first = 0; first < paces[p]; ++first) {
      const Replay replay(recording, paces[p], first);
      drops += replay.drops();
      misattributed = misattributed + replay.misattributed();
    }
    ck_assert_uint_gt(drops, 0);
    for (const std::uint64_t wrong : {misattributed.drops, misattributed.overflows}) {
      const double percent = 100.0 * static_cast<double>(wrong) / static_cast<double>(drops);
      ck_assert_msg(percent <= run.most_percent[p], "%s (%s) at %zu ms: %.2f %% misattributed",
                    run.name, run.mix, 10 * paces[p], percent);
    }
  }
}

START_TEST(recorded_counters_then_dump) {
  for (const Run &run : counters_then_dump)
    check_run(run);
}
END_TEST

START_TEST(recorded_dump_then_counters) {
  for (const Run &run : dump_then_counters)
    check_run(run);
}
END_TEST

} // namespace
} // namespace backlog

int main() {
  using namespace backlog;
  return run_tests("drops", kernel_events_alone, kernel_events_beside_noise, rules_of_sharing,
                   who_gets_nothing_is_granted_nothing, reads_counters_only_when_they_can_matter,
                   first_counters_are_the_baseline, counters_that_go_down_are_a_new_baseline,
                   no_drops_are_carried_into_the_next_interval,
                   claims_of_the_last_sample_are_carried_into_the_next_interval,
                   a_new_listener_has_no_claims_of_the_one_before_it, attributed_is_of_the_interval,
                   equals_share_equally, final_acks_are_told_from_syns_beside_them,
                   shares_are_fitted, shares_begin_with_the_prior_and_can_be_forgotten,
                   shares_of_more_listeners_than_are_fitted, noise_is_told_from_drops_by_experience,
                   past_noise_does_not_count_for_good, forgotten_listener_starts_anew,
                   large_numbers, nothing_is_lost_or_invented, does_not_allocate_once_steady,
                   recorded_counters_then_dump, recorded_dump_then_counters);
}
