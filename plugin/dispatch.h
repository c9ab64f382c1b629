#pragma once

#include "table.h"

#include <chrono>

namespace backlog {

/// Hands a table's values to collectd; called on collectd's threads only.
void dispatch_values(const Table &table, ValueSet values, std::chrono::duration<double> interval);

} // namespace backlog
