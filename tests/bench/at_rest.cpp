// at_rest SECONDS BURSTS auto|off
//
// A host with a hundred listeners at which nothing happens, and a collectd interval of ten seconds.
// Prints what the sampling thread takes in percent of a CPU (cpu_percent), how often it wakes in a
// second (wake_ups), and how much memory sampling takes in MB (resident_mb); then, where it rests,
// of bursts that cross an eighth of the limit how long it takes from there to the end of the first
// sample, in ms (first_sample_p50, first_sample_p99, bursts that were not seen: unseen).

#include "config.h"
#include "host.h"
#include "sampler.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <netinet/in.h>
#include <stdexcept>
#include <string>
#include <unistd.h>
#include <vector>

namespace {

using namespace bench;
using backlog::UniqueFd;

constexpr std::uint16_t listeners = 100;
constexpr int limit = 128;
constexpr int crossing = limit / 8 + 1; // connections
constexpr Seconds interval{10};
constexpr int harvests_until_rest = 3;
constexpr std::chrono::milliseconds until_calm{400};
constexpr std::chrono::milliseconds patience{100};

std::string text_of(const std::filesystem::path &path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

/// Of this process.
std::filesystem::path sampling_thread() {
  for (const auto &task : std::filesystem::directory_iterator("/proc/self/task"))
    if (text_of(task.path() / "comm") == "backlog sampler\n")
      return task.path();
  throw std::runtime_error("no sampling thread");
}

double cpu_seconds(const std::filesystem::path &thread) {
  return std::stod(text_of(thread / "schedstat")) / 1e9;
}

/// How often it has gone to sleep.
long sleeps(const std::filesystem::path &thread) {
  const std::string text = text_of(thread / "status");
  const std::string name = "\nvoluntary_ctxt_switches:";
  return std::stol(text.substr(text.find(name) + name.size()));
}

double resident_mb() {
  const std::string text = text_of("/proc/self/statm");
  return std::stod(text.substr(text.find(' '))) * static_cast<double>(sysconf(_SC_PAGESIZE)) / 1e6;
}

backlog::Harvest harvest_of(backlog::Sampler &sampler) {
  sampler.ask();
  auto harvest = sampler.take_until(Clock::now() + std::chrono::seconds(5));
  if (!harvest || !harvest->own.tcp.read)
    throw std::runtime_error("the sampler has no harvest");
  return std::move(*harvest);
}

void measure_rest(backlog::Sampler &sampler, const std::filesystem::path &thread, Seconds time) {
  const double cpu = cpu_seconds(thread);
  const long slept = sleeps(thread);
  const Clock::time_point begin = Clock::now();
  const Clock::time_point end = begin + std::chrono::duration_cast<Duration>(time);
  for (Clock::time_point next = begin; next < end;) {
    next = std::min(next + std::chrono::duration_cast<Duration>(interval), end);
    sleep_until(next);
    harvest_of(sampler);
  }
  const double passed = Seconds(Clock::now() - begin).count();
  print_figure("cpu_percent", 100 * (cpu_seconds(thread) - cpu) / passed);
  print_figure("wake_ups", static_cast<double>(sleeps(thread) - slept) / passed);
}

/// From the connection that crosses the mark to the end of the first sample; -1: none came.
double first_sample_ms(int listener, const std::filesystem::path &thread) {
  std::vector<UniqueFd> clients;
  clients.reserve(crossing);
  const long slept = sleeps(thread);
  for (int i = 0; i < crossing; ++i)
    clients.push_back(start_connect(INADDR_LOOPBACK, first_port));
  const Clock::time_point begin = Clock::now();
  double ms = -1;
  while (ms < 0 && Clock::now() < begin + patience)
    if (sleeps(thread) > slept)
      ms = Seconds(Clock::now() - begin).count() * 1e3;
  while (accept_and_reset(listener))
    continue;
  return ms;
}

void measure_waking(int listener, const std::filesystem::path &thread, int bursts) {
  std::vector<double> times;
  int unseen = 0;
  for (int i = 0; i < bursts; ++i) {
    sleep_until(Clock::now() + until_calm);
    const double ms = first_sample_ms(listener, thread);
    if (ms < 0)
      ++unseen;
    else
      times.push_back(ms);
  }
  print_figure("first_sample_p50", median(times));
  print_figure("first_sample_p99", quantile(times, 0.99));
  print_figure("unseen", unseen);
}

int body(int argc, char **argv) {
  if (argc != 4)
    throw std::invalid_argument("usage: at_rest SECONDS BURSTS auto|off");
  backlog::Config config;
  if (std::string_view(argv[3]) == "off")
    config.events = backlog::EventUse::off;
  enter_new_net_namespace();
  std::vector<UniqueFd> sockets;
  sockets.reserve(listeners);
  for (std::uint16_t i = 0; i < listeners; ++i)
    sockets.push_back(listen_on(static_cast<std::uint16_t>(first_port + i), limit));
  const double resident = resident_mb();
  backlog::Sampler sampler;
  if (sampler.start(std::make_shared<const backlog::Config>(std::move(config)), interval,
                    std::make_shared<backlog::SurveyBoard>()))
    throw std::runtime_error("cannot start the sampler");
  unsigned events = 0;
  for (int i = 0; i < harvests_until_rest; ++i)
    events = harvest_of(sampler).sampler.events.value_or(0);
  print_figure("resident_mb", resident_mb() - resident);
  print_figure("events", events);
  const std::filesystem::path thread = sampling_thread();
  sleep_until(Clock::now() + until_calm);
  measure_rest(sampler, thread, Seconds(std::atof(argv[1])));
  if (events >= 2)
    measure_waking(sockets.front().get(), thread, std::atoi(argv[2]));
  sampler.stop(std::chrono::seconds(1));
  return 0;
}

} // namespace

int main(int argc, char **argv) { return run_program(body, argc, argv); }
