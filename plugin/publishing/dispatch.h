#pragma once

#include "alarms.h"
#include "table.h"

#include <chrono>

namespace backlog {

/// Hands a table's values to collectd; called on collectd's threads only.
void dispatch_values(const Table &table, ValueSet values, std::chrono::duration<double> interval);

/// Hands a notification to collectd's chain, which runs its receivers in this thread. The row is
/// that of the notification's listener, nullptr if it has none.
void dispatch_notification(const Notification &told, const Row *row);

} // namespace backlog
