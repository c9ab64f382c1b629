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
  bool at_begin = false; ///< at the beginning of the interval, not at its end
};

/// Visits every value of a table for collectd's stores. Values at the interval's beginning come
/// first, because collectd refuses a value older than the last of its series, and its threads take
/// them in order.
void for_each_value(const Table &table, ValueSet values,
                    FunctionRef<void(const SeriesValue &)> sink);

} // namespace backlog
