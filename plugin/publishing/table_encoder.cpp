#include "table_encoder.h"

#include "listener_name.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace backlog {

namespace {

using namespace std::chrono;

std::int64_t nanoseconds_of(BootClock::time_point time) { return time.time_since_epoch().count(); }

/// Copies a value that is known and sets its bit.
template <class From, class To>
void take(const std::optional<From> &from, To &to, std::uint32_t bit, std::uint32_t &has) {
  if (!from)
    return;
  to = static_cast<To>(*from);
  has |= bit;
}

void take_address(const ListenerIdentity &identity, Family family, layout::Listener &record) {
  if (family != Family::tcp) {
    layout::set_text(record.path, identity.address);
    return;
  }
  record.address_type = identity.tcp.ipv6 ? layout::AddressType::ipv6 : layout::AddressType::ipv4;
  record.address = identity.tcp.bytes;
  record.scope = identity.tcp.device;
  record.port = identity.tcp.port;
}

/// The namespace's name in the table. A namespace can itself be called `self`.
std::string namespace_name(const std::string &net_namespace) {
  if (net_namespace.empty())
    return std::string(layout::own_namespace);
  const std::string name = net_namespace_part(net_namespace);
  return name == layout::own_namespace ? name + "_" : name;
}

void take_queue(const Row &row, layout::Listener &record) {
  if (!row.has_queue)
    return;
  record.has |= layout::has_queue;
  record.members = row.members;
  record.length = row.queue.last;
  record.peak = row.queue.peak;
  record.peak_capacity = row.queue.peak_queues.capacity();
  record.limit = row.limit;
  record.mean = row.queue.mean;
  record.used_percent = std::clamp(row.queue.used_percent, 0.0, 100.0);
  record.full_percent = std::clamp(row.queue.full_percent, 0.0, 100.0);
}

void take_worst(const Row &row, const WorstFigures &worst, layout::Listener &record) {
  record.has |= layout::has_recent;
  record.recent_peak = worst.peak;
  record.recent_peak_capacity =
      worst.peak > 0 ? worst.peak_capacity : row.queue.peak_queues.capacity();
  record.recent_used_percent = std::clamp(worst.used_percent, 0.0, 100.0);
  record.recent_state = worst.state;
  record.recent_severity = worst.severity;
  if (!row.drops || !row.overflows)
    return;
  record.has |= layout::has_recent_dropped;
  record.recent_dropped = worst.dropped;
  record.recent_overflows = worst.overflows;
}

void take_seconds(const std::optional<duration<double>> &from, double &to, std::uint32_t bit,
                  std::uint32_t &has) {
  if (from)
    take(std::optional(std::max(from->count(), 0.0)), to, bit, has);
}

void take_waits(const Row &row, layout::Listener &record) {
  take_seconds(row.oldest_wait, record.oldest_wait_seconds, layout::has_oldest_wait, record.has);
  take_seconds(row.wait_mean, record.wait_mean_seconds, layout::has_wait_mean, record.has);
  if (row.wait_histogram) {
    record.wait_counts = row.wait_histogram->counts;
    record.wait_seconds = row.wait_histogram->seconds;
    record.has |= layout::has_wait_counts;
  }
  if (!row.wait_p50 || !row.wait_p99)
    return;
  take_seconds(row.wait_p50, record.wait_p50_seconds, layout::has_wait_quantiles, record.has);
  take_seconds(row.wait_p99, record.wait_p99_seconds, layout::has_wait_quantiles, record.has);
}

WorstFigures worst_of(const Row &row, const StandingAlarm &alarm) {
  const Diagnosis &diagnosis = *row.diagnosis;
  WorstFigures worst{.dropped = row.interval_drops.value_or(0),
                     .overflows = diagnosis.overflows,
                     .state = diagnosis.state,
                     .severity = alarm.severity};
  if (row.has_queue) {
    worst.peak = row.queue.peak;
    if (worst.peak > 0)
      worst.peak_capacity = row.queue.peak_queues.capacity();
    worst.used_percent = row.queue.used_percent;
  }
  return worst;
}

layout::Listener listener_record(const Row &row, const StandingAlarm &alarm) {
  const Diagnosis &diagnosis = *row.diagnosis;
  layout::Listener record{};
  layout::set_text(record.name, row.name);
  layout::set_text(record.owner, row.owner);
  layout::set_text(record.message, diagnosis.message, layout::TextForm::printable);
  layout::set_text(record.address_name, row.address_name);
  layout::set_text(record.clients, row.clients, layout::TextForm::printable);
  record.state = diagnosis.state;
  record.cause = diagnosis.cause;
  record.limit_source = diagnosis.limit_source;
  record.severity = alarm.severity;
  record.alarm_state = alarm.state;
  record.alarm_cause = alarm.cause;
  if (row.identity != nullptr)
    take_address(*row.identity, row.family, record);
  take_queue(row, record);
  if (row.drops && row.overflows) {
    record.has |= layout::has_dropped;
    record.dropped = row.drops->drops;
    record.overflows = row.overflows->drops;
    record.counted_since_ns = nanoseconds_of(row.drops->since);
  }
  if (row.syn_overflows && row.ack_overflows) {
    record.has |= layout::has_overflow_kinds;
    record.syn_overflows = *row.syn_overflows;
    record.ack_overflows = *row.ack_overflows;
  }
  take(row.syn_length, record.syn_length, layout::has_syn_length, record.has);
  take(row.arrivals, record.arrivals, layout::has_arrivals, record.has);
  take(row.accepts, record.accepts, layout::has_accepts, record.has);
  take(row.peak_bound, record.peak_bound, layout::has_peak_bound, record.has);
  take(row.day_peak, record.day_peak, layout::has_day_peak, record.has);
  take(row.enough, record.enough, layout::has_enough, record.has);
  take_waits(row, record);
  if (diagnosis.is_expected)
    record.has |= layout::is_expected;
  if (row.precedence.stable)
    record.has |= layout::is_stable;
  return record;
}

layout::Namespace namespace_record(const KernelRow &row) {
  layout::Namespace record{};
  layout::set_text(record.name, namespace_name(row.net_namespace));
  if (row.counters)
    for (std::size_t i = 0; i < layout::counter_names.size(); ++i)
      take(row.counters->values[i], record.counters[i], 1U << i, record.has_counter);
  if (row.limits) {
    const NetLimits &limits = *row.limits;
    take(limits.somaxconn, record.somaxconn, layout::has_somaxconn, record.has);
    take(limits.tcp_max_syn_backlog, record.tcp_max_syn_backlog, layout::has_tcp_max_syn_backlog,
         record.has);
    take(limits.tcp_syncookies, record.tcp_syncookies, layout::has_tcp_syncookies, record.has);
    take(limits.tcp_abort_on_overflow, record.tcp_abort_on_overflow,
         layout::has_tcp_abort_on_overflow, record.has);
  }
  take(row.drops_unattributed, record.unattributed, layout::has_unattributed, record.has);
  take(row.syn_total, record.syn_total, layout::has_syn_total, record.has);
  if (row.tcp_unread)
    record.has |= layout::tcp_unread;
  if (row.unix_unread)
    record.has |= layout::unix_unread;
  record.counted_since_ns = nanoseconds_of(row.counted_since);
  return record;
}

/// The name in the namespace's record.
std::string record_name(const std::string &net_namespace) {
  decltype(layout::Namespace::name) field{};
  layout::set_text(field, namespace_name(net_namespace));
  return std::string(layout::text_of(field));
}

/// The rows of single listeners, each name once, since listeners of two namespaces can have one
/// name.
std::vector<const Row *> rows_by_name(const Table &table) {
  std::vector<const Row *> rows;
  rows.reserve(table.rows.size());
  for (const Row &row : table.rows)
    if (row.diagnosis)
      rows.push_back(&row);
  std::stable_sort(rows.begin(), rows.end(),
                   [](const Row *a, const Row *b) { return a->name < b->name; });
  rows.erase(std::unique(rows.begin(), rows.end(),
                         [](const Row *a, const Row *b) { return a->name == b->name; }),
             rows.end());
  return rows;
}

/// Adds the namespaces, each name once and the own one first, and returns their positions.
std::map<std::string, std::uint32_t> add_namespaces(const Table &table, TableContents &contents) {
  std::map<std::string, std::uint32_t> positions;
  for (const KernelRow &row : table.kernels) {
    layout::Namespace record = namespace_record(row);
    const auto position = static_cast<std::uint32_t>(contents.namespaces.size());
    if (positions.try_emplace(std::string(layout::text_of(record.name)), position).second)
      contents.namespaces.push_back(record);
  }
  return positions;
}

/// rows: in the order of the records.
void add_waits(const Table &table, const std::vector<const Row *> &rows, TableContents &contents) {
  if (table.waits.empty())
    return;
  std::map<const Row *, std::uint32_t> positions;
  for (std::size_t i = 0; i < rows.size(); ++i)
    positions.emplace(rows[i], static_cast<std::uint32_t>(i));
  for (const ListenerWait &wait : table.waits) {
    const auto from = positions.find(&table.rows[wait.from]);
    const auto to = positions.find(&table.rows[wait.to]);
    if (from == positions.end() || to == positions.end())
      continue;
    layout::Listener &record = contents.listeners[from->second];
    if (record.state != layout::State::ok)
      record.waits_for = to->second + 1;
  }
}

} // namespace

