#pragma once

#include "fault_log.h"

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace backlog {

/// Divides a share of one CPU among scans, which walk all connections or all processes of the host.
/// Together they take no more than the share, on average and in one interval, except that a scan
/// which is too long for one interval saves up for it. Every kind has an equal claim; what a cheap
/// one leaves goes to the others.
class ScanBudget {
public:
  using TimePoint = std::chrono::steady_clock::time_point;
  using Duration = std::chrono::nanoseconds;

  /// share: of one CPU, 0.01 for one percent. interval: the usual time between two begin().
  ScanBudget(double share, Duration interval);

  /// Begins an interval in which these kinds of scan are wanted, each once. Their names appear in
  /// the log. at_the_end: a kind that needs the results of others, "" for none; when it has waited
  /// longest, the others leave it its part.
  void begin(const std::vector<std::string> &wanted, TimePoint now, std::uint64_t sockets,
             std::string_view at_the_end = "");
  /// Returns the kind to scan next, the one that has waited longest first; empty when this interval
  /// allows no more. Report each scan before the next call.
  std::optional<std::string> next();
  void report(const std::string &kind, Duration cpu_time);

  /// The kinds that were left out, now or recently.
  std::vector<Fault> skipped() const;

private:
  struct Cost {
    Duration cpu_time;
    std::uint64_t sockets;
  };
  struct Scan {
    std::optional<Cost> last;
    Duration predicted{0}; ///< for this interval; 0 if unknown
    Duration saved{0};     ///< for the next run; negative if the last run took more
    std::uint64_t last_wanted = 0;
    std::uint64_t last_run = 0; ///< 0 for never
    std::optional<std::uint64_t> last_skipped;
  };

  using Scans = std::map<std::string, Scan>;

  Duration missing(const Scan &scan) const;
  void hand_out_spare();
  void forget_unwanted();

  double share_;
  Duration interval_;
  Duration interval_time_;      ///< CPU time per interval
  std::uint64_t until_regular_; ///< intervals until a scan that ran in all of them is no fault
  Duration spare_{0};           ///< CPU time that no scan has claimed
  Scans scans_;
  std::optional<TimePoint> begun_;
  std::uint64_t number_ = 0;                    ///< number of the current interval
  std::uint64_t sockets_ = 0;                   ///< sockets in it
  std::vector<Scans::value_type *> turns_;      ///< wanted and not yet run, the next one last
  Duration left_{0};                            ///< for scans that fit into one interval
  const Scans::value_type *reserved_ = nullptr; ///< waits for its turn at the end
  bool had_large_ = false;                      ///< one scan has run that does not fit
};

} // namespace backlog
