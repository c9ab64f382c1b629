#include "series.h"

#include <string>

namespace backlog {

namespace {

using Sink = FunctionRef<void(const SeriesValue &)>;

/// The values of one plugin instance.
class Instance {
public:
  Instance(std::string_view name, Sink sink) : name_(name), sink_(sink) {}

  void gauge(std::string_view type, std::string_view type_instance, double value) const {
    sink_({name_, type, type_instance, value});
  }
  void gauge(std::string_view type, std::string_view type_instance,
             std::optional<std::int64_t> value) const {
    if (value)
      gauge(type, type_instance, static_cast<double>(*value));
  }
  void counter(std::string_view type, std::string_view type_instance, std::uint64_t value) const {
    sink_({name_, type, type_instance, static_cast<std::int64_t>(value)});
  }

private:
  std::string_view name_;
  Sink sink_;
};

void listener_values(const Row &row, ValueSet values, Sink sink) {
  const Instance listener(row.name, sink);
  listener.gauge("queue_length", "accept", static_cast<double>(row.queue.last));
  listener.gauge("queue_length", "limit", static_cast<double>(row.limit));
  listener.gauge("percent", "used", row.queue.used_percent);
  if (values == ValueSet::full)
    listener.gauge("count", "sockets", static_cast<double>(row.members));
}

void kernel_values(const Table &table, Sink sink) {
  const Instance kernel("kernel", sink);
  if (table.counters) {
    for (std::size_t i = 0; i < counter_count; ++i)
      if (const auto value = table.counters->values[i])
        kernel.counter("protocol_counter", counter_name(static_cast<Counter>(i)), *value);
  }
  if (table.limits) {
    kernel.gauge("gauge", "somaxconn", table.limits->somaxconn);
    kernel.gauge("gauge", "tcp_max_syn_backlog", table.limits->tcp_max_syn_backlog);
    kernel.gauge("gauge", "tcp_syncookies", table.limits->tcp_syncookies);
    kernel.gauge("gauge", "tcp_abort_on_overflow", table.limits->tcp_abort_on_overflow);
  }
}

} // namespace

void for_each_value(const Table &table, ValueSet values, Sink sink) {
  for (const Row &row : table.rows)
    if (row.has_series)
      listener_values(row, values, sink);
  if (table.tcp_unstable)
    listener_values(*table.tcp_unstable, values, sink);
  kernel_values(table, sink);
}

} // namespace backlog
