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
};

/// Every value that a table has for collectd's stores.
void for_each_value(const Table &table, ValueSet values,
                    FunctionRef<void(const SeriesValue &)> sink);

} // namespace backlog
