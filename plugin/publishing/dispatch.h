#pragma once

#include "alarms.h"
#include "table.h"

#include <chrono>

namespace backlog {

/// Passes a table's values to collectd; call it on collectd's threads only.
void dispatch_values(const Table &table, ValueSet values, std::chrono::duration<double> interval);

/// Passes a notification to collectd, which runs its receivers in this thread. row: the listener's,
/// nullptr if it has none.
void dispatch_notification(const Notification &alarm, const Row *row);

} // namespace backlog
