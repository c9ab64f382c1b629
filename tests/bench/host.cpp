#include "host.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <ctime>
#include <exception>
#include <iostream>
#include <linux/sock_diag.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <system_error>

namespace bench {

using backlog::UniqueFd;

namespace {

constexpr int deferred_accept_seconds = 10;

template <class T> void set_option(int socket, int level, int option, T value) {
  checked(setsockopt(socket, level, option, &value, sizeof value), "setsockopt");
}

void reset_on_close(int socket) {
  set_option(socket, SOL_SOCKET, SO_LINGER, linger{.l_onoff = 1, .l_linger = 0});
}

template <class Address> void bind_to(int socket, const Address &address) {
  checked(bind(socket, reinterpret_cast<const sockaddr *>(&address), sizeof address), "bind");
}

sockaddr_in ipv4_address(std::uint32_t address, std::uint16_t port) {
  sockaddr_in result{};
  result.sin_family = AF_INET;
  result.sin_addr.s_addr = htonl(address);
  result.sin_port = htons(port);
  return result;
}

} // namespace

int checked(int result, const char *what) {
  if (result < 0)
    throw std::system_error(errno, std::generic_category(), what);
  return result;
}

int run_program(int (*body)(int argc, char **argv), int argc, char **argv) {
  try {
    return body(argc, argv);
  } catch (const std::exception &exception) {
    std::cerr << argv[0] << ": " << exception.what() << '\n';
    return 1;
  }
}

void raise_file_limit() {
  rlimit limit{};
  checked(getrlimit(RLIMIT_NOFILE, &limit), "getrlimit");
  limit.rlim_cur = limit.rlim_max;
  checked(setrlimit(RLIMIT_NOFILE, &limit), "setrlimit");
}

void bring_up(const char *device) {
  const UniqueFd socket(checked(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket"));
  ifreq request{};
  std::strncpy(request.ifr_name, device, IFNAMSIZ - 1);
  checked(ioctl(socket.get(), SIOCGIFFLAGS, &request), "SIOCGIFFLAGS");
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  checked(ioctl(socket.get(), SIOCSIFFLAGS, &request), "SIOCSIFFLAGS");
}

void enter_new_net_namespace() {
  checked(unshare(CLONE_NEWNET), "unshare");
  bring_up("lo");
}

UniqueFd listen_on(std::uint16_t port, int limit, ListenOptions options) {
  const int family = options.ipv6_any ? AF_INET6 : AF_INET;
  UniqueFd socket(
      checked(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket"));
  set_option(socket.get(), SOL_SOCKET, SO_REUSEADDR, 1);
  if (options.deferred_accept)
    set_option(socket.get(), IPPROTO_TCP, TCP_DEFER_ACCEPT, deferred_accept_seconds);
  if (options.ipv6_any) {
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(port);
    bind_to(socket.get(), address);
  } else {
    bind_to(socket.get(), ipv4_address(INADDR_ANY, port));
  }
  checked(listen(socket.get(), limit), "listen");
  return socket;
}

UniqueFd start_connect(std::uint32_t address, std::uint16_t port) {
  UniqueFd socket(
      checked(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket"));
  reset_on_close(socket.get());
  const sockaddr_in target = ipv4_address(address, port);
  if (connect(socket.get(), reinterpret_cast<const sockaddr *>(&target), sizeof target) < 0 &&
      errno != EINPROGRESS && errno != ECONNREFUSED && errno != ECONNRESET)
    checked(-1, "connect");
  return socket;
}

std::uint32_t queue_length(int listener) {
  tcp_info info{};
  socklen_t size = sizeof info;
  checked(getsockopt(listener, IPPROTO_TCP, TCP_INFO, &info, &size), "TCP_INFO");
  return info.tcpi_unacked; // tcp_get_info(): sk_ack_backlog of a listener
}

std::uint32_t socket_drops(int socket) {
  std::array<std::uint32_t, SK_MEMINFO_VARS> memory{};
  socklen_t size = sizeof memory;
  checked(getsockopt(socket, SOL_SOCKET, SO_MEMINFO, memory.data(), &size), "SO_MEMINFO");
  return memory[SK_MEMINFO_DROPS];
}

bool accept_and_reset(int listener) {
  const int connection = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
  if (connection < 0 && (errno == EAGAIN || errno == ECONNABORTED))
    return false;
  const UniqueFd closing(checked(connection, "accept"));
  reset_on_close(closing.get());
  return true;
}

void sleep_until(Clock::time_point time) {
  const auto since_epoch = time.time_since_epoch();
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(since_epoch);
  const timespec wake{.tv_sec = seconds.count(),
                      .tv_nsec = Duration(since_epoch - seconds).count()};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &wake, nullptr) == EINTR)
    continue;
}

void pin_to_cpu(int cpu) {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(cpu, &cpus);
  checked(sched_setaffinity(0, sizeof cpus, &cpus), "sched_setaffinity");
}

double quantile(std::vector<double> values, double q) {
  if (values.empty())
    return 0;
  const std::ptrdiff_t rank = std::lround(q * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), values.begin() + rank, values.end());
  return values[static_cast<std::size_t>(rank)];
}

void print_figure(std::string_view name, double value) {
  std::cout << name << ' ' << value << std::endl;
}

} // namespace bench
