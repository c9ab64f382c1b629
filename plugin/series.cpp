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

double real(std::uint64_t value) { return static_cast<double>(value); }

void listener_values(const Row &row, ValueSet values, Sink sink) {
  const Instance listener(row.name, sink);
  if (row.dropped)
    listener.counter("packets", "dropped", *row.dropped);
  if (!row.has_queue)
    return;
  listener.gauge("queue_length", "accept", real(row.queue.last));
  listener.gauge("queue_length", "accept_peak", real(row.queue.peak));
  listener.gauge("queue_length", "limit", real(row.limit));
  listener.gauge("percent", "used", row.queue.used_percent);
  if (values != ValueSet::full)
    return;
  listener.gauge("queue_length", "accept_mean", row.queue.mean);
  if (row.syn_length)
    listener.gauge("queue_length", "syn", real(*row.syn_length));
  listener.gauge("percent", "full", row.queue.full_percent);
  listener.gauge("count", "sockets", real(row.members));
}

void host_values(const HostFigures &figures, Sink sink) {
  const Instance host("host", sink);
  host.gauge("percent", "worst", figures.worst_used_percent);
  host.gauge("count", "listeners", real(figures.listeners));
  host.gauge("count", "unreported", real(figures.unreported));
  host.counter("packets", "dropped", figures.dropped);
}

void sampler_values(const SamplerFigures &figures, Sink sink) {
  const Instance sampler("sampler", sink);
  if (figures.period)
    sampler.gauge("duration", "period", figures.period->count());
  if (figures.cpu_percent)
    sampler.gauge("percent", "cpu", *figures.cpu_percent);
}

void kernel_values(const Table &table, Sink sink) {
  const Instance kernel("kernel", sink);
  if (table.counters) {
    for (std::size_t i = 0; i < counter_count; ++i)
      if (const auto value = table.counters->values[i])
        kernel.counter("protocol_counter", counter_name(static_cast<Counter>(i)), *value);
  }
  if (table.drops_unattributed)
    kernel.counter("packets", "dropped_unattributed", *table.drops_unattributed);
  if (table.syn_total)
    kernel.gauge("queue_length", "syn", real(*table.syn_total));
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
  kernel_values(table, sink);
  if (table.host)
    host_values(*table.host, sink);
  sampler_values(table.sampler, sink);
}

} // namespace backlog
