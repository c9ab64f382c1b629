// paced_dump SECONDS PERIOD
//
// A bare dump of the TCP listeners each PERIOD seconds, and sleep between them: the least that any
// sampler does. Prints the CPU time of a dump in microseconds, wake-up and cold caches included.

#include "bare_dump.h"
#include "thread_cpu_time.h"

#include <cstdlib>
#include <stdexcept>

namespace {

using namespace bench;

int body(int argc, char **argv) {
  if (argc != 3)
    throw std::invalid_argument("usage: paced_dump SECONDS PERIOD");
  const auto span = std::chrono::duration_cast<Duration>(Seconds(std::atof(argv[1])));
  const auto period = std::chrono::duration_cast<Duration>(Seconds(std::atof(argv[2])));
  BareDump dump;
  dump.run();
  const Clock::time_point end = Clock::now() + span;
  const Duration cpu_begin = backlog::thread_cpu_time();
  int dumps = 0;
  for (; Clock::now() < end; ++dumps) {
    sleep_until(Clock::now() + period);
    dump.run();
  }
  const Duration cpu_time = backlog::thread_cpu_time() - cpu_begin;
  print_figure("dump_us", std::chrono::duration<double, std::micro>(cpu_time).count() / dumps);
  return 0;
}

} // namespace

int main(int argc, char **argv) { return run_program(body, argc, argv); }
