#pragma once

#include "config.h"
#include "diagnosis.h"
#include "precedence.h"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace backlog {

using layout::Severity;

/// What people are told.
struct Notification {
  std::string name; ///< of the listener, or summary_name
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

/// One listener of an interval.
struct AlarmInput {
  std::string_view name;
  const Diagnosis *diagnosis = nullptr; ///< none: it could not be read, and is as it was
  Precedence precedence;
};

/// What of all diagnoses is told. Only changes are: a state as soon as it is worse than the one
/// that stands; a better one after three intervals without the worse one. An `overflow` gets
/// worse, from WARNING to FAILURE, when two of the last three intervals overflowed or one had a
/// hundred or more.
///
/// What is wrong in the first interval of all may have been told by the collectd before. It is told
/// when it gets worse, when it ends and comes again, and as soon as the later intervals prove it
/// without the first one: two overflows, three intervals that are high, stalled or missing for as
/// long as that takes since the start. Its end is told only where itself was.
///
/// While a listener is gone its alarm stays as it is, so that a restart of a service is no change.
/// After three intervals the alarm ends, and that is told; that of an expected one stays, and
/// becomes `missing` in time.
///
/// Only listeners of which something is or was wrong in the last three intervals are kept, and
/// those of which an end is still to be told.
class Alarms {
public:
  using Seconds = std::chrono::duration<double>;

  /// The others: StalledAfter, MissingAfter.
  explicit Alarms(NotifyStates notify, Seconds stalled_after = Seconds(30),
                  Seconds missing_after = Seconds(60))
      : notify_(notify), stalled_after_(stalled_after), missing_after_(missing_after) {}

  /// Once an interval. At most ten notifications, by precedence and then the worst ones; then one
  /// more, where others have changed, that sums those up. Who was summed up is told by name as soon
  /// as there is room.
  /// @param measured  the span of the interval
  std::vector<Notification> update(std::span<const AlarmInput> listeners, Seconds measured);

  /// The alarm that stands, told or not; `ok` and `okay` where there is none.
  StandingAlarm standing(std::string_view name) const;

  std::size_t size() const { return alarms_.size(); }

  /// In place of a listener's name; reserved, so that no listener has it.
  static constexpr std::string_view summary_name = "host";

private:
  static constexpr std::size_t window = 3; // intervals

  struct Alarm {
    Precedence precedence;
    /// Of the last intervals in which it was there, newest first.
    std::array<ListenerState, window> recent{};
    ListenerState state = ListenerState::ok; ///< that stands
    Severity severity = Severity::okay;
    bool told = false;        ///< false: of the first interval, and not proved since
    bool owes_cause = false;  ///< told when it was still open
    int proofs = 0;           ///< later intervals with the state that stands
    Seconds stood_for{0};     ///< that state, from the first interval on
    bool named = false;       ///< trouble was told by name, and no end of it
    bool waits = false;       ///< the state that stands is still to be told by name
    Cause cause{};            ///< of the last interval with that state; likewise:
    std::string message;      ///< kept as long as it waits
    std::size_t gone_for = 0; ///< intervals
    std::uint64_t seen = 0;   ///< number of the interval
  };
  using Entry = std::map<std::string, Alarm, std::less<>>::value_type;
  struct Change {
    Entry *entry = nullptr;
    Notification notification;
    bool is_new = true; ///< false: it waited
  };

  void see(const AlarmInput &input, Seconds measured, std::vector<Change> &changes);
  void judge(Entry &entry, ListenerState current, const Diagnosis &diagnosis, Seconds measured,
             std::vector<Change> &changes) const;
  static Severity severity_of(const Alarm &alarm, const Diagnosis &diagnosis);
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
  bool summary_stands_ = false;
};

} // namespace backlog
