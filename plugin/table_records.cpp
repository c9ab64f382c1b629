#include "table_records.h"

#include <algorithm>
#include <optional>

namespace backlog {

namespace {

using namespace std::chrono;

std::int64_t boot_ns(steady_clock::time_point time) {
  const auto age = duration_cast<nanoseconds>(steady_clock::now() - time).count();
  return std::max<std::int64_t>(clock_ns() - age, 0);
}

/// Takes over the value, and the bit that says so, if there is one.
template <class From, class To>
void take(const std::optional<From> &from, To &to, std::uint32_t bit, std::uint32_t &has) {
  if (!from)
    return;
  to = static_cast<To>(*from);
  has |= bit;
}

void take_address(const ListenerIdentity &identity, bool is_tcp, layout::Listener &record) {
  if (!is_tcp) {
    layout::set_text(record.path, identity.address);
    return;
  }
  record.address_type = identity.tcp.ipv6 ? layout::AddressType::ipv6 : layout::AddressType::ipv4;
  record.address = identity.tcp.bytes;
  record.scope = identity.tcp.device;
  record.port = identity.tcp.port;
}

layout::Listener listener_record(const Row &row) {
  layout::Listener record{};
  layout::set_text(record.name, row.name);
  take_address(*row.identity, row.is_tcp, record);
  record.has = layout::has_queue;
  record.members = row.members;
  record.length = row.queue.last;
  record.peak = row.queue.peak;
  record.limit = row.limit;
  record.mean = row.queue.mean;
  record.used_percent = row.queue.used_percent;
  record.full_percent = std::clamp(row.queue.full_percent, 0.0, 100.0);
  if (row.drops && row.overflows) {
    record.has |= layout::has_dropped;
    record.dropped = row.drops->drops;
    record.overflows = row.overflows->drops;
    record.counted_since_ns = boot_ns(row.drops->since);
  }
  take(row.syn_length, record.syn_length, layout::has_syn_length, record.has);
  return record;
}

layout::Namespace own_namespace_record(const Table &table, std::int64_t began_ns) {
  static_assert(counter_count == layout::counter_names.size());
  layout::Namespace record{};
  layout::set_text(record.name, layout::own_namespace);
  if (table.counters)
    for (std::size_t i = 0; i < counter_count; ++i)
      take(table.counters->values[i], record.counters[i], 1U << i, record.has_counter);
  if (table.limits) {
    const NetLimits &limits = *table.limits;
    take(limits.somaxconn, record.somaxconn, layout::has_somaxconn, record.has);
    take(limits.tcp_max_syn_backlog, record.tcp_max_syn_backlog, layout::has_tcp_max_syn_backlog,
         record.has);
    take(limits.tcp_syncookies, record.tcp_syncookies, layout::has_tcp_syncookies, record.has);
    take(limits.tcp_abort_on_overflow, record.tcp_abort_on_overflow,
         layout::has_tcp_abort_on_overflow, record.has);
  }
  take(table.drops_unattributed, record.unattributed, layout::has_unattributed, record.has);
  take(table.syn_total, record.syn_total, layout::has_syn_total, record.has);
  record.counted_since_ns = began_ns;
  return record;
}

} // namespace

TableContents table_contents(const Table &table, const Harvest &harvest, duration<double> interval,
                             std::int64_t began_ns) {
  TableContents contents;
  layout::Header &header = contents.header;
  const auto age = system_clock::now() - table.taken_at;
  header.taken_at_ns = duration_cast<nanoseconds>(table.taken_at.time_since_epoch()).count();
  header.taken_at_boot_ns = clock_ns() - std::max<std::int64_t>(nanoseconds(age).count(), 0);
  header.interval_ns = duration_cast<nanoseconds>(interval).count();
  header.measured_ns = harvest.measured.count();
  header.counted_since_ns = began_ns;
  header.cpu_percent = table.sampler.cpu_percent;
  if (harvest.own.tcp.read)
    header.has |= layout::has_tcp;
  if (harvest.own.unix_sockets && harvest.own.unix_sockets->read)
    header.has |= layout::has_unix;
  if (table.sampler.period) {
    header.period_seconds = table.sampler.period->count();
    header.has |= layout::has_period;
  }
  if (table.host) {
    header.dropped = table.host->dropped;
    header.unreported = static_cast<std::uint32_t>(table.host->unreported);
  }
  contents.namespaces.push_back(own_namespace_record(table, began_ns));
  for (const Row &row : table.rows)
    if (row.identity != nullptr && row.has_queue)
      contents.listeners.push_back(listener_record(row));
  return contents;
}

} // namespace backlog
