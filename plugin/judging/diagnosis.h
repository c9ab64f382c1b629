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

/// What collectd's notification_t holds without its NUL.
constexpr std::size_t message_max_bytes = 255;

/// One listener's interval, as far as a judgement needs it. Borrows name and owner.
struct ListenerFacts {
  std::string_view name;
  std::string_view owner;       ///< "": not known
  bool held_by_manager = false; ///< as Owner::is_manager
  Family family = Family::tcp;
  bool is_there = true;           ///< at the end of the interval; false: the rest means nothing
  bool file_is_gone = false;      ///< of a Unix listener that is there no more for its clients
  std::uint32_t members = 1;      ///< sockets that are counted
  std::uint64_t limit = 0;        ///< sum over members, connections
  std::uint32_t lowest_limit = 0; ///< of a member
  double worst_member_percent = 0;
  double median_member_percent = 0; ///< the lower one of two
  /// Of a member at 90 % or more, the longest; it may have begun before the interval.
  std::chrono::nanoseconds longest_hot_member{0};
  WindowFigures queue;
  QueueRuns runs;
  bool drops_known = true;     ///< whether the next two are all that there were; never of Unix ones
  std::uint64_t drops = 0;     ///< in this interval, segments
  std::uint64_t overflows = 0; ///< those of them that the accept queue's limit caused
  std::optional<std::chrono::duration<double>> oldest_wait;
  /// As in AcceptFacts; empty: not looked at.
  std::optional<std::chrono::duration<double>> none_accepted_for;
  bool accepted = false;                   ///< as in AcceptFacts
  std::optional<std::uint64_t> syn_length; ///< half-open connections
  /// Of its namespace when the member with the lowest limit got this limit; empty if that was
  /// before anyone looked.
  std::optional<std::int64_t> somaxconn_at_listen;
  std::optional<std::int64_t> somaxconn_first_seen; ///< when the limit was first looked at
};

/// What all listeners of a net namespace have in common in an interval.
struct NamespaceFacts {
  std::chrono::nanoseconds measured{0}; ///< the span of the interval
  bool is_baseline = false;             ///< of the plugin: what it finds may have been so for long
  std::optional<std::int64_t> somaxconn;
  std::optional<std::int64_t> tcp_syncookies;
  bool cookies_rose = false;         ///< SyncookiesSent or TCPReqQFullDoCookies
  bool req_q_full_drop_rose = false; ///< TCPReqQFullDrop
};

/// Shares of StalledAfter. Where somebody waits for all of it, who has accepted nobody for the
/// greater part may have stopped; for nearly all of it, has: the last accept() came just before.
constexpr double perhaps_stopped = 0.5;
constexpr double has_nearly_stalled = 0.9;

/// What a listener is judged by; the initial values are the defaults.
struct DiagnosisLimits {
  using Seconds = std::chrono::duration<double>;

  double warning_percent = 80;        ///< WarningPercent
  std::uint64_t warning_minimum = 16; ///< WarningMinimum, connections
  Seconds stalled_after{30};          ///< StalledAfter
  Seconds missing_after{60};          ///< MissingAfter
  bool expected = false;              ///< Expected
};

/// What must be known of a listener's earlier intervals. For an expected listener it is kept
/// while that is absent, and begins with the first interval of the plugin.
class ListenerHistory {
public:
  /// Once an interval in which its listeners could be read, there or not.
  void add(const ListenerFacts &facts, const NamespaceFacts &common, const DiagnosisLimits &limits);

  /// In this interval, and for the third time or more in the last six.
  bool is_high() const;
  /// In this interval and in the one before.
  bool syn_queue_is_full() const { return syn_full_ && syn_was_full_; }
  std::chrono::nanoseconds absent_for() const { return absent_for_; }

private:
  std::uint8_t high_ = 0; ///< a bit for each of the last six intervals, the lowest is this one
  bool syn_full_ = false;
  bool syn_was_full_ = false;
  bool was_there_ = false;
  std::chrono::nanoseconds absent_for_{0}; ///< at least
};

/// The judgement of one listener's interval.
struct Diagnosis {
  ListenerState state = ListenerState::ok;
  Cause cause = Cause::none;
  LimitSource limit_source = LimitSource::unknown;
  bool is_there = true;
  bool is_expected = false;
  bool cause_is_open = false;  ///< the full run goes on, and what it is shows when it ends
  bool overflowed = false;     ///< in this interval, whatever else is wrong
  std::uint64_t overflows = 0; ///< segments; Unix listeners have no such count
  std::string message;         ///< for people, also when the state is ok
};

/// history: this interval has been added.
Diagnosis diagnose(const ListenerFacts &facts, const NamespaceFacts &common,
                   const DiagnosisLimits &limits, const ListenerHistory &history);

/// What is known of net.core.somaxconn.
struct Somaxconn {
  std::optional<std::int64_t> now;
  std::optional<std::int64_t> at_listen;  ///< as in ListenerFacts
  std::optional<std::int64_t> first_seen; ///< likewise
};

/// A limit above somaxconn can only be that of an earlier one.
LimitSource limit_source(std::uint32_t limit, const Somaxconn &somaxconn);

/// "name (owner): text" in printable ASCII and UTF-8, at most message_max_bytes long. It is owner
/// and name that are shortened, in their middle.
std::string message_about(std::string_view name, std::string_view owner, std::string_view text);

} // namespace backlog
