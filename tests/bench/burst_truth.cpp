// burst_truth BURSTS MILLISECONDS auto|off
//
// So many bursts, each of clients that come at once, wait for so long, and are all accepted. Prints
// of how many the sampler reports the true peak, in percent, by events or without, and of how many
// it is between what is reported and the bound that is.

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
constexpr double ample_budget = 20;    // percent of a CPU: whatever else goes on, events stay
constexpr std::uint32_t longest = 100; // connections

/// Returns the true peak.
std::uint32_t make_burst(int listener, std::uint32_t length, std::chrono::milliseconds time) {
  std::vector<UniqueFd> clients;
  for (std::uint32_t i = 0; i < length; ++i)
    clients.push_back(start_connect(INADDR_LOOPBACK, first_port));
  const std::uint32_t peak = queue_length(listener);
  sleep_until(Clock::now() + time);
  while (accept_and_reset(listener))
    continue;
  return peak;
}

backlog::Harvest harvest_of(backlog::Sampler &sampler) {
  sampler.ask();
  auto harvest = sampler.take_until(Clock::now() + std::chrono::seconds(5));
  if (!harvest || !harvest->own.tcp.read || harvest->own.tcp.listeners.size() != 1)
    throw std::runtime_error("the sampler did not report the listener");
  return std::move(*harvest);
}

int body(int argc, char **argv) {
  if (argc != 4)
    throw std::invalid_argument("usage: burst_truth BURSTS MILLISECONDS auto|off");
  const int bursts = std::atoi(argv[1]);
  const std::chrono::milliseconds time(std::atoi(argv[2]));
  backlog::Config config;
  if (std::string_view(argv[3]) == "off")
    config.events = backlog::EventUse::off;
  else
    config.sampler_budget_percent = ample_budget;
  enter_new_net_namespace();
  const UniqueFd listener = listen_on(first_port, limit);
  backlog::Sampler sampler;
  if (sampler.start(std::make_shared<const backlog::Config>(std::move(config)), Seconds(10),
                    std::make_shared<backlog::SurveyBoard>()))
    throw std::runtime_error("cannot start the sampler");

  std::mt19937 random(1);
  std::uniform_int_distribution<std::uint32_t> lengths(2, longest);
  int true_ones = 0;
  int above = 0;
  int within = 0;
  harvest_of(sampler);
  const unsigned events = harvest_of(sampler).sampler.events.value_or(0);
  for (int i = 0; i < bursts; ++i) {
    // Not with the beat of a sampler that has one.
    sleep_until(Clock::now() + std::chrono::microseconds(500 * (random() % 60)));
    const std::uint64_t truth = make_burst(listener.get(), lengths(random), time);
    const backlog::Harvest harvest = harvest_of(sampler);
    const backlog::ListenerInterval &interval = harvest.own.tcp.listeners.front().interval;
    const std::uint64_t peak = interval.queue.peak;
    within += static_cast<int>(peak <= truth && truth <= interval.peak_bound.value_or(peak));
    true_ones += static_cast<int>(peak == truth);
    above += static_cast<int>(peak > truth);
  }
  sampler.stop(std::chrono::seconds(1));
  print_figure("true_percent", 100.0 * true_ones / bursts);
  print_figure("above", above);
  print_figure("within_percent", 100.0 * within / bursts);
  print_figure("events", events);
  return 0;
}

} // namespace

int main(int argc, char **argv) { return run_program(body, argc, argv); }
