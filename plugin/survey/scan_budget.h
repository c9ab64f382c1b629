#pragma once

#include "fault_log.h"

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace backlog {

/// Shares a part of one CPU among scans, which walk all connections or all processes of the host.
/// All of them together take no more than that on average, and no more in one interval, but for one
/// scan that takes more by itself: that one saves up. Every kind of scan has an equal claim; what a
/// cheap one does not use is the others'.
class ScanBudget {
public:
  using TimePoint = std::chrono::steady_clock::time_point;
  using Duration = std::chrono::nanoseconds;

  /// share: of one CPU, 0.01 for one percent; interval: between two plans, as a rule.
  ScanBudget(double share, Duration interval);

  /// Begins an interval in which these kinds of scan are wanted, each once, and called as it shall
  /// appear in the log.
  void begin(const std::vector<std::string> &wanted, TimePoint now, std::uint64_t sockets);
  /// The kind to scan now, the one that has waited longest first; empty: no more in this interval.
  /// Each one is to be reported before the next.
  std::optional<std::string> next();
  void report(const std::string &kind, Duration cpu_time);

  /// The kinds that have been left out, now or not long ago.
  std::vector<Fault> skipped() const;

private:
  struct Cost {
    Duration cpu_time;
    std::uint64_t sockets;
  };
  struct Scan {
    std::optional<Cost> last;
    Duration predicted{0}; ///< in this interval; 0: not known
    Duration saved{0};     ///< towards the next run; negative: the last one took more
    std::uint64_t last_wanted = 0;
    std::uint64_t last_run = 0; ///< 0: never
    std::optional<std::uint64_t> last_skipped;
  };

  using Scans = std::map<std::string, Scan>;

  Duration missing(const Scan &scan) const;
  void hand_out_spare();
  void forget_unwanted();

  double share_;
  Duration interval_;
  Duration interval_time_; ///< CPU time an interval
  Duration spare_{0};      ///< CPU time that no scan has claimed
  Scans scans_;
  std::optional<TimePoint> begun_;
  std::uint64_t number_ = 0;               ///< of the interval under way
  std::uint64_t sockets_ = 0;              ///< in it, as below
  std::vector<Scans::value_type *> turns_; ///< wanted and not yet run, the next one last
  Duration left_{0};                       ///< for scans that fit into one interval
  bool had_large_ = false;                 ///< one that does not
};

} // namespace backlog
