#pragma once

#include "config.h"
#include "function_ref.h"
#include "table.h"

#include <cstdint>
#include <string_view>
#include <variant>

namespace backlog {

/// One value of one series: a gauge, or a counter for collectd's DERIVE.
struct SeriesValue {
  std::string_view plugin_instance;
  std::string_view type;
  std::string_view type_instance;
  std::variant<double, std::int64_t> value;
  bool at_begin = false; ///< of the interval, else at its end
};

/// Every value that a table has for collectd's stores; first those at the interval's beginning,
/// since collectd takes no value older than the last of its series, and takes them in threads.
void for_each_value(const Table &table, ValueSet values,
                    FunctionRef<void(const SeriesValue &)> sink);

} // namespace backlog
