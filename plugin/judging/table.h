#pragma once

#include "alarms.h"
#include "boot_clock.h"
#include "chains.h"
#include "diagnosis.h"
#include "drop_totals.h"
#include "harvest.h"
#include "host_figures.h"
#include "precedence.h"
#include "survey.h"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace backlog {

/// How long the connections that a listener has ever accepted had waited, as far as it is known.
struct WaitHistogram {
  decltype(layout::Listener::wait_counts) counts{};
  double seconds = 0; ///< sum
};

/// One listener's interval, as every reader gets it.
struct Row {
  std::string name;         ///< as shown; a Watch block can give it
  std::string address_name; ///< by its address; "" unless a Watch block gives another
  std::string owner;        ///< "" if unknown
  /// False if the listener is not there and only its counter and state are known.
  bool has_queue = true;
  WindowFigures queue;
  std::uint64_t limit = 0;              ///< connections
  std::uint32_t members = 0;            ///< sockets
  Family family = Family::tcp;          ///< Unix listeners have neither of the next two
  std::optional<std::uint64_t> dropped; ///< counter of its series, segments
  /// The counter at the beginning, see DropTotals::Value.
  std::optional<std::uint64_t> dropped_at_begin;
  std::optional<std::uint64_t> syn_length;     ///< half-open connections
  std::optional<std::uint64_t> interval_drops; ///< segments in this interval
  std::optional<std::chrono::duration<double>> oldest_wait;
  std::optional<std::uint64_t> arrived;  ///< connections, ever
  std::optional<std::uint64_t> accepted; ///< connections, ever
  std::optional<Diagnosis> diagnosis;    ///< empty for the sum of several listeners
  bool has_series = false;
  Precedence precedence; ///< among the rows with a diagnosis
  /// Valid as long as the harvest; nullptr for sums and for missing listeners.
  const ListenerIdentity *identity = nullptr;
  std::string net_namespace;                     ///< "" for collectd's own
  std::optional<DropTotals::Standing> drops;     ///< segments, also for listeners without a series
  std::optional<DropTotals::Standing> overflows; ///< the part of drops that found the queue full
  /// The parts of overflows that events know: SYNs, and segments that end a handshake.
  std::optional<std::uint64_t> syn_overflows;
  std::optional<std::uint64_t> ack_overflows;
  std::optional<std::uint64_t> arrivals; ///< connections in this interval
  std::optional<std::uint64_t> accepts;  ///< connections in this interval
  /// Of the connections accepted in this interval; the next two also.
  std::optional<std::chrono::duration<double>> wait_mean;
  std::optional<std::chrono::duration<double>> wait_p50;
  std::optional<std::chrono::duration<double>> wait_p99;
  std::optional<WaitHistogram> wait_histogram;
  std::optional<std::uint64_t> peak_bound; ///< connections; the queue was never longer
  std::optional<std::uint64_t> day_peak;   ///< connections, over the last day
  /// The limit that would have held the worst burst or pause of the last day.
  std::optional<std::uint64_t> enough;
  std::string clients; ///< see clients_text()
};

/// The kernel's figures for a whole net namespace.
struct KernelRow {
  std::string instance;      ///< kernel, or kernel_netns_NAME
  std::string net_namespace; ///< "" for collectd's own
  bool has_series = true;    ///< false if the name changes when the same container starts again
  bool tcp_unread = false;   ///< its TCP listeners could not be read
  bool unix_unread = false;
  BootClock::time_point counted_since; ///< start of the counters
  std::optional<NetCounters> counters;
  std::optional<std::uint64_t> drops_unattributed; ///< segments since the plugin's baseline
  std::optional<std::uint64_t> drops_unreported;   ///< the same, of listeners without a series
  std::optional<std::uint64_t> syn_total;          ///< half-open connections
  std::optional<NetLimits> limits;
};

/// One interval of the host.
struct Table {
  /// End of the previous interval, if there was one.
  std::chrono::system_clock::time_point begun_at;
  std::chrono::system_clock::time_point taken_at;
  std::chrono::nanoseconds measured{0}; ///< length of the interval
  bool is_complete = true;         ///< false if some listeners could not be read and have no row
  std::vector<ListenerWait> waits; ///< positions of rows
  std::vector<Row> rows;           ///< includes the sums of listeners without series of their own
  /// Listeners that could not be read, so that their state is unchanged.
  std::vector<std::string> unread;
  std::optional<HostFigures> host;
  std::vector<KernelRow> kernels;
  SamplerFigures sampler;
  std::vector<std::string> notices; ///< to be logged once
};

/// The input for Alarms; valid as long as the table.
std::vector<AlarmInput> alarm_inputs(const Table &table);

} // namespace backlog
