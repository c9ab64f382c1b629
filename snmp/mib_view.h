#pragma once

#include "snapshot.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace backlog {

using Oid = std::vector<std::uint32_t>;
using OidView = std::span<const std::uint32_t>;

/// backlogTableStatus.
enum class TableStatus : std::uint8_t { current = 1, stale = 2, absent = 3, refused = 4 };
/// Replaces `current` when some listeners could not be read.
constexpr std::uint64_t partial_status = 5;

/// Values of the MIB besides the table, at one moment.
struct MibMoment {
  TableStatus status = TableStatus::absent;
  std::int64_t now_ns = 0;         ///< CLOCK_BOOTTIME
  std::int64_t uptime_zero_ns = 0; ///< CLOCK_BOOTTIME at which the agent's sysUpTime was 0
  std::int64_t last_change_ns = 0; ///< CLOCK_BOOTTIME
  std::int64_t began_ns = 0;       ///< start of this process, CLOCK_BOOTTIME
  std::uint32_t notifications_sent = 0;
  std::uint32_t notifications_superseded = 0;
};

struct MibValue {
  enum class Type : std::uint8_t { integer, gauge, counter32, counter64, time_ticks, octets };

  Type type = Type::integer;
  std::uint64_t number = 0;
  std::string octets;

  bool operator==(const MibValue &) const = default;
};

/// BACKLOG-MIB over one table. Names are relative to backlogMIB.
class MibView {
public:
  /// snapshot may be null; it is shown only while the status is current.
  MibView(std::shared_ptr<const Snapshot> snapshot, const MibMoment &moment)
      : snapshot_(std::move(snapshot)), moment_(moment) {}

  std::optional<MibValue> get(OidView name) const;
  /// Whether such an instance could exist: noSuchInstance instead of noSuchObject.
  static bool is_object(OidView name);
  /// Returns the first instance after the name, which need not exist itself.
  std::optional<std::pair<Oid, MibValue>> next(OidView name) const;
  /// A scalar for a notification; it has a value even if there never was a table.
  MibValue notification_value(std::uint32_t number) const;

private:
  struct Column;
  static const std::vector<Column> &columns();

  const Snapshot::Order &instances(const Column &column) const;
  std::optional<MibValue> value(const Column &column, std::uint32_t position) const;
  std::optional<MibValue> monitor_value(std::uint32_t number) const;
  std::optional<MibValue> listener_value(std::uint32_t number,
                                         const Snapshot::Listener &listener) const;
  std::optional<MibValue> later_listener_value(std::uint32_t number,
                                               const Snapshot::Listener &listener) const;
  std::optional<MibValue> namespace_value(std::uint32_t number,
                                          const layout::Namespace &record) const;
  MibValue time_stamp(std::int64_t boot_ns) const;

  std::shared_ptr<const Snapshot> snapshot_;
  MibMoment moment_;
};

/// Numbers in BACKLOG-MIB that other files need.
namespace mib {
constexpr std::uint32_t notifications = 0;
constexpr std::uint32_t objects = 1;
constexpr std::uint32_t monitor = 1;
constexpr std::uint32_t listener_table = 2;
constexpr std::uint32_t namespace_table = 3;

enum Monitor : std::uint32_t {
  table_status = 1,
  table_time,
  table_age,
  table_interval,
  table_last_change,
  listeners,
  listeners_high,
  listeners_overflow,
  listeners_stalled,
  listeners_missing,
  listeners_unreported,
  worst_name,
  worst_used,
  dropped,
  discontinuity_time,
  notifications_sent,
  notifications_superseded,
  agent_start_time,
  events,
  table_time_text,
  monitor_last = table_time_text
};

enum ListenerColumn : std::uint32_t {
  listener_index = 1,
  listener_name,
  listener_state,
  listener_used,
  listener_length,
  listener_peak,
  listener_limit,
  listener_mean,
  listener_full,
  listener_dropped,
  listener_overflows,
  listener_syn_length,
  listener_oldest_wait,
  listener_members,
  listener_cause,
  listener_limit_source,
  listener_severity,
  listener_message,
  listener_owner,
  listener_address_type,
  listener_address,
  listener_port,
  listener_path,
  listener_namespace,
  listener_discontinuity_time,
  listener_recent_peak,
  listener_recent_used,
  listener_recent_dropped,
  listener_recent_overflows,
  listener_recent_state,
  listener_recent_severity,
  listener_alarm_state,
  listener_alarm_cause,
  listener_stable,
  listener_expected,
  listener_arrival_rate,
  listener_accept_rate,
  listener_wait_mean,
  listener_wait_p50,
  listener_wait_p99,
  listener_peak_bound,
  listener_enough,
  listener_clients,
  listener_syn_overflows,
  listener_ack_overflows,
  listener_other_dropped,
  listener_waits_for,
  listener_last = listener_waits_for
};

enum NamespaceColumn : std::uint32_t {
  ns_index = 1,
  ns_name,
  ns_somaxconn,
  ns_max_syn_backlog,
  ns_syncookies,
  ns_abort_on_overflow,
  ns_unattributed,
  ns_syn_length,
  ns_discontinuity_time,
  ns_first_counter,
  ns_last = ns_first_counter + layout::counter_names.size() - 1
};
} // namespace mib

/// BacklogState of a listener that is gone; only notifications have it.
constexpr std::uint64_t gone_state = layout::state_names.size();

/// The values of a listener in a notification. Every object there needs a value, also for a
/// listener that is gone: an unknown figure is the largest number.
MibValue gauge_value(std::optional<std::uint64_t> number);
MibValue octets_value(std::string_view text);
MibValue integer_value(std::uint64_t number);

} // namespace backlog
