// flow_truth SECONDS
//
// A server that accepts what comes, stalls now and then, and is read once a second. Prints how many
// connections it accepted or left waiting (connections), in percent of these how many more or less
// events tell (arrived_off, accepted_off), its clients' mean wait by events and by its own clock in
// ms (wait_ms, true_wait_ms), and what events tell at all (events).

#include "config.h"
#include "host.h"
#include "sampler.h"

#include <cmath>
#include <cstdlib>
#include <deque>
#include <netinet/in.h>
#include <random>
#include <stdexcept>
#include <vector>

namespace {

using namespace bench;
using backlog::UniqueFd;

constexpr int limit = 1000;
constexpr double ample_budget = 20; // percent of a CPU: whatever else goes on, events stay
constexpr std::chrono::milliseconds beat{1};
constexpr int most_of_a_beat = 4; // connections
constexpr int stall_every = 200;  // beats
constexpr int stall = 20;         // beats

struct Told {
  std::uint64_t arrived = 0;
  std::uint64_t accepted = 0;
  double waited = 0; ///< s, of all that were accepted
  unsigned events = 0;
};

void take_harvest(backlog::Sampler &sampler, Told &told) {
  sampler.ask();
  const auto harvest = sampler.take_until(Clock::now() + std::chrono::seconds(5));
  if (!harvest || !harvest->own.tcp.read || harvest->own.tcp.listeners.size() != 1)
    throw std::runtime_error("the sampler did not report the listener");
  told.events = harvest->sampler.events.value_or(0);
  const auto &flow = harvest->own.tcp.listeners.front().interval.flow;
  if (!flow)
    return;
  told.arrived += flow->arrived;
  told.accepted += flow->accepted;
  if (flow->wait_mean)
    told.waited += flow->wait_mean->count() * static_cast<double>(flow->accepted);
}

int body(int argc, char **argv) {
  if (argc != 2)
    throw std::invalid_argument("usage: flow_truth SECONDS");
  enter_new_net_namespace();
  const UniqueFd listener = listen_on(first_port, limit);
  const auto config = std::make_shared<backlog::Config>();
  config->sampler_budget_percent = ample_budget;
  backlog::Sampler sampler;
  if (sampler.start(config, Seconds(1), std::make_shared<backlog::SurveyBoard>()))
    throw std::runtime_error("cannot start the sampler");
  Told told;
  for (int i = 0; i < 3; ++i)
    take_harvest(sampler, told);
  if (told.events == 0) {
    print_figure("events", 0);
    return 0;
  }

  std::mt19937 random(1);
  std::uniform_int_distribution<int> counts(0, most_of_a_beat);
  std::deque<Clock::time_point> waiting;
  double accepted = 0, waited = 0;
  const Clock::time_point begin = Clock::now();
  const Clock::time_point end =
      begin + std::chrono::duration_cast<Duration>(Seconds(std::atof(argv[1])));
  Clock::time_point next_read = begin + std::chrono::seconds(1);
  std::vector<UniqueFd> clients;
  for (int i = 0; Clock::now() < end; ++i) {
    for (int count = counts(random); count > 0; --count) {
      waiting.push_back(Clock::now());
      clients.push_back(start_connect(INADDR_LOOPBACK, first_port));
    }
    const bool stalls = i % stall_every < stall;
    while (!stalls && accept_and_reset(listener.get())) {
      waited += Seconds(Clock::now() - waiting.front()).count();
      waiting.pop_front();
      accepted += 1;
    }
    if (!stalls)
      clients.clear();
    if (Clock::now() >= next_read) {
      take_harvest(sampler, told);
      next_read += std::chrono::seconds(1);
    }
    sleep_until(Clock::now() + beat);
  }
  const double left = queue_length(listener.get());
  take_harvest(sampler, told);
  sampler.stop(std::chrono::seconds(1));
  const auto off_percent = [&](std::uint64_t counted, double truth) {
    return 100 * std::fabs(static_cast<double>(counted) - truth) / truth;
  };
  print_figure("events", told.events);
  print_figure("connections", accepted + left);
  print_figure("arrived_off", off_percent(told.arrived, accepted + left));
  print_figure("accepted_off", off_percent(told.accepted, accepted));
  print_figure("wait_ms", 1e3 * told.waited / accepted);
  print_figure("true_wait_ms", 1e3 * waited / accepted);
  return 0;
}

} // namespace

int main(int argc, char **argv) { return run_program(body, argc, argv); }
