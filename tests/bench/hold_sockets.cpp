// hold_sockets [--tcp N] [--connections N] [--unix N]
//
// Holds so many listening TCP sockets, established connections (each is two sockets) and Unix
// sockets: says "ready" when they are there, and ends at the end of its input.

#include "host.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <netinet/in.h>
#include <stdexcept>
#include <string>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace {

using namespace bench;
using backlog::UniqueFd;

constexpr int limit = 128;
// Descriptors are limited to 20 000 a process in some places.
constexpr int connections_per_process = 8000;
constexpr std::uint16_t connections_port = 9000;
constexpr int unix_listeners_per_100 = 1;
constexpr int unix_unbound_per_100 = 3;

struct Counts {
  int tcp = 0;
  int connections = 0;
  int unix_sockets = 0;
};

Counts parse(int argc, char **argv) {
  Counts counts;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string option = argv[i];
    const int value = std::atoi(argv[i + 1]);
    if (option == "--tcp")
      counts.tcp = value;
    else if (option == "--connections")
      counts.connections = value;
    else if (option == "--unix")
      counts.unix_sockets = value;
    else
      throw std::invalid_argument("unknown option " + option);
  }
  return counts;
}

void open_listeners(int count, std::vector<UniqueFd> &held) {
  for (int i = 0; i < count; ++i)
    held.push_back(listen_on(static_cast<std::uint16_t>(first_port + i), limit,
                             {.deferred_accept = false, .ipv6_any = i % 2 == 1}));
}

UniqueFd unix_socket() {
  return UniqueFd(checked(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
}

UniqueFd unix_listener(int number) {
  UniqueFd listener = unix_socket();
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string name = "bench-service-" + std::to_string(number); // abstract
  std::memcpy(address.sun_path + 1, name.data(), name.size());
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  checked(bind(listener.get(), reinterpret_cast<const sockaddr *>(&address), size), "bind");
  checked(listen(listener.get(), limit), "listen");
  return listener;
}

void open_unix_sockets(int count, std::vector<UniqueFd> &held) {
  const int listeners = count * unix_listeners_per_100 / 100;
  const int unbound = count * unix_unbound_per_100 / 100;
  for (int i = 0; i < listeners; ++i)
    held.push_back(unix_listener(i));
  for (int i = 0; i < unbound; ++i)
    held.push_back(unix_socket());
  for (int i = listeners + unbound; i + 1 < count; i += 2) {
    int pair[2];
    checked(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), "socketpair");
    held.emplace_back(pair[0]);
    held.emplace_back(pair[1]);
  }
}

void open_connections(int count, std::uint16_t port, std::vector<UniqueFd> &held) {
  const UniqueFd listener = listen_on(port, limit);
  for (int i = 0; i < count; ++i) {
    held.push_back(start_connect(INADDR_LOOPBACK, port));
    held.emplace_back(checked(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC), "accept"));
  }
}

void wait_for_end_of(int input) {
  char byte = 0;
  while (read(input, &byte, 1) > 0)
    continue;
}

struct Child {
  pid_t pid;
  UniqueFd alive; ///< it ends when this is closed
};

/// The child holds the connections until the parent is gone.
Child hold_connections(int count, std::uint16_t port) {
  int ready[2];
  int alive[2];
  checked(pipe(ready), "pipe");
  checked(pipe(alive), "pipe");
  const pid_t pid = checked(fork(), "fork");
  if (pid == 0) {
    close(alive[1]);
    std::vector<UniqueFd> held;
    open_connections(count, port, held);
    checked(static_cast<int>(write(ready[1], "", 1)), "write");
    wait_for_end_of(alive[0]);
    _exit(0);
  }
  close(ready[1]);
  close(alive[0]);
  char byte = 0;
  if (read(ready[0], &byte, 1) != 1)
    throw std::runtime_error("a child could not make its connections");
  close(ready[0]);
  return {pid, UniqueFd(alive[1])};
}

int body(int argc, char **argv) {
  const Counts counts = parse(argc, argv);
  raise_file_limit();
  // Before anything else is open that the children would inherit.
  std::vector<Child> children;
  std::uint16_t port = connections_port;
  for (int left = counts.connections; left > 0; left -= connections_per_process)
    children.push_back(hold_connections(std::min(left, connections_per_process), port++));
  std::vector<UniqueFd> held;
  open_listeners(counts.tcp, held);
  open_unix_sockets(counts.unix_sockets, held);
  std::cout << "ready" << std::endl;
  wait_for_end_of(STDIN_FILENO);
  // Each has inherited the ends of those before it.
  while (!children.empty()) {
    Child child = std::move(children.back());
    children.pop_back();
    child.alive = UniqueFd();
    waitpid(child.pid, nullptr, 0);
  }
  return 0;
}

} // namespace

int main(int argc, char **argv) { return run_program(body, argc, argv); }
