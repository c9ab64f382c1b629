#pragma once

#include "mib_view.h"
#include "snapshot.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>

namespace backlog {

/// A listener's state in a trap.
struct ListenerAlarm {
  bool clear = false;
  bool gone = false; ///< the listener is gone; state means nothing
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
  bool is_tcp = true; ///< means nothing for a missing listener
};

/// The next message to send: a listener's alarm or clear, or that the table is stale or current.
struct Trap {
  enum class Kind : std::uint8_t { listener, stale, current };

  Kind kind = Kind::listener;
  ListenerAlarm listener;
  std::uint64_t number = 0; ///< counts all that were taken out
};

/// Decides which traps to send. At most one trap waits for each listener, the newest; it takes the
/// place of the one that it supersedes. A worse alarm is sent at once, a lesser one when it has
/// lasted for three tables.
class TrapQueue {
public:
  /// Takes over the states of a table. A listener that is absent for three tables is gone, so that
  /// a restart of a service is not. The first three tables after a start of collectd end nothing.
  void note_table(const Snapshot &snapshot);
  void note_status(bool current);
  /// After a new connection: sends everything again that is not okay, and the clears that the last
  /// connection left unanswered.
  void connected();

  /// Takes out the trap that has waited longest.
  std::optional<Trap> next();
  /// snmpd has answered this trap, so it has all earlier ones too.
  void answered(std::uint64_t number);
  /// The trap could not be sent and must be repeated.
  void failed(std::uint64_t number);
  bool waiting() const { return !queue_.empty() || monitor_waits(); }
  std::uint32_t superseded() const { return superseded_; }

private:
  /// A listener that a receiver may believe to be in alarm.
  struct Reported {
    ListenerAlarm sent;       ///< the newest trap, without its texts
    ListenerAlarm now;        ///< state in the latest table
    std::uint64_t number = 0; ///< number of the trap
    bool repeat = false;      ///< it must be sent once more
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
  void repeat(Reported &reported);

  std::map<std::string, Reported> reported_;     ///< kept until a clear is answered
  std::map<std::uint64_t, ListenerAlarm> queue_; ///< by turn
  std::unordered_map<std::string, std::uint64_t> turns_;
  std::uint64_t next_turn_ = 0;
  std::uint64_t next_number_ = 1;
  std::map<std::uint64_t, std::string> unanswered_; ///< names by number; "" for the table's status
  std::uint32_t superseded_ = 0;
  std::optional<bool> current_;
  bool told_current_ = true;
  bool repeat_status_ = false;
};

/// Number of notifications that may be unanswered. Both ends block while sending, and about 400
/// would fill the buffers of both, so that neither reads again.
constexpr std::size_t notification_window = 8;

} // namespace backlog
