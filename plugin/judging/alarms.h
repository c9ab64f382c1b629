#pragma once

#include "config.h"
#include "diagnosis.h"

#include <array>
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

/// One listener of an interval.
struct AlarmInput {
  std::string_view name;
  const Diagnosis *diagnosis = nullptr; ///< none: it could not be read, and is as it was
};

/// What of all diagnoses is told. Only changes are: a state as soon as it is worse than the one
/// that stands; a better one after three intervals without the worse one. An `overflow` gets
/// worse, from WARNING to FAILURE, when two of the last three intervals overflowed or one had a
/// hundred or more.
///
/// What is wrong in the first interval of all is taken as told by the collectd before: it is told
/// when it gets worse, or ends and comes again. Its end is not, since nobody was told.
///
/// While a listener is gone its alarm stays as it is, so that a restart of a service is no change.
/// After three intervals the alarm ends, and that is told; that of an expected one stays, and
/// becomes `missing` in time.
///
/// Only listeners of which something is or was wrong in the last three intervals are kept.
class Alarms {
public:
  explicit Alarms(NotifyStates notify) : notify_(notify) {}

  /// Once an interval. At most ten notifications, the worst ones; then one more, where there are
  /// others, that sums those up.
  std::vector<Notification> update(std::span<const AlarmInput> listeners);

  /// Of the alarm that stands, told or not; `okay` where there is none.
  Severity standing_severity(std::string_view name) const;

  std::size_t size() const { return alarms_.size(); }

  /// In place of a listener's name; reserved, so that no listener has it.
  static constexpr std::string_view summary_name = "host";

private:
  static constexpr std::size_t window = 3; // intervals

  struct Alarm {
    /// Of the last intervals in which it was there, newest first.
    std::array<ListenerState, window> recent{};
    ListenerState state = ListenerState::ok; ///< that stands
    Severity severity = Severity::okay;
    bool told = false;
    bool summed_up = false;   ///< its state was told in a sum only
    std::size_t gone_for = 0; ///< intervals
    std::uint64_t seen = 0;   ///< number of the interval
  };
  using Entry = std::map<std::string, Alarm, std::less<>>::value_type;
  struct Change {
    Entry *entry = nullptr;
    Notification notification;
  };

  void see(const AlarmInput &input, std::vector<Change> &changes);
  void judge(Entry &entry, ListenerState current, const Diagnosis &diagnosis,
             std::vector<Change> &changes) const;
  static Severity severity_of(const Alarm &alarm, const Diagnosis &diagnosis);
  void miss(Entry &entry, std::vector<Change> &changes) const;
  ListenerState state_to_tell(const Diagnosis &diagnosis) const;
  std::vector<Notification> limit(std::vector<Change> changes);
  Notification sum_up(std::span<const Change> changes) const;

  NotifyStates notify_;
  std::map<std::string, Alarm, std::less<>> alarms_;
  std::uint64_t interval_ = 0;
  bool summary_stands_ = false;
};

} // namespace backlog
