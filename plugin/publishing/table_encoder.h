#pragma once

#include "alarms.h"
#include "backlog/table_reader.h"
#include "harvest.h"
#include "recent_worst.h"
#include "table.h"

#include <chrono>
#include <cstdint>
#include <map>

namespace backlog {

/// Converts times of the steady clock, which stops while the system sleeps, to CLOCK_BOOTTIME. A
/// time has the same result in every table.
class BootTimes {
public:
  using TimePoint = std::chrono::steady_clock::time_point;

  /// Returns nanoseconds.
  std::int64_t at(TimePoint time);
  /// Forgets the times that were not requested since the last call.
  void next_table();

private:
  std::map<TimePoint, std::int64_t> known_;
  std::map<TimePoint, std::int64_t> asked_;
};

/// State kept from one table to the next.
struct TableMemory {
  BootTimes times;
  RecentWorst recent;
};

/// The table for other processes. interval: collectd's. alarms: after this interval. began_ns:
/// CLOCK_BOOTTIME when the host's counters began.
TableContents table_contents(const Table &table, const Harvest &harvest,
                             std::chrono::duration<double> interval, const Alarms &alarms,
                             std::int64_t began_ns, TableMemory &memory);

} // namespace backlog
