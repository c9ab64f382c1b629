#include "refused_clients.h"
#include "test_program.h"

#include <string>
#include <vector>

using namespace backlog;
using namespace std::chrono_literals;

namespace {

/// What a sample found, the one before was 10 ms earlier.
struct Sample {
  std::chrono::milliseconds at;
  std::uint64_t drops = 0;
  std::uint64_t length = 0;
};

struct Case {
  const char *name;
  unsigned linear_timeouts = 0;
  std::vector<Sample> samples;
  std::uint64_t unlimited_peak = 0;
};

std::vector<Case> cases() {
  return {
      {.name = "nobody refused", .samples = {{10ms, 0, 5}}},
      {.name = "a burst",
       .samples = {{10ms, 20, 9}, {20ms, 3, 9}, {30ms, 0, 4}},
       .unlimited_peak = 32},
      {.name = "a burst that is over before the next sample",
       .samples = {{10ms, 20, 0}},
       .unlimited_peak = 29},
      {.name = "the same clients again after a second",
       .samples = {{10ms, 20, 9}, {1020ms, 20, 9}},
       .unlimited_peak = 30},
      {.name = "as late as a timer of the kernel can be",
       .samples = {{10ms, 20, 9}, {1130ms, 20, 9}},
       .unlimited_peak = 30},
      {.name = "and as late as a sample can be behind it",
       .samples = {{10ms, 20, 9}, {1175ms, 20, 9}},
       .unlimited_peak = 30},
      {.name = "later than that",
       .samples = {{10ms, 20, 9}, {1176ms, 20, 9}},
       .unlimited_peak = 29},
      {.name = "as early as a timer of the kernel can be",
       .samples = {{10ms, 20, 9}, {996ms, 20, 9}},
       .unlimited_peak = 30},
      {.name = "earlier than that",
       .samples = {{10ms, 20, 9}, {995ms, 20, 9}},
       .unlimited_peak = 49},
      {.name = "one client, gone before the next sample",
       .samples = {{10ms, 1, 0}},
       .unlimited_peak = 10},
      {.name = "one client, three times",
       .samples = {{10ms, 1, 9}, {1020ms, 1, 9}, {3030ms, 1, 9}},
       .unlimited_peak = 11},
      {.name = "those of 30 ms are due together",
       .samples = {{10ms, 20, 9}, {40ms, 5, 9}, {996ms, 25, 9}},
       .unlimited_peak = 36},
      {.name = "those of a longer time are not",
       .samples = {{10ms, 20, 9}, {41ms, 5, 9}, {996ms, 25, 9}},
       .unlimited_peak = 41},
      {.name = "newcomers that are due with others wait for less long than these afterwards",
       .samples = {{10ms, 20, 9}, {1020ms, 20, 9}, {2020ms, 5, 9}, {3020ms, 25, 9}, {5030ms, 5, 9}},
       .unlimited_peak = 36},
      {.name = "eight SYNs more than the first",
       .linear_timeouts = 20,
       .samples = {{10ms, 20, 9},
                   {1020ms, 20, 9},
                   {2030ms, 20, 9},
                   {3040ms, 20, 9},
                   {4050ms, 20, 9},
                   {5060ms, 20, 9},
                   {6070ms, 20, 9},
                   {7080ms, 20, 9},
                   {8090ms, 20, 9}},
       .unlimited_peak = 30},
      {.name = "nobody sends nine",
       .linear_timeouts = 20,
       .samples = {{10ms, 20, 9},
                   {1020ms, 20, 9},
                   {2030ms, 20, 9},
                   {3040ms, 20, 9},
                   {4050ms, 20, 9},
                   {5060ms, 20, 9},
                   {6070ms, 20, 9},
                   {7080ms, 20, 9},
                   {8090ms, 20, 9},
                   {9100ms, 20, 9}},
       .unlimited_peak = 51},
      {.name = "others half a second later",
       .samples = {{10ms, 20, 9}, {510ms, 20, 9}},
       .unlimited_peak = 49},
      {.name = "the same and others after a second",
       .samples = {{10ms, 20, 9}, {1020ms, 25, 9}},
       .unlimited_peak = 36},
      {.name = "three seconds after the first SYN, twice the time",
       .samples = {{10ms, 20, 9}, {1020ms, 20, 9}, {3030ms, 20, 9}},
       .unlimited_peak = 30},
      {.name = "two seconds after the first SYN are others, where no timeout is linear",
       .samples = {{10ms, 20, 9}, {1020ms, 20, 9}, {2030ms, 20, 9}},
       .unlimited_peak = 51},
      {.name = "... and the same, where four are",
       .linear_timeouts = 4,
       .samples = {{10ms, 20, 9},
                   {1020ms, 20, 9},
                   {2030ms, 20, 9},
                   {3040ms, 20, 9},
                   {4050ms, 20, 9},
                   {5060ms, 20, 9},
                   {7070ms, 20, 9}},
       .unlimited_peak = 30},
      {.name = "found room after a second",
       .samples = {{10ms, 20, 9}, {1020ms, 0, 9}, {1200ms, 0, 7}},
       .unlimited_peak = 29},
      {.name = "others long after those found room",
       .samples = {{10ms, 20, 9}, {5000ms, 4, 9}},
       .unlimited_peak = 29},
      {.name = "others when those would have been accepted",
       .samples = {{10ms, 4, 8}, {20ms, 0, 4}, {30ms, 0, 0}, {80ms, 4, 8}},
       .unlimited_peak = 13},
      {.name = "others when half of those would have been accepted",
       .samples = {{10ms, 20, 8}, {20ms, 0, 4}, {30ms, 0, 0}, {65ms, 20, 8}},
       .unlimited_peak = 39},
      {.name = "the queue grows while they are away",
       .samples = {{10ms, 20, 9}, {500ms, 0, 2}, {600ms, 0, 9}},
       .unlimited_peak = 29},
  };
}

START_TEST(who_is_refused_again_is_one_client) {
  for (const Case &tried : cases()) {
    RefusedClients refused(tried.linear_timeouts);
    const RefusedClients::TimePoint start{1h};
    for (const Sample &sample : tried.samples)
      refused.note(sample.drops, sample.length, 9, start + sample.at - 10ms, start + sample.at);
    const std::uint64_t peak = refused.take_unlimited_peak();
    ck_assert_msg(peak == tried.unlimited_peak, "%s: peak %llu", tried.name,
                  static_cast<unsigned long long>(peak));
    ck_assert_uint_eq(refused.take_unlimited_peak(), 0);
  }
}
END_TEST

START_TEST(each_interval_has_its_own_peak) {
  const struct {
    const char *name;
    std::vector<std::vector<Sample>> intervals;
    std::vector<std::uint64_t> peaks;
  } cases[] = {
      {"they would be in the queue beside those that are",
       {{{10ms, 20, 9}}, {{20ms, 0, 4}}},
       {29, 24}},
      {"an empty queue of which nobody knows how fast it is accepted from",
       {{{10ms, 20, 0}}, {{30ms, 0, 0}}},
       {29, 20}},
      {"those have found room when others come",
       {{{10ms, 20, 9}, {1020ms, 20, 9}}, {{9000ms, 0, 0}, {9010ms, 20, 9}}},
       {30, 29}},
  };
  for (const auto &tried : cases) {
    RefusedClients refused(0);
    const RefusedClients::TimePoint start{1h};
    for (std::size_t i = 0; i < tried.intervals.size(); ++i) {
      for (const Sample &sample : tried.intervals[i])
        refused.note(sample.drops, sample.length, 9, start + sample.at - 10ms, start + sample.at);
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
