#include "dispatch.h"

#include "collectd_api.h"
#include "series.h"

#include <algorithm>

namespace backlog {

namespace {

/// collectd counts time in units of 2^-30 s (utils_time.h).
cdtime_t to_cdtime(std::chrono::duration<double> time) {
  return static_cast<cdtime_t>(time.count() * 1073741824.0);
}

template <std::size_t size> void copy_text(std::string_view text, char (&target)[size]) {
  const std::size_t length = std::min(text.size(), size - 1);
  std::copy_n(text.begin(), length, target);
  target[length] = '\0';
}

} // namespace

void dispatch_values(const Table &table, ValueSet values, std::chrono::duration<double> interval) {
  value_list_t list{};
  list.values_len = 1;
  list.time = to_cdtime(table.taken_at.time_since_epoch());
  list.interval = to_cdtime(interval);
  copy_text("backlog", list.plugin);
  for_each_value(table, values, [&](const SeriesValue &series) {
    value_t value{};
    if (const double *gauge = std::get_if<double>(&series.value))
      value.gauge = *gauge;
    else
      value.derive = *std::get_if<std::int64_t>(&series.value);
    list.values = &value;
    copy_text(series.plugin_instance, list.plugin_instance);
    copy_text(series.type, list.type);
    copy_text(series.type_instance, list.type_instance);
    plugin_dispatch_values(&list);
  });
}

} // namespace backlog
