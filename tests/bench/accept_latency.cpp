// accept_latency TURNS TURN_SECONDS
//
// A server with 2 000 connections a second on a host with 1 000 other listeners, by turns without
// and with the sampler beside it. Prints the 99th percentile of the time from connect() to the
// return of accept(), in microseconds: the medians over the turns, and of the differences
// between each turn with and the one without before it.

#include "config.h"
#include "host.h"
#include "sampler.h"

#include <array>
#include <atomic>
#include <cstdlib>
#include <netinet/in.h>
#include <poll.h>
#include <stdexcept>
#include <thread>
#include <vector>

namespace {

using namespace bench;
using backlog::UniqueFd;

constexpr int other_listeners = 1000;
constexpr int limit = 1024;
constexpr Duration connect_period = std::chrono::microseconds(500);
constexpr std::size_t open_clients = 2000; // a second's worth
constexpr std::uint16_t port = first_port - 1;

/// When each connection began. They are accepted in the order in which one thread makes them.
class Begun {
public:
  void push(Clock::time_point time) {
    times_[pushed_ % times_.size()] = time;
    pushed_.fetch_add(1, std::memory_order_release);
  }
  Clock::time_point pop() {
    if (popped_ == pushed_.load(std::memory_order_acquire))
      throw std::logic_error("a connection was accepted that was not made");
    return times_[popped_++ % times_.size()];
  }

private:
  std::array<Clock::time_point, 4096> times_{};
  std::atomic<std::size_t> pushed_{0};
  std::size_t popped_ = 0;
};

void connect_steadily(std::vector<UniqueFd> &clients, Begun &begun, Clock::time_point end) {
  std::size_t next = 0;
  for (Clock::time_point due = Clock::now(); due < end; due += connect_period) {
    sleep_until(due);
    clients[next] = UniqueFd();
    begun.push(Clock::now());
    clients[next] = start_connect(INADDR_LOOPBACK, port);
    next = (next + 1) % clients.size();
  }
}

/// The 99th percentile of one turn.
double turn(int listener, Duration length) {
  std::vector<UniqueFd> clients(open_clients);
  Begun begun;
  std::vector<double> times;
  const Clock::time_point end = Clock::now() + length;
  std::thread client([&] { connect_steadily(clients, begun, end); });
  while (Clock::now() < end) {
    pollfd waiting{.fd = listener, .events = POLLIN, .revents = 0};
    poll(&waiting, 1, 10);
    while (accept_and_reset(listener))
      times.push_back(
          std::chrono::duration<double, std::micro>(Clock::now() - begun.pop()).count());
  }
  client.join();
  while (accept_and_reset(listener))
    continue;
  return quantile(std::move(times), 0.99);
}

int body(int argc, char **argv) {
  if (argc != 3)
    throw std::invalid_argument("usage: accept_latency TURNS TURN_SECONDS");
  const int turns = std::atoi(argv[1]);
  const auto length = std::chrono::duration_cast<Duration>(Seconds(std::atof(argv[2])));
  raise_file_limit();
  enter_new_net_namespace();
  std::vector<UniqueFd> others;
  others.reserve(other_listeners);
  for (int i = 0; i < other_listeners; ++i)
    others.push_back(listen_on(static_cast<std::uint16_t>(first_port + i), limit));
  const UniqueFd listener = listen_on(port, limit);

  turn(listener.get(), length / 4);
  std::vector<double> without;
  std::vector<double> with;
  std::vector<double> rises;
  for (int i = 0; i < turns; ++i) {
    without.push_back(turn(listener.get(), length));
    backlog::Sampler sampler;
    if (sampler.start(std::make_shared<const backlog::Config>(), std::chrono::seconds(10),
                      std::make_shared<backlog::SurveyBoard>()))
      throw std::runtime_error("cannot start the sampler");
    sampler.ask();
    if (!sampler.take_until(Clock::now() + std::chrono::seconds(5)))
      throw std::runtime_error("the sampler did not answer");
    with.push_back(turn(listener.get(), length));
    sampler.stop(std::chrono::seconds(1));
    rises.push_back(with.back() - without.back());
  }
  print_figure("p99_without", median(without));
  print_figure("p99_with", median(with));
  print_figure("p99_rise", median(rises));
  return 0;
}

} // namespace

int main(int argc, char **argv) { return run_program(body, argc, argv); }
