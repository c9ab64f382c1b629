#pragma once

#include "fault_log.h"
#include "kernel_file.h"
#include "result.h"

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace backlog {

/// TCP sockets that a scan of all connections meets, from a text in the format of
/// /proc/net/sockstat: those of the whole host, and one net namespace's in TIME_WAIT.
std::optional<std::uint64_t> parse_tcp_sockets(std::string_view sockstat);

/// Reads that number in the calling thread's net namespace.
class TcpSocketsReader {
public:
  TcpSocketsReader();

  Result<std::uint64_t> read();

private:
  KernelFile sockstat_;
};

/// Shares a part of one CPU among scans, each of which walks all connections of the host. All of
/// them together take no more than that on average, and no more in one interval, but for one scan
/// that takes more by itself: that one saves up. Every kind of scan has an equal claim; what a
/// cheap one does not use is the others'.
class ScanBudget {
public:
  using TimePoint = std::chrono::steady_clock::time_point;
  using Duration = std::chrono::nanoseconds;

  /// share: of one CPU, 0.01 for one percent; interval: between two plans, as a rule.
  ScanBudget(double share, Duration interval);

  /// The kinds of scan to run now, in this order; the one that has waited longest comes first.
  /// Each is to be reported. wanted: without repetition, each as it shall appear in the log.
  std::vector<std::string> plan(const std::vector<std::string> &wanted, TimePoint now,
                                std::uint64_t sockets);
  void report(const std::string &kind, Duration cpu_time, std::uint64_t sockets);

  /// The kinds that have been left out, now or not long ago.
  std::vector<Fault> skipped() const;

private:
  struct Cost {
    Duration cpu_time;
    std::uint64_t sockets;
  };
  struct Scan {
    std::optional<Cost> last;
    Duration predicted{0}; ///< as of the last plan
    Duration saved{0};     ///< towards the next run; negative: the last one took more
    std::uint64_t last_wanted = 0;
    std::uint64_t last_run = 0; ///< 0: never
    std::optional<std::uint64_t> last_skipped;
    bool wanted = false; ///< in the last plan

    Duration missing() const;
  };

  void hand_out(Duration time);
  void forget_unwanted();

  double share_;
  Duration interval_time_; ///< CPU time an interval
  Duration interval_;
  std::optional<TimePoint> last_plan_;
  std::uint64_t plan_ = 0; ///< number of the last one
  std::map<std::string, Scan> scans_;
};

} // namespace backlog
