#pragma once

#include "alarms.h"
#include "backlog/table_reader.h"
#include "harvest.h"
#include "table.h"

#include <chrono>
#include <cstdint>

namespace backlog {

/// The table as other processes get it. interval: collectd's; alarms: as they stand after this
/// interval; began_ns: CLOCK_BOOTTIME when the counters of the host began.
TableContents table_contents(const Table &table, const Harvest &harvest,
                             std::chrono::duration<double> interval, const Alarms &alarms,
                             std::int64_t began_ns);

} // namespace backlog
