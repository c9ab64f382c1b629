#pragma once

#include "unique_fd.h"

#include <chrono>
#include <cstdint>
#include <string_view>
#include <vector>

/// Shared by the benchmark programs.
namespace bench {

using Clock = std::chrono::steady_clock;
using Duration = std::chrono::nanoseconds;
using Seconds = std::chrono::duration<double>;

/// Below the range of ephemeral ports, so that the listeners have stable names.
constexpr std::uint16_t first_port = 10000;

/// Throws std::system_error of errno if the result of a system call is negative.
int checked(int result, const char *what);

/// Runs the program's body; what it throws becomes a line on stderr and exit status 1.
int run_program(int (*body)(int argc, char **argv), int argc, char **argv);

void raise_file_limit();
/// A new net namespace for the calling thread and the threads that it starts; lo is up.
void enter_new_net_namespace();
void bring_up(const char *device);

struct ListenOptions {
  bool deferred_accept = false;
  bool ipv6_any = false; ///< else 0.0.0.0
};
/// A non-blocking listening socket.
backlog::UniqueFd listen_on(std::uint16_t port, int limit, ListenOptions options = {});
/// Starts a connection to the IPv4 address, which is in host order; the close will be a reset, so
/// that nothing stays in TIME_WAIT. Does not wait for the answer.
backlog::UniqueFd start_connect(std::uint32_t address, std::uint16_t port);
/// Of a listening socket: connections in the accept queue.
std::uint32_t queue_length(int listener);
/// Of any socket: sk_drops.
std::uint32_t socket_drops(int socket);
/// Accepts one connection and resets it; false if none is waiting.
bool accept_and_reset(int listener);

void sleep_until(Clock::time_point time);
void pin_to_cpu(int cpu);

/// q from 0 to 1; of an empty list 0.
double quantile(std::vector<double> values, double q);
inline double median(std::vector<double> values) { return quantile(std::move(values), 0.5); }

/// Prints "name value" for the driver.
void print_figure(std::string_view name, double value);

} // namespace bench
