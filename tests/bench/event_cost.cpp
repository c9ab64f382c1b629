// event_cost SECONDS
//
// What the BPF programs cost a socket that is none of theirs: a byte written to a Unix socket and
// read again, in turns with them and without. Prints the medians in ns, and what loading them takes
// in ms.

#include "events.h"
#include "host.h"

#include <cstdlib>
#include <stdexcept>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

namespace {

using namespace bench;
using backlog::UniqueFd;

constexpr int pairs_of_a_turn = 20000;

double ns_of_a_pair(int writer, int reader) {
  char byte = 0;
  const Clock::time_point begin = Clock::now();
  for (int i = 0; i < pairs_of_a_turn; ++i)
    if (write(writer, &byte, 1) != 1 || read(reader, &byte, 1) != 1)
      throw std::runtime_error("write and read");
  return std::chrono::duration<double, std::nano>(Clock::now() - begin).count() / pairs_of_a_turn;
}

int body(int argc, char **argv) {
  if (argc != 2)
    throw std::invalid_argument("usage: event_cost SECONDS");
  const Seconds time(std::atof(argv[1]));
  int sockets[2];
  checked(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), "socketpair");
  const UniqueFd writer(sockets[0]);
  const UniqueFd reader(sockets[1]);
  pin_to_cpu(0);
  std::vector<double> with;
  std::vector<double> without;
  std::vector<double> rises;
  std::vector<double> loads;
  const Clock::time_point end = Clock::now() + std::chrono::duration_cast<Duration>(time);
  while (Clock::now() < end || rises.size() < 5) {
    without.push_back(ns_of_a_pair(writer.get(), reader.get()));
    const Clock::time_point begin = Clock::now();
    const auto events = backlog::Events::start();
    if (!events)
      throw std::runtime_error(events.error().message());
    loads.push_back(Seconds(Clock::now() - begin).count() * 1e3);
    with.push_back(ns_of_a_pair(writer.get(), reader.get()));
    rises.push_back(with.back() - without.back());
  }
  print_figure("without_ns", median(without));
  print_figure("with_ns", median(with));
  print_figure("rise_ns", median(rises));
  print_figure("load_ms", median(loads));
  return 0;
}

} // namespace

int main(int argc, char **argv) { return run_program(body, argc, argv); }
