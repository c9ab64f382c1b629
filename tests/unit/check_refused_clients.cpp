#include "refused_clients.h"
#include "test_program.h"

#include <string>
#include <vector>

using namespace backlog;
using namespace std::chrono_literals;

namespace {

/// What a sample found.
struct Look {
  std::chrono::milliseconds at;
  RefusedClients::Segments refused;
  std::uint64_t length = 0;
  bool accepted = false;
  std::optional<std::uint64_t> syns_again{};
  std::chrono::milliseconds apart{10}; ///< since the one before
};

struct Case {
  const char *name;
  std::vector<Look> samples;
  std::uint64_t unlimited_peak = 0;
};

std::vector<Case> cases() {
  return {
      {.name = "nobody refused", .samples = {{10ms, {}, 5}}},
      {.name = "a burst",
       .samples = {{10ms, {.syns = 20}, 9}, {20ms, {.syns = 3}, 9}, {30ms, {}, 4}},
       .unlimited_peak = 32},
      {.name = "a burst that is over before the next sample",
       .samples = {{10ms, {.syns = 20}, 0}},
       .unlimited_peak = 29},
      {.name = "the same clients again after a second",
       .samples = {{10ms, {.syns = 20}, 9}, {1020ms, {.syns = 20}, 9}},
       .unlimited_peak = 30},
      {.name = "as late as a timer of the kernel can be",
       .samples = {{10ms, {.syns = 20}, 9}, {1130ms, {.syns = 20}, 9}},
       .unlimited_peak = 30},
      {.name = "and as late as a sample can be behind it",
       .samples = {{10ms, {.syns = 20}, 9}, {1175ms, {.syns = 20}, 9}},
       .unlimited_peak = 30},
      {.name = "later than that they are others, since nobody has found room",
       .samples = {{10ms, {.syns = 20}, 9}, {1176ms, {.syns = 20}, 9}},
       .unlimited_peak = 49},
      {.name = "as early as a timer of the kernel can be",
       .samples = {{10ms, {.syns = 20}, 9}, {996ms, {.syns = 20}, 9}},
       .unlimited_peak = 30},
      {.name = "earlier than that",
       .samples = {{10ms, {.syns = 20}, 9}, {995ms, {.syns = 20}, 9}},
       .unlimited_peak = 49},
      {.name = "one client, gone before the next sample",
       .samples = {{10ms, {.syns = 1}, 0}},
       .unlimited_peak = 10},
      {.name = "one client, three times",
       .samples = {{10ms, {.syns = 1}, 9}, {1020ms, {.syns = 1}, 9}, {3030ms, {.syns = 1}, 9}},
       .unlimited_peak = 11},
      {.name = "those of 30 ms are due together",
       .samples = {{10ms, {.syns = 20}, 9}, {40ms, {.syns = 5}, 9}, {996ms, {.syns = 25}, 9}},
       .unlimited_peak = 36},
      {.name = "those of a longer time are not",
       .samples = {{10ms, {.syns = 20}, 9}, {41ms, {.syns = 5}, 9}, {996ms, {.syns = 25}, 9}},
       .unlimited_peak = 41},
      {.name = "newcomers that are due with others wait for less long than these afterwards",
       .samples = {{10ms, {.syns = 20}, 9},
                   {1020ms, {.syns = 20}, 9},
                   {2020ms, {.syns = 5}, 9},
                   {3020ms, {.syns = 25}, 9},
                   {5030ms, {.syns = 5}, 9}},
       .unlimited_peak = 36},
      {.name = "others half a second later",
       .samples = {{10ms, {.syns = 20}, 9}, {510ms, {.syns = 20}, 9}},
       .unlimited_peak = 49},
      {.name = "the same and others after a second",
       .samples = {{10ms, {.syns = 20}, 9}, {1020ms, {.syns = 25}, 9}},
       .unlimited_peak = 36},
      {.name = "... as Linux did before",
       .samples = {{10ms, {.syns = 20}, 9}, {1020ms, {.syns = 20}, 9}, {3030ms, {.syns = 20}, 9}},
       .unlimited_peak = 30},
      {.name = "again and again, as Linux 6.5 does",
       .samples = {{10ms, {.syns = 20}, 9},
                   {1020ms, {.syns = 20}, 9},
                   {2030ms, {.syns = 20}, 9},
                   {3040ms, {.syns = 20}, 9},
                   {4050ms, {.syns = 20}, 9},
                   {5060ms, {.syns = 20}, 9},
                   {7070ms, {.syns = 20}, 9}},
       .unlimited_peak = 30},
      {.name = "found room after a second",
       .samples = {{10ms, {.syns = 20}, 9}, {1020ms, {}, 9}, {1200ms, {}, 7}},
       .unlimited_peak = 29},
      {.name = "others long after those found room",
       .samples = {{10ms, {.syns = 20}, 9}, {1200ms, {}, 7}, {5000ms, {.syns = 4}, 9}},
       .unlimited_peak = 29},
      {.name = "others after those found room between two looks",
       .samples = {{10ms, {.syns = 20}, 9}, {1020ms, {}, 9, true}, {1500ms, {.syns = 4}, 9}},
       .unlimited_peak = 29},
      {.name = "others after those gave up, since nobody was accepted",
       .samples = {{10ms, {.syns = 20}, 9}, {1500ms, {}, 9}, {2600ms, {.syns = 4}, 9}},
       .unlimited_peak = 33},
      {.name = "others when those would have come again, but no SYN was sent again",
       .samples = {{10ms, {.syns = 20}, 9, false, 0U}, {1020ms, {.syns = 20}, 9, false, 0U}},
       .unlimited_peak = 49},
      {.name = "the same and others, told apart by the SYNs sent again",
       .samples = {{10ms, {.syns = 20}, 9, false, 0U}, {1020ms, {.syns = 20}, 9, false, 5U}},
       .unlimited_peak = 45},
      {.name = "those who gave up would have been accepted with the others",
       .samples = {{10ms, {.syns = 4}, 8},
                   {9000ms, {}, 8},
                   {9010ms, {}, 4},
                   {9020ms, {}, 0},
                   {9100ms, {.syns = 4}, 8}},
       .unlimited_peak = 13},
      {.name = "others when those would have been accepted",
       .samples = {{10ms, {.syns = 4}, 8}, {20ms, {}, 4}, {30ms, {}, 0}, {80ms, {.syns = 4}, 8}},
       .unlimited_peak = 13},
      {.name = "others when half of those would have been accepted",
       .samples = {{10ms, {.syns = 20}, 8}, {20ms, {}, 4}, {30ms, {}, 0}, {65ms, {.syns = 20}, 8}},
       .unlimited_peak = 39},
      {.name = "final ACKs, and the requests that follow them",
       .samples = {{10ms, {.final_acks = 20, .repeated = 12}, 9},
                   {20ms, {.repeated = 8}, 9},
                   {230ms, {.repeated = 20}, 9},
                   {660ms, {.repeated = 20}, 9}},
       .unlimited_peak = 29},
      {.name = "final ACKs, and SYNs from then on",
       .samples = {{10ms, {.final_acks = 20, .repeated = 20}, 9},
                   {20ms, {.syns = 10}, 9},
                   {230ms, {.repeated = 20}, 9},
                   {1030ms, {.syns = 10, .repeated = 20}, 9}},
       .unlimited_peak = 40},
      {.name = "final ACKs again, since the SYN-ACK came again",
       .samples = {{10ms, {.final_acks = 20}, 9},
                   {1020ms, {.repeated = 20}, 9},
                   {3040ms, {.repeated = 20}, 9}},
       .unlimited_peak = 29},
      {.name = "SYNs, which find room the next time, but not their final ACKs",
       .samples = {{10ms, {.syns = 20}, 9}, {1020ms, {.final_acks = 20}, 9}},
       .unlimited_peak = 29},
      {.name = "those of cookies, of which nothing comes again for a while",
       .samples = {{10ms, {.final_acks = 20}, 9}, {2000ms, {.syns = 4}, 9}},
       .unlimited_peak = 33},
      {.name = "... and for long",
       .samples = {{10ms, {.final_acks = 20}, 9}, {3500ms, {}, 4}, {8000ms, {.syns = 4}, 9}},
       .unlimited_peak = 29},
      {.name = "those who would have been accepted since",
       .samples =
           {{10ms, {.final_acks = 4}, 8}, {20ms, {}, 4}, {30ms, {}, 0}, {80ms, {.syns = 4}, 8}},
       .unlimited_peak = 13},
      {.name = "again and again, until they give up after eight times",
       .samples = {{10ms, {.syns = 20}, 9},
                   {1020ms, {.syns = 20}, 9},
                   {2030ms, {.syns = 20}, 9},
                   {3040ms, {.syns = 20}, 9},
                   {4050ms, {.syns = 20}, 9},
                   {5060ms, {.syns = 20}, 9},
                   {7070ms, {.syns = 20}, 9},
                   {11080ms, {.syns = 20}, 9},
                   {19090ms, {.syns = 20}, 9}},
       .unlimited_peak = 30},
      {.name = "others after that, beside those who gave up",
       .samples = {{10ms, {.syns = 20}, 9},
                   {1020ms, {.syns = 20}, 9},
                   {2030ms, {.syns = 20}, 9},
                   {3040ms, {.syns = 20}, 9},
                   {4050ms, {.syns = 20}, 9},
                   {5060ms, {.syns = 20}, 9},
                   {7070ms, {.syns = 20}, 9},
                   {11080ms, {.syns = 20}, 9},
                   {19090ms, {.syns = 20}, 9},
                   {35100ms, {.syns = 20}, 9}},
       .unlimited_peak = 51},
      {.name = "others after a look at which there was room all the time",
       .samples = {{10ms, {.syns = 20}, 4}, {1500ms, {.syns = 4}, 9}},
       .unlimited_peak = 29},
      {.name = "others after those were accepted at the moment they were due",
       .samples = {{10ms, {.syns = 20}, 9}, {996ms, {}, 9, true}, {1500ms, {.syns = 4}, 9}},
       .unlimited_peak = 29},
      {.name = "others after one found room",
       .samples = {{10ms, {.syns = 1}, 9}, {1200ms, {}, 7}, {5000ms, {.syns = 4}, 9}},
       .unlimited_peak = 13},
      {.name = "none can have come again before there were any",
       .samples = {{10ms, {.syns = 20}, 9, false, 50U}, {1020ms, {.syns = 20}, 9, false, 0U}},
       .unlimited_peak = 49},
      {.name = "SYNs sent again that are not known are not there",
       .samples = {{10ms, {.syns = 20}, 9, false, 0U},
                   {100ms, {}, 9},
                   {200ms, {}, 9},
                   {300ms, {}, 9},
                   {400ms, {}, 9},
                   {500ms, {}, 9},
                   {600ms, {}, 9},
                   {700ms, {}, 9},
                   {800ms, {}, 9},
                   {1020ms, {.syns = 20}, 9, false, 0U}},
       .unlimited_peak = 49},
      {.name = "where they are counted, few are taken for others, also when nobody comes",
       .samples = {{10ms, {.syns = 100}, 9, false, 0U},
                   {1020ms, {.syns = 100}, 9, false, 100U},
                   {1030ms, {}, 9}},
       .unlimited_peak = 111},
      {.name = "they are counted from a single SYN on",
       .samples = {{10ms, {.syns = 100}, 9},
                   {1020ms, {.syns = 100}, 9},
                   {1030ms, {.syns = 1}, 9, false, 0U}},
       .unlimited_peak = 114},
      {.name = "final ACKs, then room and three seconds of silence",
       .samples = {{10ms, {.final_acks = 20}, 9}, {100ms, {}, 4}, {3500ms, {.syns = 4}, 9}},
       .unlimited_peak = 29},
      {.name = "no more than three seconds",
       .samples = {{10ms, {.final_acks = 20}, 9}, {100ms, {}, 4}, {3020ms, {.syns = 4}, 9}},
       .unlimited_peak = 33},
      {.name = "room, and no silence yet",
       .samples = {{10ms, {.final_acks = 20}, 9}, {100ms, {}, 4}, {500ms, {.syns = 4}, 9}},
       .unlimited_peak = 33},
      {.name = "silence, and room only when they came",
       .samples = {{10ms, {.final_acks = 20}, 9, true}, {3500ms, {.syns = 4}, 9}},
       .unlimited_peak = 33},
      {.name = "heard of for 3 s, and not for twice as long",
       .samples = {{10ms, {.final_acks = 20}, 9},
                   {3010ms, {.repeated = 20}, 9},
                   {3100ms, {}, 4},
                   {9500ms, {.syns = 4}, 9}},
       .unlimited_peak = 29},
      {.name = "heard of for 3 s, and not for nearly twice as long",
       .samples = {{10ms, {.final_acks = 20}, 9},
                   {3010ms, {.repeated = 20}, 9},
                   {3100ms, {}, 4},
                   {8000ms, {.syns = 4}, 9}},
       .unlimited_peak = 33},
      {.name = "a single final ACK",
       .samples = {{10ms, {.final_acks = 1}, 9}, {500ms, {.syns = 4}, 9}},
       .unlimited_peak = 14},
      {.name = "ACKs and data, which come again twice; SYNs meanwhile",
       .samples = {{10ms, {.syns = 5, .acks = 40}, 9},
                   {100ms, {.syns = 5}, 9},
                   {220ms, {.syns = 5, .acks = 20}, 9},
                   {450ms, {.acks = 20}, 9},
                   {600ms, {}, 0}},
       .unlimited_peak = 44},
      {.name = "data alone, which comes again",
       .samples = {{10ms, {.acks = 20}, 9}, {220ms, {.acks = 20}, 9}, {400ms, {}, 0}},
       .unlimited_peak = 29},
      {.name = "ACKs alone, of which none comes again",
       .samples = {{10ms, {.acks = 20}, 9}, {400ms, {}, 9}},
       .unlimited_peak = 29},
      {.name = "ACKs of clients that send data, and of some that do not",
       .samples = {{10ms, {.acks = 20}, 9}, {220ms, {.acks = 8}, 9}, {450ms, {.acks = 8}, 9}},
       .unlimited_peak = 21},
      {.name = "ACKs and data, and room before they can come again",
       .samples = {{10ms, {.acks = 20}, 9}, {100ms, {}, 0}},
       .unlimited_peak = 29},
      {.name = "more than can come again: the others are newcomers' SYNs",
       .samples = {{10ms, {.acks = 20}, 9},
                   {220ms, {.acks = 30}, 9},
                   {450ms, {.acks = 25}, 9},
                   {500ms, {}, 0}},
       .unlimited_peak = 44},
      {.name = "the queue grows while they are away",
       .samples = {{10ms, {.syns = 20}, 9}, {500ms, {}, 2}, {600ms, {}, 9}},
       .unlimited_peak = 29},
  };
}

void note(const std::vector<Look> &looks, RefusedClients &refused) {
  const RefusedClients::TimePoint start{1h};
  for (const Look &look : looks)
    refused.note({.refused = look.refused,
                  .syns_again = look.syns_again,
                  .accepted = look.accepted,
                  .length = look.length,
                  .capacity = 9,
                  .before = start + look.at - look.apart,
                  .now = start + look.at});
}

START_TEST(who_is_refused_again_is_one_client) {
  for (const Case &tried : cases()) {
    RefusedClients refused;
    note(tried.samples, refused);
    const std::uint64_t peak = refused.take_unlimited_peak();
    ck_assert_msg(peak == tried.unlimited_peak, "%s: peak %llu", tried.name,
                  static_cast<unsigned long long>(peak));
  }
}
END_TEST

START_TEST(each_interval_has_its_own_peak) {
  const struct {
    const char *name;
    std::vector<std::vector<Look>> intervals;
    std::vector<std::uint64_t> peaks;
  } cases[] = {
      {"they would be in the queue beside those that are",
       {{{10ms, {.syns = 20}, 9}, {20ms, {}, 4}}, {{30ms, {}, 2}}},
       {29, 24}},
      {"a pause that ends just after an interval, before the next sample",
       {{{10ms, {.syns = 20}, 9}}, {{20ms, {}, 0}}, {{30ms, {}, 4}}},
       {29, 29, 24}},
      {"an empty queue of which nobody knows how fast it is accepted from",
       {{{10ms, {.syns = 20}, 0}}, {{30ms, {}, 0}}},
       {29, 20}},
      {"who gave up is forgotten after a minute",
       {{{10ms, {.syns = 20}, 9}}, {{60020ms, {}, 9}}, {{60500ms, {.syns = 4}, 9}}},
       {29, 29, 13}},
      {"... and no sooner",
       {{{10ms, {.syns = 20}, 9}}, {{60010ms, {}, 9}}, {{60500ms, {.syns = 4}, 9}}},
       {29, 29, 33}},
      {"... nor at the next look",
       {{{10ms, {.syns = 20}, 9}}, {{25s, {}, 9}}, {{25500ms, {.syns = 4}, 9}}},
       {29, 29, 33}},
      {"room at the end of a long look, in which they were due",
       {{{10ms, {.syns = 20}, 9}, {20ms, {}, 4}},
        {{2000ms, {}, 4, false, {}, 1010ms}},
        {{2010ms, {}, 4}}},
       {29, 24, 0}},
      {"two looks at one moment tell no rate",
       {{{10ms, {.syns = 20}, 9}, {10ms, {}, 4, false, {}, 0ms}, {20ms, {}, 0}}, {{50ms, {}, 4}}},
       {29, 16}},
      {"a queue of one, and no look", {{{10ms, {.syns = 20}, 9}, {20ms, {}, 1}}, {}}, {29, 21}},
      {"nobody refused, and no look", {{{10ms, {}, 0}}, {}}, {0, 0}},
      {"those have found room when others come",
       {{{10ms, {.syns = 20}, 9}, {1020ms, {.syns = 20}, 9}, {1030ms, {}, 0}},
        {{9000ms, {}, 0}, {9010ms, {.syns = 20}, 9}}},
       {30, 29}},
  };
  for (const auto &tried : cases) {
    RefusedClients refused;
    for (std::size_t i = 0; i < tried.intervals.size(); ++i) {
      note(tried.intervals[i], refused);
      const std::uint64_t peak = refused.take_unlimited_peak();
      ck_assert_msg(peak == tried.peaks[i], "%s: peak %llu in interval %zu", tried.name,
                    static_cast<unsigned long long>(peak), i);
    }
  }
}
END_TEST

} // namespace

int main() {
  return run_tests("refused_clients", who_is_refused_again_is_one_client,
                   each_interval_has_its_own_peak);
}
