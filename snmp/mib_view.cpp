#include "mib_view.h"

#include <algorithm>
#include <array>
#include <compare>
#include <ctime>
#include <limits>

namespace backlog {

namespace {

using Type = MibValue::Type;

MibValue gauge(std::uint64_t number) {
  return {Type::gauge, std::min<std::uint64_t>(number, std::numeric_limits<std::uint32_t>::max()),
          ""};
}

MibValue rounded_gauge(double number) {
  constexpr double most = std::numeric_limits<std::uint32_t>::max();
  return gauge(static_cast<std::uint64_t>(std::llround(std::min(number, most))));
}

MibValue counter64(std::uint64_t number) { return {Type::counter64, number, ""}; }

/// TruthValue of RFC 2579.
MibValue truth(bool value) { return integer_value(value ? 1 : 2); }

std::uint64_t milliseconds(std::int64_t ns) {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(ns, 0) / 1'000'000);
}

/// DateAndTime of RFC 2579, in UTC.
MibValue date_and_time(std::int64_t real_ns) {
  const auto seconds = static_cast<std::time_t>(real_ns / 1'000'000'000);
  std::tm utc{};
  if (gmtime_r(&seconds, &utc) == nullptr)
    return octets_value("");
  const int year = utc.tm_year + 1900;
  const auto deciseconds = static_cast<int>(real_ns / 100'000'000 % 10);
  std::string text;
  for (const int byte : {year >> 8, year & 0xff, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour,
                         utc.tm_min, std::min(utc.tm_sec, 60), deciseconds, int{'+'}, 0, 0})
    text += static_cast<char>(byte);
  return {Type::octets, 0, std::move(text)};
}

/// For those who cannot show DateAndTime.
MibValue time_text(std::int64_t real_ns) {
  const auto seconds = static_cast<std::time_t>(real_ns / 1'000'000'000);
  std::tm utc{};
  std::array<char, 32> text{};
  if (gmtime_r(&seconds, &utc) == nullptr)
    return octets_value("");
  const std::size_t length = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &utc);
  return octets_value({text.data(), length});
}

bool is_link_local(const Snapshot::Listener &listener) {
  return listener.address[0] == 0xfe && (listener.address[1] & 0xc0U) == 0x80;
}

bool has_zone(const Snapshot::Listener &listener) {
  return listener.address_type == layout::AddressType::ipv6 && listener.scope != 0 &&
         is_link_local(listener);
}

/// InetAddressType of RFC 4001.
std::uint64_t inet_address_type(const Snapshot::Listener &listener) {
  switch (listener.address_type) {
  case layout::AddressType::ipv4:
    return 1;
  case layout::AddressType::ipv6:
    return has_zone(listener) ? 4 : 2;
  default:
    return 0;
  }
}

MibValue inet_address(const Snapshot::Listener &listener) {
  const std::array<std::size_t, 3> lengths{0, 4, 16};
  std::string text(reinterpret_cast<const char *>(listener.address.data()),
                   lengths[static_cast<std::size_t>(listener.address_type)]);
  if (has_zone(listener))
    for (int shift = 24; shift >= 0; shift -= 8)
      text += static_cast<char>((listener.scope >> static_cast<unsigned>(shift)) & 0xffU);
  return {Type::octets, 0, std::move(text)};
}

std::optional<MibValue> sysctl(const layout::Namespace &record, std::uint32_t bit,
                               std::int64_t value) {
  if ((record.has & bit) == 0)
    return std::nullopt;
  return gauge(static_cast<std::uint64_t>(std::max<std::int64_t>(value, 0)));
}

// The only instance of a scalar.
const Snapshot::Order scalar_instance{{0, 0}};
const Snapshot::Order no_instance;

} // namespace

/// One accessible object: its name without the instance, which is always a single number.
struct MibView::Column {
  std::array<std::uint32_t, 4> prefix;
  std::size_t prefix_length;
  std::uint32_t part; ///< mib::monitor, mib::listener_table or mib::namespace_table
  std::uint32_t number;

  OidView name() const { return {prefix.data(), prefix_length}; }