TableContents table_contents(const Table &table, const Harvest &harvest, duration<double> interval,
                             const Alarms &alarms, std::int64_t began_ns, RecentWorst &recent) {
  TableContents contents;
  layout::Header &header = contents.header;
  header.taken_at_ns = duration_cast<nanoseconds>(table.taken_at.time_since_epoch()).count();
  header.taken_at_boot_ns = nanoseconds_of(harvest.taken_at_boot);
  header.interval_ns = duration_cast<nanoseconds>(interval).count();
  header.measured_ns = harvest.measured.count();
  header.counted_since_ns = began_ns;
  header.events = static_cast<layout::Events>(table.sampler.events.value_or(0));
  take(table.sampler.cpu_percent, header.cpu_percent, layout::has_cpu, header.has);
  if (table.is_complete)
    header.has |= layout::is_complete;
  if (table.sampler.period) {
    header.period_seconds = table.sampler.period->count();
    header.has |= layout::has_period;
  }
  if (table.host) {
    header.has |= layout::has_host;
    header.unreported = static_cast<std::uint32_t>(table.host->unreported);
    take(table.host->dropped, header.dropped, layout::has_host_dropped, header.has);
  }
  const std::map<std::string, std::uint32_t> positions = add_namespaces(table, contents);
  const std::vector<const Row *> rows = rows_by_name(table);
  contents.listeners.reserve(rows.size());
  const auto now = steady_clock::now();
  for (const Row *row : rows) {
    const StandingAlarm alarm = alarms.standing(row->name);
    layout::Listener &record = contents.listeners.emplace_back(listener_record(*row, alarm));
    take_worst(*row, recent.add(row->name, worst_of(*row, alarm), now), record);
    if (const auto position = positions.find(record_name(row->net_namespace));
        position != positions.end())
      record.net_namespace = position->second;
  }
  recent.prune(now);
  add_waits(table, rows, contents);
  return contents;
}

} // namespace backlog
