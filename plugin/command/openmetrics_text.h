#pragma once

#include "backlog/table_reader.h"

#include <cstdint>
#include <string>

namespace backlog {

/// The table as metrics for Prometheus, with HELP, TYPE and UNIT, and an EOF at its end. A counter
/// is declared by its whole name, since node_exporter's textfile collector reads the older text
/// format. Of a table that is stale there are no listeners and no namespaces: their figures would
/// pass for those of now. Listeners that are not stable are in it only with_unstable: each of their
/// starts would be further series.
std::string openmetrics_text(const TableContents &contents, std::int64_t now_ns,
                             bool with_unstable);

/// Where there is no table.
std::string openmetrics_without_table();

} // namespace backlog