  /// Compares the first sub-identifiers of a name to this; a shorter name comes first.
  std::strong_ordering compare(OidView other) const {
    const OidView begin = other.first(std::min(other.size(), prefix_length));
    return std::lexicographical_compare_three_way(begin.begin(), begin.end(), name().begin(),
                                                  name().begin() +
                                                      static_cast<std::ptrdiff_t>(prefix_length));
  }
};

const std::vector<MibView::Column> &MibView::columns() {
  static const std::vector<Column> all = [] {
    std::vector<Column> columns;
    for (std::uint32_t n = mib::table_status; n <= mib::monitor_last; ++n)
      columns.push_back({{mib::objects, mib::monitor, n, 0}, 3, mib::monitor, n});
    for (std::uint32_t n = mib::listener_name; n <= mib::listener_last; ++n)
      columns.push_back({{mib::objects, mib::listener_table, 1, n}, 4, mib::listener_table, n});
    for (std::uint32_t n = mib::ns_name; n <= mib::ns_last; ++n)
      columns.push_back({{mib::objects, mib::namespace_table, 1, n}, 4, mib::namespace_table, n});
    return columns;
  }();
  return all;
}

MibValue gauge_value(std::optional<std::uint64_t> number) {
  return gauge(number.value_or(std::numeric_limits<std::uint32_t>::max()));
}
MibValue octets_value(std::string_view text) { return {Type::octets, 0, std::string(text)}; }
MibValue integer_value(std::uint64_t number) { return {Type::integer, number, ""}; }

const Snapshot::Order &MibView::instances(const Column &column) const {
  if (column.part == mib::monitor)
    return scalar_instance;
  if (!snapshot_ || moment_.status != TableStatus::current)
    return no_instance;
  return column.part == mib::listener_table ? snapshot_->listener_order()
                                            : snapshot_->namespace_order();
}

std::optional<MibValue> MibView::value(const Column &column, std::uint32_t position) const {
  if (column.part == mib::monitor)
    return monitor_value(column.number);
  if (column.part == mib::listener_table)
    return listener_value(column.number, snapshot_->listeners()[position]);
  return namespace_value(column.number, snapshot_->namespaces()[position]);
}

bool MibView::is_object(OidView name) {
  return std::any_of(columns().begin(), columns().end(), [&](const Column &column) {
    return name.size() >= column.prefix_length && std::is_eq(column.compare(name));
  });
}

std::optional<MibValue> MibView::get(OidView name) const {
  const auto column =
      std::lower_bound(columns().begin(), columns().end(), name,
                       [](const Column &a, OidView b) { return std::is_gt(a.compare(b)); });
  if (column == columns().end() || name.size() != column->prefix_length + 1 ||
      std::is_neq(column->compare(name)))
    return std::nullopt;
  const Snapshot::Order &order = instances(*column);
  const auto found =
      std::lower_bound(order.begin(), order.end(), std::pair(name.back(), std::uint32_t{0}));
  if (found == order.end() || found->first != name.back())
    return std::nullopt;
  return value(*column, found->second);
}

std::optional<std::pair<Oid, MibValue>> MibView::next(OidView name) const {
  auto column =
      std::lower_bound(columns().begin(), columns().end(), name,
                       [](const Column &a, OidView b) { return std::is_gt(a.compare(b)); });
  for (; column != columns().end(); ++column) {
    const Snapshot::Order &order = instances(*column);
    auto instance = order.begin();
    if (std::is_eq(column->compare(name)) && name.size() > column->prefix_length)
      instance = std::upper_bound(
          order.begin(), order.end(), name[column->prefix_length],
          [](std::uint32_t wanted, const auto &entry) { return wanted < entry.first; });
    for (; instance != order.end(); ++instance) {
      if (std::optional<MibValue> found = value(*column, instance->second)) {
        Oid oid;
        oid.reserve(column->prefix_length + 1);
        oid.assign(column->name().begin(), column->name().end());
        oid.push_back(instance->first);
        return std::pair(std::move(oid), std::move(*found));
      }
    }
  }
  return std::nullopt;
}

MibValue MibView::time_stamp(std::int64_t boot_ns) const {
  constexpr std::int64_t ns_per_tick = 10'000'000;
  const std::int64_t since = std::max<std::int64_t>(boot_ns - moment_.uptime_zero_ns, 0);
  return {Type::time_ticks, static_cast<std::uint32_t>(since / ns_per_tick), ""};
}

std::optional<MibValue> MibView::monitor_value(std::uint32_t number) const {
  using layout::State;
  const bool current = snapshot_ && moment_.status == TableStatus::current;
  const auto in_state = [&](State state) {
    return current ? std::optional(gauge(snapshot_->in_state(state))) : std::nullopt;
  };
  switch (number) {
  case mib::table_status:
    return integer_value(current && (snapshot_->header().has & layout::is_complete) == 0
                             ? partial_status
                             : static_cast<std::uint64_t>(moment_.status));
  case mib::table_last_change:
    return time_stamp(moment_.last_change_ns);
  case mib::listeners:
    // Number of rows; there are none without a current table.
    return gauge(current ? snapshot_->listeners().size() : 0);
  case mib::listeners_high:
    return in_state(State::high);
  case mib::listeners_overflow:
    return in_state(State::overflow);
  case mib::listeners_stalled:
    return in_state(State::stalled);
  case mib::listeners_missing:
    return in_state(State::missing);
  case mib::worst_name:
    return octets_value(current && snapshot_->worst() != nullptr ? snapshot_->worst()->name : "");
  case mib::worst_used:
    return current && snapshot_->worst() != nullptr
               ? std::optional(rounded_gauge(snapshot_->worst()->used_percent))
               : std::nullopt;
  case mib::notifications_sent:
    return MibValue{Type::counter32, moment_.notifications_sent, ""};
  case mib::notifications_superseded:
    return MibValue{Type::counter32, moment_.notifications_superseded, ""};
  case mib::agent_start_time:
    return time_stamp(moment_.began_ns);
  default:
    break;
  }
  if (!snapshot_)
    return std::nullopt;
  const layout::Header &header = snapshot_->header();
  const auto if_has = [&](std::uint32_t bit, MibValue value) {
    return (header.has & bit) != 0 ? std::optional(std::move(value)) : std::nullopt;
  };
  switch (number) {
  case mib::table_time:
    return date_and_time(header.taken_at_ns);
  case mib::table_time_text:
    return time_text(header.taken_at_ns);
  case mib::table_age:
    return gauge(milliseconds(age_ns(header, moment_.now_ns)));
  case mib::table_interval:
    return gauge(milliseconds(header.interval_ns));
  case mib::listeners_unreported:
    return if_has(layout::has_host, gauge(header.unreported));
  case mib::dropped:
    return if_has(layout::has_host_dropped, counter64(header.dropped));
  case mib::events:
    return current ? std::optional(integer_value(static_cast<std::uint64_t>(header.events)))
                   : std::nullopt;
  case mib::discontinuity_time:
    return if_has(layout::has_host_dropped, time_stamp(header.counted_since_ns));
  default:
    return std::nullopt;
  }
}

MibValue MibView::notification_value(std::uint32_t number) const {
  if (const std::optional<MibValue> value = monitor_value(number))
    return *value;
  if (number == mib::table_time)
    return octets_value(std::string_view("\0\0\0\0\0\0\0\0", 8));
  return gauge(std::numeric_limits<std::uint32_t>::max());
}

std::optional<MibValue> MibView::listener_value(std::uint32_t number,
                                                const Snapshot::Listener &listener) const {
  const auto if_has = [&](std::uint32_t bit, MibValue value) {
    return (listener.has & bit) != 0 ? std::optional(std::move(value)) : std::nullopt;
  };
  switch (number) {
  case mib::listener_name:
    return octets_value(listener.name);
  case mib::listener_state:
    return integer_value(static_cast<std::uint64_t>(listener.state));
  case mib::listener_used:
    return if_has(layout::has_queue, rounded_gauge(listener.used_percent));
  case mib::listener_length:
    return if_has(layout::has_queue, gauge(listener.length));
  case mib::listener_peak:
    return if_has(layout::has_queue, gauge(listener.peak));
  case mib::listener_limit:
    return if_has(layout::has_queue, gauge(listener.limit));
  case mib::listener_mean:
    return if_has(layout::has_queue, rounded_gauge(1000 * listener.mean));
  case mib::listener_full:
    return if_has(layout::has_queue, rounded_gauge(listener.full_percent));
  case mib::listener_dropped:
    return if_has(layout::has_dropped, counter64(listener.dropped));
  case mib::listener_overflows:
    return if_has(layout::has_dropped, counter64(listener.overflows));
  case mib::listener_syn_length:
    return if_has(layout::has_syn_length, gauge(listener.syn_length));
  case mib::listener_oldest_wait:
    return if_has(layout::has_oldest_wait, rounded_gauge(1000 * listener.oldest_wait_seconds));
  case mib::listener_members:
    return if_has(layout::has_queue, gauge(listener.members));
  case mib::listener_cause:
    return integer_value(static_cast<std::uint64_t>(listener.cause));
  case mib::listener_limit_source:
    return integer_value(static_cast<std::uint64_t>(listener.limit_source));
  case mib::listener_severity:
    return integer_value(static_cast<std::uint64_t>(listener.severity));
  case mib::listener_message:
    return octets_value(listener.message);
  case mib::listener_owner:
    return octets_value(listener.owner);
  case mib::listener_address_type:
    return integer_value(inet_address_type(listener));
  case mib::listener_address:
    return inet_address(listener);
  case mib::listener_port:
    return gauge(listener.port);
  case mib::listener_path:
    return octets_value(listener.path);
  case mib::listener_namespace:
    return octets_value(layout::text_of(snapshot_->namespaces()[listener.net_namespace].name));
  case mib::listener_discontinuity_time:
    return if_has(layout::has_dropped, time_stamp(listener.counted_since_ns));
  default:
    return later_listener_value(number, listener);
  }
}

/// Values of the columns added with the second layout of the table.
std::optional<MibValue> MibView::later_listener_value(std::uint32_t number,
                                                      const Snapshot::Listener &listener) const {
  const auto if_has = [&](std::uint32_t bit, MibValue value) {
    return (listener.has & bit) != 0 ? std::optional(std::move(value)) : std::nullopt;
  };
  const auto seconds = static_cast<double>(snapshot_->header().measured_ns) / 1e9;
  const auto rate = [&](std::uint32_t bit, std::uint64_t count) {
    return seconds > 0 ? if_has(bit, rounded_gauge(1000 * static_cast<double>(count) / seconds))
                       : std::nullopt;
  };
  switch (number) {
  case mib::listener_recent_peak:
    return if_has(layout::has_recent, gauge(listener.recent_peak));
  case mib::listener_recent_used:
    return if_has(layout::has_recent, rounded_gauge(listener.recent_used_percent));
  case mib::listener_recent_dropped:
    return if_has(layout::has_recent_dropped, gauge(listener.recent_dropped));
  case mib::listener_recent_overflows:
    return if_has(layout::has_recent_dropped, gauge(listener.recent_overflows));
  case mib::listener_recent_state:
    return if_has(layout::has_recent,
                  integer_value(static_cast<std::uint64_t>(listener.recent_state)));
  case mib::listener_recent_severity:
    return if_has(layout::has_recent,
                  integer_value(static_cast<std::uint64_t>(listener.recent_severity)));
  case mib::listener_alarm_state:
    return integer_value(static_cast<std::uint64_t>(listener.alarm_state));
  case mib::listener_alarm_cause:
    return integer_value(static_cast<std::uint64_t>(listener.alarm_cause));
  case mib::listener_stable:
    return truth((listener.has & layout::is_stable) != 0);
  case mib::listener_expected:
    return truth((listener.has & layout::is_expected) != 0);
  case mib::listener_arrival_rate:
    return rate(layout::has_arrivals, listener.arrivals);
  case mib::listener_accept_rate:
    return rate(layout::has_accepts, listener.accepts);
  case mib::listener_wait_mean:
    return if_has(layout::has_wait_mean, rounded_gauge(1e6 * listener.wait_mean_seconds));
  case mib::listener_wait_p50:
    return if_has(layout::has_wait_quantiles, rounded_gauge(1e6 * listener.wait_p50_seconds));
  case mib::listener_wait_p99:
    return if_has(layout::has_wait_quantiles, rounded_gauge(1e6 * listener.wait_p99_seconds));
  case mib::listener_peak_bound:
    return if_has(layout::has_peak_bound, gauge(listener.peak_bound));
  case mib::listener_enough:
    return if_has(layout::has_enough, gauge(listener.enough));
  case mib::listener_clients:
    return octets_value(listener.clients);
  case mib::listener_syn_overflows:
    return if_has(layout::has_overflow_kinds, counter64(listener.syn_overflows));
  case mib::listener_ack_overflows:
    return if_has(layout::has_overflow_kinds, counter64(listener.ack_overflows));
  case mib::listener_other_dropped:
    return if_has(layout::has_dropped,
                  counter64(listener.dropped - std::min(listener.overflows, listener.dropped)));
  case mib::listener_waits_for:
    return octets_value(listener.waits_for > 0 ? snapshot_->listeners()[listener.waits_for - 1].name
                                               : "");
  default:
    return std::nullopt;
  }
}

std::optional<MibValue> MibView::namespace_value(std::uint32_t number,
                                                 const layout::Namespace &record) const {
  switch (number) {
  case mib::ns_name:
    return octets_value(layout::text_of(record.name));
  case mib::ns_somaxconn:
    return sysctl(record, layout::has_somaxconn, record.somaxconn);
  case mib::ns_max_syn_backlog:
    return sysctl(record, layout::has_tcp_max_syn_backlog, record.tcp_max_syn_backlog);
  case mib::ns_syncookies:
    return sysctl(record, layout::has_tcp_syncookies, record.tcp_syncookies);
  case mib::ns_abort_on_overflow:
    return sysctl(record, layout::has_tcp_abort_on_overflow, record.tcp_abort_on_overflow);
  case mib::ns_unattributed:
    if ((record.has & layout::has_unattributed) == 0)
      return std::nullopt;
    return counter64(record.unattributed);
  case mib::ns_syn_length:
    if ((record.has & layout::has_syn_total) == 0)
      return std::nullopt;
    return gauge(record.syn_total);
  case mib::ns_discontinuity_time:
    return time_stamp(record.counted_since_ns);
  default:
    break;
  }
  const std::uint32_t counter = number - mib::ns_first_counter;
  if ((record.has_counter & (1U << counter)) == 0)
    return std::nullopt;
  return counter64(record.counters[counter]);
}

} // namespace backlog
