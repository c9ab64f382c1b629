#pragma once

#include "accept_proof.h"
#include "alarms.h"
#include "chains.h"
#include "config.h"
#include "diagnosis.h"
#include "drop_account.h"
#include "drop_totals.h"
#include "expectations.h"
#include "harvest.h"
#include "host_figures.h"
#include "matched_entries.h"
#include "precedence.h"
#include "recent_worst.h"
#include "series_quota.h"
#include "survey.h"
#include "watch_names.h"

#include <chrono>
#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace backlog {

/// One listener's interval, as every reader gets it.
struct Row {
  std::string name;  ///< as shown; a Watch block can give it
  std::string owner; ///< "" if unknown
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

/// Builds the tables, one after another.
class TableBuilder {
public:
  explicit TableBuilder(std::shared_ptr<const Config> config);

  /// interval: collectd's.
  Table build(const Harvest &harvest, const std::optional<Survey> &survey,
              std::chrono::duration<double> interval);

private:
  /// The table that is being built.
  struct Draft;
  /// Namespace and family: the listeners of one origin are read together.
  struct Origin {
    std::string net_namespace; ///< "" for collectd's own
    Family family = Family::tcp;

    auto operator<=>(const Origin &) const = default; // NOLINT(modernize-use-nullptr)
  };
  /// State kept for a listener from interval to interval, by name.
  struct Memory {
    Origin origin;
    std::string address; ///< see ListenerIdentity; another address starts anew
    ListenerHistory history;
    std::uint32_t lowest_limit = 0;
    std::optional<std::int64_t> somaxconn_at_listen;  ///< see ListenerFacts
    std::optional<std::int64_t> somaxconn_first_seen; ///< see ListenerFacts
    std::optional<std::string> given_name;            ///< from a Watch block
    std::uint64_t seen = 0;                           ///< number of the last interval that had it
    /// Of the connection that has waited longest; 0 if none was seen.
    std::uint64_t oldest_cookie = 0;
    /// When that connection was first seen as the oldest.
    std::chrono::steady_clock::time_point oldest_since;
  };
  /// State kept for a net namespace from interval to interval.
  struct NamespaceMemory {
    std::optional<NetCounters> counters;
    std::uint64_t seen = 0; ///< number of the last interval that had it
  };
  /// The account of all namespaces that have had the name in turn.
  struct NamespaceDrops {
    DropAccount account;
    NetNamespaceId id; ///< of the last one
    BootClock::time_point since;
    BootClock::time_point last_present;
  };
  void add_namespace(const NamespaceHarvest &harvest, const NamespaceSurvey *survey, Draft &draft);
  void add_family(const FamilyHarvest &kind, Family family, Draft &draft);
  void open_accounts(const NamespaceHarvest &harvest, Draft &draft);
  void add_drops(const FamilyHarvest &kind, Draft &draft) const;
  bool aggregates_have_series() const { return config_->max_listeners > 0; }
  void open_counters(Draft &draft);
  void count_drops(Draft &draft) noexcept;
  void count_overflow_kinds(const std::string &name, std::uint64_t overflows,
                            std::uint64_t ack_overflows, Row &row) noexcept;
  static Origin origin_of(const Expectations::Absent &listener);
  bool is_unread(const Memory &memory) const;
  bool is_unread(const std::string &name) const;
  void note_unread(Draft &draft) const;
  std::string shown_name(const std::string &name) const;
  void add_aggregates(const Harvest &harvest, Draft &draft);
  void add_aggregate(const std::vector<const FamilyHarvest *> &kinds, const std::string &name,
                     Family family, Draft &draft);
  void add_missing(Draft &draft);
  void add_missing(const Expectations::Absent &listener, Draft &draft,
                   const std::unordered_map<std::string, std::size_t> &rows);
  void judge(const ListenerHarvest &listener, const WatchFacts &watch, Row &row, Draft &draft);
  void remember_day(Draft &draft);
  static bool is_outdated(const Survey &survey, const ListenerInterval &interval,
                          const Draft &draft);
  static const WaitingClients *waiting_clients(const ListenerInterval &interval, Family family,
                                               const NamespaceSurvey *survey, const Draft &draft);
  void find_waits(const NamespaceHarvest &harvest, const NamespaceSurvey *survey,
                  Draft &draft) const;
  void find_waits(const FamilyHarvest &kind, Family family, bool is_own,
                  const NamespaceSurvey *survey, Draft &draft) const;
  static void link_rows(Draft &draft);
  AcceptFacts accept_facts(const ListenerInterval &interval, Family family, Memory &memory,
                           const Draft &draft) const;
  NamespaceFacts facts_of(const NamespaceHarvest &harvest, const NamespaceSurvey *survey);
  void count_flow(const ListenerInterval &interval, DropTotals::TimePoint now, Row &row);
  void forget_namespaces(const Draft &draft);
  void give_names(Draft &draft);
  void give_slots(Draft &draft, std::chrono::duration<double> interval);

  std::shared_ptr<const Config> config_;
  SeriesQuota series_quota_;
  RecentWorst day_{std::chrono::hours(24), 24};
  DropTotals drop_totals_;
  DropTotals overflow_totals_;
  DropTotals known_overflow_totals_; ///< those whose kind is known
  DropTotals ack_overflow_totals_;   ///< those of them that end a handshake
  DropTotals series_totals_;         ///< counters of series, by the series' name
  DropTotals arrived_totals_;
  DropTotals accepted_totals_;
  std::unordered_map<std::string, Memory> memories_;
  std::set<Origin> unread_; ///< in this interval
  Expectations expectations_;
  MatchedEntries matched_entries_;
  std::chrono::nanoseconds watched_for_{0}; ///< total length of all intervals
  WatchNames watch_names_;
  std::map<NetNamespaceId, NamespaceMemory> namespaces_;
  std::map<std::string, NamespaceDrops> namespace_drops_;         ///< by plugin instance
  std::uint64_t dropped_ = 0;                                     ///< segments, a counter
  std::optional<std::chrono::system_clock::time_point> taken_at_; ///< of the last harvest
  std::uint64_t interval_ = 0;
};

} // namespace backlog
