#pragma once

#include "backlog/table.h"
#include "family.h"
#include "queue_runs.h"
#include "window.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace backlog {

using ListenerState = layout::State;
using layout::Cause;
using layout::LimitSource;

/// Room in collectd's notification_t without its NUL.
constexpr std::size_t message_max_bytes = 255;

/// One listener's interval as the diagnosis needs it. Borrows name and owner.
struct ListenerFacts {
  std::string_view name;
  std::string_view owner;       ///< "" if unknown
  bool held_by_manager = false; ///< see Owner::is_manager
  Family family = Family::tcp;
  bool is_there = true; ///< at the end of the interval; if false, the other members mean nothing
  /// No path leads to the Unix listener any more, so no client can connect.
  bool file_is_gone = false;
  std::uint32_t members = 1;      ///< sockets that count
  std::uint64_t limit = 0;        ///< sum over the members, connections
  std::uint32_t lowest_limit = 0; ///< smallest limit of a member
  double worst_member_percent = 0;
  double median_member_percent = 0; ///< of the lower of two medians
  /// Longest time that a member was at 90 % or more; it may have begun before the interval.
  std::chrono::nanoseconds longest_hot_member{0};
  WindowFigures queue;
  QueueRuns runs;
  std::optional<std::uint64_t> unlimited_peak; ///< see ListenerInterval
  bool drops_known = true; ///< false if drops and overflows may be incomplete, and always for Unix
  std::uint64_t drops = 0; ///< segments in this interval
  std::uint64_t overflows = 0; ///< the part of drops that a full accept queue caused
  std::optional<std::chrono::duration<double>> oldest_wait;
  /// See AcceptFacts; empty if not looked at.
  std::optional<std::chrono::duration<double>> none_accepted_for;
  bool accepted = false;                   ///< see AcceptFacts
  std::optional<std::uint64_t> syn_length; ///< half-open connections
  /// Connections in this interval, as events count them: those that came, refused ones and their
  /// further tries included, and those that were accepted.
  std::optional<std::uint64_t> came;
  std::optional<std::uint64_t> accepts;
  /// How long the connections accepted in this interval had waited.
  std::optional<std::chrono::duration<double>> wait_mean;
  std::optional<std::chrono::duration<double>> wait_p50;
  std::optional<std::chrono::duration<double>> wait_p99;
  std::string_view clients;   ///< see clients_remark(); "" for nothing to say
  std::string_view waits_for; ///< the listener at which its owner waits; "" for none
  /// somaxconn of the namespace when the member with the lowest limit got that limit; empty if that
  /// was before the first look.
  std::optional<std::int64_t> somaxconn_at_listen;
  std::optional<std::int64_t> somaxconn_first_seen; ///< when the limit was first seen
};

/// Figures that all listeners of a net namespace have in common in an interval.
struct NamespaceFacts {
  std::chrono::nanoseconds measured{0}; ///< length of the interval
  bool is_baseline = false; ///< the first interval: what it shows may have lasted for long
  std::optional<std::int64_t> somaxconn;
  std::optional<std::int64_t> tcp_syncookies;
  bool cookies_rose = false;         ///< SyncookiesSent or TCPReqQFullDoCookies rose
  bool req_q_full_drop_rose = false; ///< TCPReqQFullDrop rose
};

/// Shares of StalledAfter. When a connection has waited for all of it, a listener that has accepted
/// nothing for the larger part may have stopped; for nearly all of it, it has stopped, since the
/// last accept() came just before.
constexpr double perhaps_stopped = 0.5;
constexpr double has_nearly_stalled = 0.9;

/// Thresholds of the diagnosis; the initial values are the defaults.
struct DiagnosisLimits {
  using Seconds = std::chrono::duration<double>;

  double warning_percent = 80;        ///< WarningPercent
  std::uint64_t warning_minimum = 16; ///< WarningMinimum, connections
  Seconds stalled_after{30};          ///< StalledAfter
  Seconds missing_after{60};          ///< MissingAfter
  bool expected = false;              ///< Expected
};

/// A listener's earlier intervals, as far as the diagnosis needs them. For an expected listener it
/// is kept while that is absent, and begins with the plugin's first interval.
class ListenerHistory {
public:
  /// Call it once an interval in which such listeners could be read, with the listener there or
  /// not.
  void add(const ListenerFacts &facts, const NamespaceFacts &common, const DiagnosisLimits &limits);

  /// Whether it is high now and was in three or more of the last six intervals.
  bool is_high() const;
  /// Whether it was full in this interval and the previous one.
  bool syn_queue_is_full() const { return syn_full_ && syn_was_full_; }
  std::chrono::nanoseconds absent_for() const { return absent_for_; }

private:
  std::uint8_t high_ = 0; ///< one bit for each of the last six intervals, the lowest for this one
  bool syn_full_ = false;
  bool syn_was_full_ = false;
  bool was_there_ = false;
  std::chrono::nanoseconds absent_for_{0}; ///< lower bound
};

/// The diagnosis of one listener's interval.
struct Diagnosis {
  ListenerState state = ListenerState::ok;
  Cause cause = Cause::none;
  LimitSource limit_source = LimitSource::unknown;
  bool is_there = true;
  bool is_expected = false;
  /// What goes on will show the cause: a full run, or the first accept. Without that the cause of a
  /// state is none if nobody looked when the queue was full.
  bool cause_is_open = false;
  /// Of a full run that ended in an interval without overflow; none if there was no such run.
  Cause ended_cause = Cause::none;
  std::string ended_message{}; ///< for people; about ended_cause
  bool overflowed = false;     ///< in this interval, whatever else is wrong
  std::uint64_t overflows = 0; ///< segments; Unix listeners have no such count
  /// The limit of each member that would have held everybody in a burst or a pause; empty if no
  /// limit would have helped, or if it is not known.
  std::optional<std::uint64_t> enough{};
  std::string message; ///< for people, also in state ok
};

/// history: must include this interval.
Diagnosis diagnose(const ListenerFacts &facts, const NamespaceFacts &common,
                   const DiagnosisLimits &limits, const ListenerHistory &history);

/// Values of net.core.somaxconn.
struct Somaxconn {
  std::optional<std::int64_t> now;
  std::optional<std::int64_t> at_listen;  ///< see ListenerFacts
  std::optional<std::int64_t> first_seen; ///< see ListenerFacts
};

/// A limit above somaxconn must come from an earlier value of it.
LimitSource limit_source(std::uint32_t limit, const Somaxconn &somaxconn);

/// Composes "name (owner): text", printable() and at most message_max_bytes long. It shortens owner
/// and name in their middle.
std::string message_about(std::string_view name, std::string_view owner, std::string_view text);

} // namespace backlog
