#include "refused_clients.h"
#include "test_program.h"

#include <string>
#include <vector>

using namespace backlog;
using namespace std::chrono_literals;

namespace {

/// What a sample found, the one before was 10 ms earlier.
struct Look {
  std::chrono::milliseconds at;
  RefusedClients::Segments refused;
  std::uint64_t length = 0;
  bool accepted = false;
  std::optional<std::uint64_t> syns_again{};
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
                  .before = start + look.at - 10ms,
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
