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

} // namespace

int main() { return run_tests("refused_clients", who_is_refused_again_is_one_client); }
