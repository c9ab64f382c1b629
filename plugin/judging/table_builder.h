#pragma once

#include "accept_proof.h"
#include "config.h"
#include "drop_account.h"
#include "expectations.h"
#include "matched_entries.h"
#include "recent_worst.h"
#include "row_counters.h"
#include "series_quota.h"
#include "somaxconn_history.h"
#include "survey_view.h"
#include "table.h"
#include "watch_names.h"

#include <chrono>
#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

namespace backlog {

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
    /// Number of the interval in which a member got that limit; empty: before the first sample.
    std::optional<std::uint64_t> limit_since;
    std::optional<std::string> given_name; ///< from a Watch block
    std::uint64_t seen = 0;                ///< number of the last interval that had it
    /// Of the connection that has waited longest; 0 if none was seen.
    std::uint64_t oldest_cookie = 0;
    /// When that connection was first seen as the oldest.
    std::chrono::steady_clock::time_point oldest_since;
    StallFound stall;
  };
  /// State kept for a net namespace from interval to interval.
  struct NamespaceMemory {
    std::optional<NetCounters> counters;
    SomaxconnHistory somaxconn;
    std::uint64_t seen = 0; ///< number of the last interval that had it
  };
  /// The account of all namespaces that have had the name in turn.
  struct NamespaceDrops {
    DropAccount account;
    NetNamespaceId id; ///< of the last one
    BootClock::time_point since;
    BootClock::time_point last_present;
  };
  /// What the configuration says of a listener that it selects, and its family says.
  struct Selected {
    Family family;
    bool drops_known;
    const WatchFacts &watch;
    bool is_named; ///< by a Listener line
  };
  void add_namespace(const NamespaceHarvest &harvest, const SurveyView &view, Draft &draft);
  void add_family(const FamilyHarvest &kind, Family family, Draft &draft);
  void add_listener(const ListenerHarvest &listener, const Selected &selected, Draft &draft);
  static Row row_of(const ListenerHarvest &listener, const Selected &selected, const Draft &draft);
  static void note_unstable(const ListenerInterval &interval, const Row &row, Draft &draft);
  void add_candidate(const ListenerHarvest &listener, const Row &row, Draft &draft);
  void open_accounts(const NamespaceHarvest &harvest, Draft &draft);
  void add_drops(const FamilyHarvest &kind, Draft &draft) const;
  bool aggregates_have_series() const { return config_->max_listeners > 0; }
  void count_drops(Draft &draft);
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
  Memory &memory_of(const ListenerInterval &interval, const WatchFacts &watch, const Row &row,
                    const Draft &draft);
  static ListenerFacts facts_of(const ListenerHarvest &listener, const Row &row,
                                const AcceptFacts &accepts, const Memory &memory,
                                const SomaxconnHistory &somaxconn);
  void remember_day(std::chrono::steady_clock::time_point ended_at, Draft &draft);
  static void link_rows(Draft &draft);
  AcceptFacts accept_facts(const ListenerInterval &interval, Row &row, Memory &memory,
                           const Draft &draft) const;
  AcceptFacts look(const ListenerInterval &interval, Family family, Memory &memory,
                   const Draft &draft) const;
  NamespaceFacts facts_of(const NamespaceHarvest &harvest, const NamespaceSurvey *survey);
  void forget_namespaces(const Draft &draft);
  void give_names(Draft &draft);
  void give_slots(Draft &draft, std::chrono::duration<double> interval);

  std::shared_ptr<const Config> config_;
  SeriesQuota series_quota_;
  RecentWorst day_{std::chrono::hours(24), 24};
  RowCounters counters_;
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
