#pragma once

#include "config.h"
#include "diagnosis.h"
#include "precedence.h"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace backlog {

using layout::Severity;

/// A notification for people.
struct Notification {
  std::string name; ///< the listener's, or summary_name
  Severity severity = Severity::okay;
  ListenerState state = ListenerState::ok;
  Cause cause = Cause::none;
  std::string message; ///< at most message_max_bytes
};

struct StandingAlarm {
  ListenerState state = ListenerState::ok;
  Cause cause = Cause::none;
  Severity severity = Severity::okay;
};

/// One listener in an interval.
struct AlarmInput {
  std::string_view name;
  /// Nullptr if it could not be read; its alarm then stays as it is.
  const Diagnosis *diagnosis = nullptr;
  Precedence precedence;
  /// The listener for which its owner waits, at the end of a chain of such waits; "" for none.
  std::string_view chain_root = {};
  std::size_t chain_distance = 0; ///< waits from here to the root
};

/// Decides which diagnoses become notifications. Only changes do: a worse state at once, a better
/// one after three intervals without the worse one. An `overflow` goes from WARNING to FAILURE when
/// two of the last three intervals overflowed or one had a hundred or more. An alarm
/// that comes back within a minute of its end stays for at least ten seconds, so that a slow rhythm
/// at short intervals is one alarm and not an endless row of them.
///
/// An alarm of the very first interval may have been sent by the previous collectd. It is sent when
/// it gets worse, when it ends and comes back, or when later intervals prove it without the first
/// one: two overflows, three intervals that are high, or stalled or missing for the full time since
/// the start. Its end is sent only if the alarm itself was.
///
/// Of a chain of listeners that wait for each other only the root is a FAILURE, and it is sent
/// first: what would be a FAILURE elsewhere in the chain is a WARNING and makes the root's alarm a
/// FAILURE. If the root has no alarm, nothing changes. A chain lasts for three intervals without
/// evidence. One that is known only after the FAILURE was sent is told by a WARNING, once in an
/// alarm, which names the root and takes the FAILURE back.
///
/// While a listener is gone its alarm stays as it is, so that a restart of a service is no change.
/// After three intervals the alarm ends with a notification. An expected listener keeps its alarm,
/// which becomes `missing` in time.
///
/// Keeps only listeners that are or were in trouble in the last three intervals, those whose alarm
/// still has to end, and those whose last alarm ended within a minute.
class Alarms {
public:
  using Seconds = std::chrono::duration<double>;

  /// The other arguments are StalledAfter and MissingAfter.
  explicit Alarms(NotifyStates notify, Seconds stalled_after = Seconds(30),
                  Seconds missing_after = Seconds(60))
      : notify_(notify), stalled_after_(stalled_after), missing_after_(missing_after) {}

  /// Call it once an interval. Returns at most ten notifications, by precedence and then the worst
  /// first, and one that sums up the others. Those are sent by name as soon as there is room.
  /// length of the interval
  std::vector<Notification> update(std::span<const AlarmInput> listeners, Seconds measured);

  /// The active alarm, sent or not; `ok` and `okay` if there is none.
  StandingAlarm standing(std::string_view name) const;

  std::size_t size() const { return alarms_.size(); }

  /// Takes the place of a listener's name; reserved, so that no listener has it.
  static constexpr std::string_view summary_name = "host";

private:
  static constexpr std::size_t window = 3; // intervals

  struct Alarm {
    Precedence precedence;
    /// States in the last intervals in which it was there, newest first.
    std::array<ListenerState, window> recent{};
    ListenerState state = ListenerState::ok; ///< the active state
    Severity severity = Severity::okay;
    bool sent = false;        ///< false: of the first interval, and not proved since
    bool owes_cause = false;  ///< the notification was sent while the cause was open
    int proofs = 0;           ///< later intervals with the active state
    Seconds stood_for{0};     ///< time in the active state, counted from the first interval
    Seconds without_worse{0}; ///< time below the active state
    ListenerState ended = ListenerState::ok; ///< state of the last alarm that ended
    Seconds since_end{0};                    ///< time since then
    bool has_relapsed = false; ///< the alarm came back soon after its end, and stays longer
    bool named = false;        ///< a notification named the trouble, and none has ended it
    bool waits = false;        ///< the active state still has to be sent by name
    Cause cause{};             ///< of the last interval with that state; the next two also
    std::string message;       ///< kept while it waits
    std::string chain_root;    ///< see AlarmInput; "" for none
    std::size_t chain_distance = 0;
    std::uint64_t chain_seen = 0; ///< number of the last interval that had evidence
    Seconds chain_for{0};         ///< time since the first one
    bool was_explained = false;   ///< its FAILURE became a WARNING when the root was known
    std::size_t gone_for = 0;     ///< intervals
    std::uint64_t seen = 0;       ///< number of the last interval that had it
  };
  using Entry = std::map<std::string, Alarm, std::less<>>::value_type;
  struct Change {
    Entry *entry = nullptr;
    Notification notification;
    bool is_new = true; ///< false if it has waited
  };

  void see(const AlarmInput &input, Seconds measured, std::vector<Change> &changes);
  void judge(Entry &entry, ListenerState current, const Diagnosis &diagnosis, Seconds measured,
             std::vector<Change> &changes);
  void find_chains(std::span<const AlarmInput> listeners);
  Severity severity_in_chain(const Entry &entry, ListenerState current, Severity severity,
                             Seconds measured);
  bool explains_failure(const Alarm &alarm, ListenerState current) const;
  static void put_roots_first(std::vector<Change> &changes);
  static Severity severity_of(const Alarm &alarm, const Diagnosis &diagnosis);
  static bool may_relapse(const Alarm &alarm);
  static bool settles_cause(const Alarm &alarm, const Diagnosis &diagnosis);
  bool is_proved(const Alarm &alarm) const;
  void miss(Entry &entry, std::vector<Change> &changes) const;
  ListenerState state_to_tell(const Diagnosis &diagnosis) const;
  void add_waiting(std::vector<Change> &changes);
  std::vector<Notification> limit(std::vector<Change> changes);
  Notification sum_up(std::span<const Change> changes) const;

  NotifyStates notify_;
  Seconds stalled_after_;
  Seconds missing_after_;
  std::map<std::string, Alarm, std::less<>> alarms_;
  std::uint64_t interval_ = 0;
  // In this interval:
  std::map<std::string, bool, std::less<>> roots_; ///< of chains, and whether they are in trouble
  std::set<std::string, std::less<>> failing_roots_;
  bool summary_stands_ = false;
};

} // namespace backlog
