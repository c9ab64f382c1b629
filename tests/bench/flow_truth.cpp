// flow_truth SECONDS
//
// A server that accepts what comes, stalls now and then, and is read once a second. Prints how many
// connections it accepted or left waiting (connections), in percent of these how many more or less
// events tell (arrived_off, accepted_off), its clients' mean wait by events and by its own clock in
// ms (wait_ms, true_wait_ms), and what events tell at all (events). Of the quantiles of each
// second: how many there were and were told (quantiles, quantiles_told), and how many of these were
// below the truth, or above twice the truth and the shortest wait that is told (quantiles_wrong).

#include "config.h"
#include "host.h"
#include "sampler.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <netinet/in.h>
#include <optional>
#include <random>
#include <stdexcept>
#include <utility>
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

/// A client's wait by the test's clocks: the queue had it for at least and at most so long.
struct Wait {
  Seconds least;
  Seconds most;
};

struct Client {
  Clock::time_point before; ///< its connect()
  Clock::time_point after;
};

struct Quantiles {
  unsigned all = 0;
  unsigned told = 0;
  unsigned wrong = 0;

  void compare(std::vector<Wait> &waits, double share, std::optional<Seconds> told_wait) {
    if (waits.empty())
      return;
    ++all;
    if (!told_wait)
      return;
    ++told;
    const auto rank =
        static_cast<std::size_t>(std::ceil(share * static_cast<double>(waits.size()))) - 1;
    const auto at_rank = [&](Seconds Wait::*side) {
      std::vector<double> sorted;
      sorted.reserve(waits.size());
      for (const Wait &wait : waits)
        sorted.push_back((wait.*side).count());
      std::sort(sorted.begin(), sorted.end());
      return Seconds(sorted[rank]);
    };
    const Seconds most = at_rank(&Wait::most);
    if (*told_wait < at_rank(&Wait::least) ||
        *told_wait > std::max<Seconds>(2 * most, backlog::shortest_told_wait)) {
      ++wrong;
      (void)std::fprintf(stderr, "%g of %zu: %g ms told, %g..%g ms true\n", share, waits.size(),
                         1e3 * told_wait->count(), 1e3 * at_rank(&Wait::least).count(),
                         1e3 * most.count());
    }
  }
};

struct Told {
  std::uint64_t arrived = 0;
  std::uint64_t accepted = 0;
  double waited = 0; ///< s, of all that were accepted
  unsigned events = 0;
  Quantiles quantiles;
};

/// waits: of those accepted since the last one.
void take_harvest(backlog::Sampler &sampler, Told &told, std::vector<Wait> waits = {}) {
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
  if (flow->waits) // as accept() was seen, to a jiffy, and no upper bound
    return;
  told.quantiles.compare(waits, 0.5, flow->wait_p50());
  told.quantiles.compare(waits, 0.99, flow->wait_p99());
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
  std::deque<Client> waiting;
  std::vector<Wait> waits; // in this second
  double accepted = 0, waited = 0;
  const Clock::time_point begin = Clock::now();
  const Clock::time_point end =
      begin + std::chrono::duration_cast<Duration>(Seconds(std::atof(argv[1])));
  Clock::time_point next_read = begin + std::chrono::seconds(1);
  std::vector<UniqueFd> clients;
  for (int i = 0; Clock::now() < end; ++i) {
    for (int count = counts(random); count > 0; --count) {
      const auto before = Clock::now();
      clients.push_back(start_connect(INADDR_LOOPBACK, first_port));
      waiting.push_back({.before = before, .after = Clock::now()});
    }
    const bool stalls = i % stall_every < stall;
    for (auto before = Clock::now(); !stalls && accept_and_reset(listener.get());
         before = Clock::now()) {
      waits.push_back(
          {.least = before - waiting.front().after, .most = Clock::now() - waiting.front().before});
      waited += waits.back().most.count();
      waiting.pop_front();
      accepted += 1;
    }
    if (!stalls)
      clients.clear();
    if (Clock::now() >= next_read) {
      take_harvest(sampler, told, std::exchange(waits, {}));
      next_read += std::chrono::seconds(1);
    }
    sleep_until(Clock::now() + beat);
  }
  const double left = queue_length(listener.get());
  take_harvest(sampler, told, std::exchange(waits, {}));
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
  print_figure("quantiles", told.quantiles.all);
  print_figure("quantiles_told", told.quantiles.told);
  print_figure("quantiles_wrong", told.quantiles.wrong);
  return 0;
}

} // namespace

int main(int argc, char **argv) { return run_program(body, argc, argv); }
