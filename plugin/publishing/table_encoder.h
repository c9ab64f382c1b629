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

/// Times of CLOCK_BOOTTIME for those of the steady clock, which stands still while the system
/// sleeps. Each is the same in every table that has it.
class BootTimes {
public:
  using TimePoint = std::chrono::steady_clock::time_point;

  /// Nanoseconds.
  std::int64_t at(TimePoint time);
  /// Forgets those that were not asked for since the last call.
  void next_table();

private:
  std::map<TimePoint, std::int64_t> known_;
  std::map<TimePoint, std::int64_t> asked_;
};

/// What goes from one table to the next.
struct TableMemory {
  BootTimes times;
  RecentWorst recent;
};

/// The table as other processes get it. interval: collectd's; alarms: as they stand after this
/// interval; began_ns: CLOCK_BOOTTIME when the counters of the host began.
TableContents table_contents(const Table &table, const Harvest &harvest,
                             std::chrono::duration<double> interval, const Alarms &alarms,
                             std::int64_t began_ns, TableMemory &memory);

} // namespace backlog
