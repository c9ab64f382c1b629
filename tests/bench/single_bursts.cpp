// single_bursts INTERVALS
//
// A host where nothing happens but one burst a second: some clients come at once, wait for 50 ms
// and are accepted. Each second of an interval has a listener of its own, so that each burst can
// be looked for in the harvest. Prints the share of bursts of which the sampler saw something
// (seen), the share of their clients (reported_of_true), its mean period in seconds (period) and
// the CPU that it took (cpu_percent), by the default configuration.

#include "config.h"
#include "host.h"
#include "sampler.h"

#include <cstdlib>
#include <netinet/in.h>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using namespace bench;
using backlog::UniqueFd;

constexpr int limit = 128;
constexpr std::uint16_t bursts_an_interval = 10; // one a second
constexpr std::chrono::milliseconds burst_length{50};
constexpr std::uint32_t fewest_clients = 10;
constexpr std::uint32_t most_clients = 120;

/// Returns how many clients waited.
std::uint32_t burst(int listener, std::uint16_t port, std::uint32_t count) {
  std::vector<UniqueFd> clients;
  for (std::uint32_t i = 0; i < count; ++i)
    clients.push_back(start_connect(INADDR_LOOPBACK, port));
  sleep_until(Clock::now() + burst_length);
  const std::uint32_t waiting = queue_length(listener);
  while (accept_and_reset(listener))
    continue;
  return waiting;
}

backlog::Harvest next_harvest(backlog::Sampler &sampler) {
  sampler.ask();
  auto harvest = sampler.take_until(Clock::now() + std::chrono::seconds(5));
  if (!harvest || !harvest->own.tcp.read)
    throw std::runtime_error("the sampler has no harvest");
  return *harvest;
}

std::uint64_t reported_peak(const backlog::Harvest &harvest, std::uint16_t port) {
  for (const backlog::ListenerHarvest &listener : harvest.own.tcp.listeners)
    if (listener.interval.identity.port == port)
      return listener.interval.queue.peak;
  throw std::runtime_error("the sampler does not know a listener");
}

int body(int argc, char **argv) {
  if (argc != 2)
    throw std::invalid_argument("usage: single_bursts INTERVALS");
  const int intervals = std::atoi(argv[1]);
  enter_new_net_namespace();
  std::vector<UniqueFd> listeners;
  for (std::uint16_t i = 0; i < bursts_an_interval; ++i)
    listeners.push_back(listen_on(static_cast<std::uint16_t>(first_port + i), limit));
  backlog::Sampler sampler;
  const auto config = std::make_shared<backlog::Config>();
  config->events = backlog::EventUse::off; // what sampling alone sees
  if (sampler.start(config, Seconds(bursts_an_interval), std::make_shared<backlog::SurveyBoard>()))
    throw std::runtime_error("cannot start the sampler");

  std::mt19937 random(std::random_device{}());
  std::uniform_int_distribution<std::uint32_t> clients(fewest_clients, most_clients);
  std::uniform_real_distribution<> moment(0, 0.9);
  double bursts = 0, seen = 0, waited = 0, reported = 0, periods = 0, cpu = 0;
  next_harvest(sampler);
  Clock::time_point second = Clock::now();
  for (int i = 0; i < intervals; ++i) {
    std::vector<std::uint32_t> truth;
    for (std::uint16_t k = 0; k < bursts_an_interval; ++k) {
      sleep_until(second + std::chrono::duration_cast<Duration>(Seconds(moment(random))));
      truth.push_back(
          burst(listeners[k].get(), static_cast<std::uint16_t>(first_port + k), clients(random)));
      second += std::chrono::seconds(1);
    }
    sleep_until(second);
    const backlog::Harvest harvest = next_harvest(sampler);
    for (std::uint16_t k = 0; k < bursts_an_interval; ++k) {
      const auto peak =
          static_cast<double>(reported_peak(harvest, static_cast<std::uint16_t>(first_port + k)));
      bursts += 1;
      seen += peak > 0 ? 1 : 0;
      waited += truth[k];
      reported += peak;
    }
    periods += harvest.sampler.period.value_or(Seconds(0)).count();
    cpu += harvest.sampler.cpu_percent.value_or(0);
  }
  sampler.stop(std::chrono::seconds(1));
  print_figure("bursts", bursts);
  print_figure("seen", seen / bursts);
  print_figure("reported_of_true", reported / waited);
  print_figure("period", periods / intervals);
  print_figure("cpu_percent", cpu / intervals);
  return 0;
}

} // namespace

int main(int argc, char **argv) { return run_program(body, argc, argv); }
