#include "series.h"

#include <string>
#include <utility>

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
  void counter(std::string_view type, std::string_view type_instance, std::uint64_t value,
               bool at_begin = false) const {
    sink_({name_, type, type_instance, static_cast<std::int64_t>(value), at_begin});
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
  if (row.diagnosis)
    listener.gauge("gauge", "state", static_cast<double>(row.diagnosis->state));
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
  if (row.enough)
    listener.gauge("queue_length", "enough", real(*row.enough));
  if (row.arrived)
    listener.counter("connections", "arrived", *row.arrived);
  if (row.accepted)
    listener.counter("connections", "accepted", *row.accepted);
  for (const auto &[name, wait] :
       {std::pair{"wait_mean", row.wait_mean}, std::pair{"wait_p50", row.wait_p50},
        std::pair{"wait_p99", row.wait_p99}})
    if (wait)
      listener.gauge("duration", name, wait->count());
  if (row.oldest_wait)
    listener.gauge("duration", "oldest_wait", row.oldest_wait->count());
  listener.gauge("count", "sockets", real(row.members));
}

void host_values(const HostFigures &figures, Sink sink) {
  const Instance host("host", sink);
  host.gauge("percent", "worst", figures.worst_used_percent);
  host.gauge("count", "listeners", real(figures.listeners));
  host.gauge("count", "high", real(figures.high));
  host.gauge("count", "overflow", real(figures.overflow));
  host.gauge("count", "stalled", real(figures.stalled));
  host.gauge("count", "missing", real(figures.missing));
  host.gauge("count", "unreported", real(figures.unreported));
  if (figures.dropped)
    host.counter("packets", "dropped", *figures.dropped);
}

void sampler_values(const SamplerFigures &figures, Sink sink) {
  const Instance sampler("sampler", sink);
  if (figures.period)
    sampler.gauge("duration", "period", figures.period->count());
  if (figures.others_period)
    sampler.gauge("duration", "period_netns", figures.others_period->count());
  if (figures.cpu_percent)
    sampler.gauge("percent", "cpu", *figures.cpu_percent);
  if (figures.events)
    sampler.gauge("gauge", "events", *figures.events);
}

void kernel_values(const KernelRow &row, Sink sink) {
  const Instance kernel(row.instance, sink);
  if (row.counters) {
    for (std::size_t i = 0; i < layout::counter_names.size(); ++i)
      if (const auto value = row.counters->values[i])
        kernel.counter("protocol_counter", layout::counter_names[i], *value);
  }
  if (row.drops_unattributed)
    kernel.counter("packets", "dropped_unattributed", *row.drops_unattributed);
  if (row.drops_unreported)
    kernel.counter("packets", "dropped_unreported", *row.drops_unreported);
  if (row.syn_total)
    kernel.gauge("queue_length", "syn", real(*row.syn_total));
  if (row.limits) {
    kernel.gauge("gauge", "somaxconn", row.limits->somaxconn);
    kernel.gauge("gauge", "tcp_max_syn_backlog", row.limits->tcp_max_syn_backlog);
    kernel.gauge("gauge", "tcp_syncookies", row.limits->tcp_syncookies);
    kernel.gauge("gauge", "tcp_abort_on_overflow", row.limits->tcp_abort_on_overflow);
  }
}

} // namespace

void for_each_value(const Table &table, ValueSet values, Sink sink) {
  for (const Row &row : table.rows)
    if (row.has_series && row.dropped_at_begin)
      Instance(row.name, sink).counter("packets", "dropped", *row.dropped_at_begin, true);
  for (const Row &row : table.rows)
    if (row.has_series)
      listener_values(row, values, sink);
  for (const KernelRow &kernel : table.kernels)
    if (kernel.has_series)
      kernel_values(kernel, sink);
  if (table.host)
    host_values(*table.host, sink);
  sampler_values(table.sampler, sink);
}

} // namespace backlog
