#pragma once

#include "alarms.h"
#include "backlog/table_reader.h"
#include "harvest.h"
#include "recent_worst.h"
#include "table.h"

#include <chrono>
#include <cstdint>

namespace backlog {

/// The table for other processes. interval: collectd's. alarms: after this interval. began_ns:
/// CLOCK_BOOTTIME when the host's counters began. recent: kept from table to table.
TableContents table_contents(const Table &table, const Harvest &harvest,
                             std::chrono::duration<double> interval, const Alarms &alarms,
                             std::int64_t began_ns, RecentWorst &recent);

} // namespace backlog
