// Prints the milliseconds of CPU that the subagent takes for a new table file, until it can show it
// and knows what to tell; the median of 21.

#include "snapshot.h"
#include "traps.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <utility>

int main(int argc, char **argv) {
  if (argc != 2)
    return 2;
  std::array<double, 21> times{};
  std::shared_ptr<const backlog::Snapshot> last;
  backlog::TrapQueue traps;
  for (double &time : times) {
    const std::int64_t begin = backlog::clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    const backlog::OpenTable table(argv[1]);
    auto [snapshot, refusal] = backlog::Snapshot::read(table.reader());
    if (snapshot) {
      (void)(last && snapshot->differs_from(*last));
      traps.note_table(*snapshot);
    }
    time = static_cast<double>(backlog::clock_ns(CLOCK_PROCESS_CPUTIME_ID) - begin) / 1e6;
    if (!snapshot) {
      (void)std::fprintf(stderr, "%s\n", refusal.c_str());
      return 1;
    }
    last = std::move(snapshot);
  }
  std::nth_element(times.begin(), times.begin() + times.size() / 2, times.end());
  std::printf("%.2f\n", times[times.size() / 2]);
}
