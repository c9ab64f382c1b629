#pragma once

#include "backlog/table_reader.h"

#include <cstdint>
#include <string>

namespace backlog {

/// The table as metrics for Prometheus, with HELP, TYPE and UNIT, and an EOF at its end. A counter
/// is declared by its whole name, since node_exporter's textfile collector reads the older text
/// format. A stale table has no listeners and no namespaces, since their figures would pass for
/// current ones. Unstable listeners are included only with_unstable, since each start would be a
/// new series.
std::string openmetrics_text(const TableContents &contents, std::int64_t now_ns,
                             bool with_unstable);

/// The text if there is no table.
std::string openmetrics_without_table();

} // namespace backlog
