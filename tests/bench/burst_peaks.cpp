// burst_peaks INTERVALS INTERVAL_SECONDS STALL_EVERY_SECONDS
//
// A server with limit 128 has 2 000 connections a second and stalls for 50 ms at a random moment
// of each STALL_EVERY_SECONDS. Prints the median over the intervals of the peak that the sampler
// reports against the true one, which a trace of each millisecond tells.

#include "config.h"
#include "host.h"
#include "sampler.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <netinet/in.h>
#include <poll.h>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace bench;
using backlog::UniqueFd;

constexpr int limit = 128;
constexpr std::chrono::milliseconds stall_length{50};
constexpr Duration connect_period = std::chrono::microseconds(500);
constexpr std::size_t open_clients = 2000; // a second's worth

void serve(int listener, Seconds stall_every, const std::atomic<bool> &stopping) {
  std::mt19937 random(std::random_device{}());
  const auto period = std::chrono::duration_cast<Duration>(stall_every);
  std::uniform_int_distribution<Duration::rep> phase(0, (period - stall_length).count());
  Clock::time_point period_begin = Clock::now();
  Clock::time_point stall = period_begin + Duration(phase(random));
  while (!stopping) {
    if (Clock::now() >= stall) {
      sleep_until(Clock::now() + stall_length);
      period_begin += period;
      stall = period_begin + Duration(phase(random));
    }
    while (Clock::now() < stall && accept_and_reset(listener))
      continue;
    pollfd waiting{.fd = listener, .events = POLLIN, .revents = 0};
    poll(&waiting, 1, 1);
  }
}

void connect_steadily(std::uint16_t port, const std::atomic<bool> &stopping) {
  std::vector<UniqueFd> clients(open_clients);
  std::size_t next = 0;
  for (Clock::time_point due = Clock::now(); !stopping; due += connect_period) {
    sleep_until(due);
    clients[next] = UniqueFd();
    clients[next] = start_connect(INADDR_LOOPBACK, port);
    next = (next + 1) % clients.size();
  }
}

/// The true peak since it was last taken.
class Trace {
public:
  void run(int listener, const std::atomic<bool> &stopping) {
    for (Clock::time_point due = Clock::now(); !stopping; due += std::chrono::milliseconds(1)) {
      sleep_until(due);
      const std::uint32_t length = queue_length(listener);
      std::uint32_t peak = peak_;
      while (length > peak && !peak_.compare_exchange_weak(peak, length))
        continue;
    }
  }
  std::uint32_t take_peak() { return peak_.exchange(0); }

private:
  std::atomic<std::uint32_t> peak_{0};
};

std::uint64_t reported_peak(backlog::Sampler &sampler) {
  sampler.ask();
  const auto harvest = sampler.take_until(Clock::now() + std::chrono::seconds(5));
  if (!harvest || !harvest->own.tcp.read || harvest->own.tcp.listeners.size() != 1)
    throw std::runtime_error("the sampler did not report the listener");
  return harvest->own.tcp.listeners.front().interval.queue.peak;
}

int body(int argc, char **argv) {
  if (argc != 4)
    throw std::invalid_argument(
        "usage: burst_peaks INTERVALS INTERVAL_SECONDS STALL_EVERY_SECONDS");
  const int intervals = std::atoi(argv[1]);
  const Seconds interval(std::atof(argv[2]));
  const Seconds stall_every(std::atof(argv[3]));
  raise_file_limit();
  enter_new_net_namespace();
  const UniqueFd listener = listen_on(first_port, limit);
  backlog::Sampler sampler;
  if (sampler.start(std::make_shared<const backlog::Config>(), interval,
                    std::make_shared<backlog::SurveyBoard>()))
    throw std::runtime_error("cannot start the sampler");

  std::atomic<bool> stopping{false};
  Trace trace;
  std::vector<std::thread> threads;
  threads.emplace_back([&] { serve(listener.get(), stall_every, stopping); });
  threads.emplace_back([&] { connect_steadily(first_port, stopping); });
  threads.emplace_back([&] { trace.run(listener.get(), stopping); });

  std::vector<double> shares;
  reported_peak(sampler);
  trace.take_peak();
  Clock::time_point due = Clock::now();
  for (int i = 0; i < intervals; ++i) {
    due += std::chrono::duration_cast<Duration>(interval);
    sleep_until(due);
    const auto reported = static_cast<double>(reported_peak(sampler));
    const auto truth = static_cast<double>(std::max(1U, trace.take_peak()));
    shares.push_back(reported / truth);
  }
  stopping = true;
  for (std::thread &thread : threads)
    thread.join();
  sampler.stop(std::chrono::seconds(1));
  print_figure("reported_of_true", median(shares));
  print_figure("lowest", quantile(shares, 0));
  return 0;
}

} // namespace

int main(int argc, char **argv) { return run_program(body, argc, argv); }
