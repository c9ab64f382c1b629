#pragma once

#include "mib_view.h"
#include "snapshot.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>

namespace backlog {

/// A listener's state as a trap tells it.
struct ListenerAlarm {
  bool clear = false;
  bool gone = false; ///< it is no longer there; state means nothing
  std::string name;
  std::uint32_t index = 0;
  layout::State state = layout::State::ok;
  layout::Cause cause = layout::Cause::none;
  layout::Severity severity = layout::Severity::okay;
  std::string message;
  std::string owner;
  std::optional<std::uint64_t> peak;  ///< connections
  std::optional<std::uint64_t> limit; ///< connections
  std::string net_namespace;
  bool is_tcp = true; ///< means nothing of one that is missing
};

/// What is to be told next: a listener's alarm or clear, or that the table is stale or current.
struct Trap {
  enum class Kind : std::uint8_t { listener, stale, current };

  Kind kind = Kind::listener;
  ListenerAlarm listener;
  std::uint64_t number = 0; ///< of all that were taken out
};

/// Decides what has to be told. Of each listener at most one trap waits, its newest;
/// it keeps the place of the one that it supersedes. What is worse is told at once, a lesser alarm
/// when it has lasted for three tables.
class TrapQueue {
public:
  /// Takes over the states of a table. Who is not in it for three tables is gone: a restart of a
  /// service is none. Nothing ends by the first three tables after a start of collectd.
  void note_table(const Snapshot &snapshot);
  void note_status(bool current);
  /// A connection has begun: what is not okay is told again, and so are the clears that the
  /// connection before left without an answer.
  void connected();

  /// Takes out the trap that waits longest.
  std::optional<Trap> next();
  /// The agent has it, and with it all that were sent before.
  void answered(std::uint64_t number);
  /// It was not sent, and has to be told again.
  void failed(std::uint64_t number);
  bool waiting() const { return !queue_.empty() || monitor_waits(); }
  std::uint32_t superseded() const { return superseded_; }

private:
  /// A listener that a receiver may believe to be in alarm.
  struct Told {
    ListenerAlarm sent;       ///< the newest, without its texts
    ListenerAlarm now;        ///< as the tables have it
    std::uint64_t number = 0; ///< of the trap
    bool repeat = false;      ///< it has to be told once more
    int absent_for = 0;       ///< tables
    int lesser_for = 0;       ///< tables
  };

  static bool is_unread(const ListenerAlarm &alarm, const Snapshot &snapshot);
  void clear_vanished(const Snapshot &snapshot);
  void consider(ListenerAlarm now);
  void put(ListenerAlarm alarm);
  void withdraw(const std::string &name);
  bool monitor_waits() const { return current_ && (*current_ != told_current_ || repeat_status_); }
  void note_sent(const Trap &trap);
  void repeat(Told &told);

  std::map<std::string, Told> told_;             ///< until a clear is answered
  std::map<std::uint64_t, ListenerAlarm> queue_; ///< by turn
  std::unordered_map<std::string, std::uint64_t> turns_;
  std::uint64_t next_turn_ = 0;
  std::uint64_t next_number_ = 1;
  std::map<std::uint64_t, std::string> unanswered_; ///< names by number; "": the table's status
  std::uint32_t superseded_ = 0;
  std::optional<bool> current_;
  bool told_current_ = true;
  bool repeat_status_ = false;
};

/// So many notifications may be unanswered: both ends send blockingly, and some 400 of them would
/// fill the buffers of both, so that neither reads again.
constexpr std::size_t notification_window = 8;

} // namespace backlog
