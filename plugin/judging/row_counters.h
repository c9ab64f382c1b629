#pragma once

#include "drop_account.h"
#include "drop_totals.h"
#include "harvest.h"
#include "table.h"

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>

namespace backlog {

/// The counters of all listeners, which go on from interval to interval.
class RowCounters {
public:
  using TimePoint = DropTotals::TimePoint;

  /// What an interval counted for a listener.
  struct Counted {
    std::string name;                 ///< before a Watch block renamed it
    ListenCounters dropped{};         ///< in this interval
    std::uint64_t counted_before = 0; ///< see ListenerHarvest
    bool counts_drops = false;        ///< it has a counter
    bool is_in_aggregate = false;     ///< its drops are in the aggregate's series
    bool drops_known = false;         ///< its drops may be shown
    DropAccount *account = nullptr;   ///< its namespace's; nullptr for several namespaces
    std::optional<std::uint64_t> ack_overflows{}; ///< see ListenerFlow
  };

  /// Makes room for a listener's drops, and returns when their counter began.
  std::optional<TimePoint> admit(const std::string &name, TimePoint now, bool is_stable);
  /// Counts connections, and takes the interval's figures of them into the row.
  void count_flow(const ListenerInterval &interval, TimePoint now, Row &row);
  /// Does everything in the counting of drops that can run out of memory, so that the counting is
  /// done as a whole or not at all.
  void open(const Counted &counted, TimePoint now, const Row &row);
  /// Counts what was opened, and takes the counters into the row.
  void count(const Counted &counted, Row &row) noexcept;
  /// Forgets what need not be kept.
  void end_interval(TimePoint now);

private:
  void count_waits(const ListenerFlow &flow, Row &row);
  void count_standing(const Counted &counted, Row &row) noexcept;
  void count_overflow_kinds(const Counted &counted, std::uint64_t ack_overflows, Row &row) noexcept;

  DropTotals drops_;
  DropTotals overflows_;
  DropTotals known_overflows_; ///< those whose kind is known
  DropTotals ack_overflows_;   ///< those of them that end a handshake
  DropTotals series_;          ///< counters of series, by the series' name
  DropTotals arrived_;
  DropTotals accepted_;
  std::unordered_map<std::string, WaitHistogram> waits_; ///< of names that accepted_ has
};

} // namespace backlog
