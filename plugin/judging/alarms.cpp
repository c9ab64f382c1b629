#include "alarms.h"

#include <algorithm>
#include <iterator>
#include <tuple>
#include <utility>

namespace backlog {

namespace {

constexpr std::size_t notifications_at_most = 10;
constexpr std::ptrdiff_t failing_intervals = 2;  // intervals with overflow among the last three
constexpr std::uint64_t failing_overflows = 100; // in one interval
constexpr int overflows_that_prove = 2;          // intervals
constexpr int highs_that_prove = 3;              // intervals, as for the state itself
constexpr std::chrono::minutes relapse_within{1};
constexpr std::chrono::seconds relapsed_stands_for{10}; // without the state

} // namespace

std::vector<Notification> Alarms::update(std::span<const AlarmInput> listeners, Seconds measured) {
  ++interval_;
  std::vector<Change> changes;
  find_chains(listeners);
  // Those that wait come first, because their severity can become the root's.
  const auto waits = [this](const AlarmInput &input) {
    const auto found = roots_.empty() ? alarms_.end() : alarms_.find(input.name);
    return !input.chain_root.empty() ||
           (found != alarms_.end() && !found->second.chain_root.empty());
  };
  if (!roots_.empty())
    for (const AlarmInput &input : listeners)
      if (waits(input))
        see(input, measured, changes);
  for (const AlarmInput &input : listeners)
    if (!waits(input))
      see(input, measured, changes);
  for (Entry &entry : alarms_)
    if (entry.second.seen != interval_)
      miss(entry, changes);
  add_waiting(changes);
  std::vector<Notification> notifications = limit(std::move(changes));
  std::erase_if(alarms_, [](const Entry &entry) {
    const Alarm &alarm = entry.second;
    return alarm.state == ListenerState::ok && !alarm.waits && !may_relapse(alarm);
  });
  return notifications;
}

/// Finds the roots of all chains, those of recent intervals included.
void Alarms::find_chains(std::span<const AlarmInput> listeners) {
  roots_.clear();
  failing_roots_.clear();
  for (auto &[name, alarm] : alarms_) {
    if (interval_ - alarm.chain_seen > window) {
      alarm.chain_root.clear();
      alarm.chain_distance = 0;
      alarm.chain_for = Seconds(0);
    } else if (!alarm.chain_root.empty()) {
      roots_.try_emplace(alarm.chain_root, false);
    }
  }
  for (const AlarmInput &input : listeners)
    if (!input.chain_root.empty())
      roots_.try_emplace(std::string(input.chain_root), false);
  if (roots_.empty())
    return;
  for (const AlarmInput &input : listeners)
    if (const auto root = roots_.find(input.name); root != roots_.end())
      root->second =
          input.diagnosis != nullptr && state_to_tell(*input.diagnosis) != ListenerState::ok;
}

StandingAlarm Alarms::standing(std::string_view name) const {
  const auto found = alarms_.find(name);
  if (found == alarms_.end())
    return {};
  const Alarm &alarm = found->second;
  return {alarm.state, alarm.cause, alarm.severity};
}

void Alarms::see(const AlarmInput &input, Seconds measured, std::vector<Change> &changes) {
  const Diagnosis *diagnosis = input.diagnosis;
  const ListenerState state = diagnosis == nullptr ? ListenerState::ok : state_to_tell(*diagnosis);
  auto found = alarms_.find(input.name);
  if (found == alarms_.end()) {
    if (state == ListenerState::ok)
      return;
    found = alarms_.try_emplace(std::string(input.name)).first;
  }
  const bool judged =
      diagnosis != nullptr && (diagnosis->is_there || state == ListenerState::missing);
  const bool awaited = diagnosis == nullptr || (diagnosis->is_expected && notify_.missing);
  if (judged || awaited)
    found->second.seen = interval_;
  if (!judged)
    return;
  found->second.precedence = input.precedence;
  if (!input.chain_root.empty()) {
    found->second.chain_root = input.chain_root;
    found->second.chain_distance = input.chain_distance;
    found->second.chain_seen = interval_;
  }
  judge(*found, state, *diagnosis, measured, changes);
}

ListenerState Alarms::state_to_tell(const Diagnosis &diagnosis) const {
  if (notify_.contains(diagnosis.state))
    return diagnosis.state;
  return diagnosis.overflowed && notify_.overflow ? ListenerState::overflow : ListenerState::ok;
}

/// Severity by the newest of its recent states.
Severity Alarms::severity_of(const Alarm &alarm, const Diagnosis &diagnosis) {
  const auto &recent = alarm.recent;
  switch (recent.front()) {
  case ListenerState::ok:
    return Severity::okay;
  case ListenerState::high:
    return Severity::warning;
  case ListenerState::overflow:
    return (diagnosis.overflows >= failing_overflows && !diagnosis.cause_is_open) ||
                   std::count(recent.begin(), recent.end(), ListenerState::overflow) >=
                       failing_intervals
               ? Severity::failure
               : Severity::warning;
  case ListenerState::stalled:
  case ListenerState::missing:
    break;
  }
  return Severity::failure;
}

void Alarms::judge(Entry &entry, ListenerState current, const Diagnosis &diagnosis,
                   Seconds measured, std::vector<Change> &changes) {
  Alarm &alarm = entry.second;
  alarm.gone_for = 0;
  std::shift_right(alarm.recent.begin(), alarm.recent.end(), 1);
  alarm.recent.front() = current;
  alarm.since_end += measured;
  if (!alarm.chain_root.empty())
    alarm.chain_for += measured;
  alarm.without_worse = current < alarm.state ? alarm.without_worse + measured : Seconds(0);

  Severity severity = severity_of(alarm, diagnosis);
  // An overflow in the first interval may have lasted for long.
  if (interval_ == 1 && current == ListenerState::overflow)
    severity = Severity::failure;
  severity = severity_in_chain(entry, current, severity, measured);
  const bool is_explained = explains_failure(alarm, current);
  if (is_explained) {
    failing_roots_.insert(alarm.chain_root);
    alarm.was_explained = true;
    alarm.severity = severity = Severity::warning;
  }
  const bool worse = std::tie(current, severity) > std::tie(alarm.state, alarm.severity);
  const bool better = std::all_of(alarm.recent.begin(), alarm.recent.end(),
                                  [&](ListenerState state) { return state < alarm.state; }) &&
                      current == *std::max_element(alarm.recent.begin(), alarm.recent.end()) &&
                      (!alarm.has_relapsed || alarm.without_worse >= relapsed_stands_for);
  bool is_change = worse || better;
  alarm.was_explained = alarm.was_explained && !(better && current == ListenerState::ok);
  if (worse)
    alarm.has_relapsed = current <= alarm.ended && may_relapse(alarm);
  if (better) {
    alarm.ended = alarm.state;
    alarm.since_end = Seconds(0);
  }
  if (is_change) {
    alarm.state = current;
    alarm.severity = severity;
    alarm.proofs = 0;
    alarm.stood_for = measured;
    if (worse)
      alarm.sent = interval_ > 1;
  } else if (current == alarm.state && current != ListenerState::ok) {
    ++alarm.proofs;
    alarm.stood_for += measured;
    is_change = (!alarm.sent && is_proved(alarm)) ||
                (alarm.owes_cause && !diagnosis.cause_is_open) || (alarm.sent && is_explained);
    alarm.sent = alarm.sent || is_change;
    if (alarm.waits)
      alarm.message = diagnosis.message;
  }
  // The cause that was found stands while the next full run is still open.
  if (current == alarm.state && !(diagnosis.cause_is_open && !is_change))
    alarm.cause = diagnosis.cause;
  if (settles_cause(alarm, diagnosis)) {
    alarm.owes_cause = false;
    alarm.cause = diagnosis.ended_cause;
    changes.push_back({&entry,
                       {entry.first, alarm.severity, alarm.state, diagnosis.ended_cause,
                        diagnosis.ended_message}});
    return;
  }
  if (!is_change || !alarm.sent)
    return;
  alarm.owes_cause = diagnosis.cause_is_open;
  changes.push_back(
      {&entry, {entry.first, alarm.severity, current, diagnosis.cause, diagnosis.message}});
}

Severity Alarms::severity_in_chain(const Entry &entry, ListenerState current, Severity severity,
                                   Seconds measured) {
  const auto &[name, alarm] = entry;
  if (current == ListenerState::ok || roots_.empty())
    return severity;
  const auto root = alarm.chain_root.empty() ? roots_.end() : roots_.find(alarm.chain_root);
  if (root != roots_.end() && (root->second || alarm.chain_for <= stalled_after_ + 2 * measured) &&
      current != ListenerState::missing && severity == Severity::failure) {
    failing_roots_.insert(root->first);
    return Severity::warning;
  }
  return failing_roots_.contains(name) ? Severity::failure : severity;
}

/// Whether a FAILURE turns out to be the root's. It is taken back once only, since the evidence can
/// come and go.
bool Alarms::explains_failure(const Alarm &alarm, ListenerState current) const {
  if (alarm.severity != Severity::failure || alarm.was_explained || current != alarm.state ||
      current == ListenerState::missing || alarm.chain_seen != interval_)
    return false;
  const auto root = roots_.find(alarm.chain_root);
  return root != roots_.end() && root->second;
}

/// Sorts the members of each chain among their places.
void Alarms::put_roots_first(std::vector<Change> &changes) {
  std::map<std::string_view, std::vector<std::size_t>> chains; // by root
  for (const Change &change : changes)
    if (const std::string &root = change.entry->second.chain_root; !root.empty())
      chains[root];
  for (std::size_t i = 0; i < changes.size() && !chains.empty(); ++i) {
    const std::string &root = changes[i].entry->second.chain_root;
    const auto chain = chains.find(root.empty() ? std::string_view(changes[i].entry->first) : root);
    if (chain != chains.end())
      chain->second.push_back(i);
  }
  for (const auto &[root, places] : chains) {
    std::vector<Change> members;
    for (const std::size_t place : places)
      members.push_back(std::move(changes[place]));
    std::stable_sort(members.begin(), members.end(), [](const Change &a, const Change &b) {
      return a.entry->second.chain_distance < b.entry->second.chain_distance;
    });
    for (std::size_t i = 0; i < places.size(); ++i)
      changes[places[i]] = std::move(members[i]);
  }
}

bool Alarms::may_relapse(const Alarm &alarm) {
  return alarm.ended != ListenerState::ok && alarm.since_end <= relapse_within;
}

/// The run may end in an interval without drops; at short intervals it does.
bool Alarms::settles_cause(const Alarm &alarm, const Diagnosis &diagnosis) {
  return alarm.sent && alarm.owes_cause && alarm.state == ListenerState::overflow &&
         alarm.recent.front() < alarm.state && diagnosis.ended_cause != Cause::none;
}

/// Whether the intervals after the first one prove the alarm.
bool Alarms::is_proved(const Alarm &alarm) const {
  switch (alarm.state) {
  case ListenerState::ok:
    break;
  case ListenerState::high:
    return alarm.proofs >= highs_that_prove;
  case ListenerState::overflow:
    return alarm.proofs >= overflows_that_prove;
  case ListenerState::stalled:
    return alarm.stood_for >= stalled_after_;
  case ListenerState::missing:
    return alarm.stood_for >= missing_after_;
  }
  return false;
}

void Alarms::miss(Entry &entry, std::vector<Change> &changes) const {
  Alarm &alarm = entry.second;
  if (alarm.state == ListenerState::ok)
    alarm.ended = ListenerState::ok;
  if (alarm.state == ListenerState::ok || ++alarm.gone_for < window)
    return;
  const std::string text =
      "gone, so its alarm (" + std::string(name_of(alarm.state)) + ") has ended";
  alarm.state = ListenerState::ok;
  alarm.severity = Severity::okay;
  if (alarm.sent)
    changes.push_back({&entry,
                       {entry.first, Severity::okay, ListenerState::ok, Cause::none,
                        message_about(entry.first, "", text)}});
}

void Alarms::add_waiting(std::vector<Change> &changes) {
  for (Change &change : changes)
    change.entry->second.waits = false;
  for (Entry &entry : alarms_) {
    Alarm &alarm = entry.second;
    if (alarm.waits)
      changes.push_back(
          {&entry, {entry.first, alarm.severity, alarm.state, alarm.cause, alarm.message}, false});
  }
}

std::vector<Notification> Alarms::limit(std::vector<Change> changes) {
  const auto goes_before = [](const Change &a, const Change &b) {
    const Notification &first = a.notification;
    const Notification &second = b.notification;
    return std::tie(a.entry->second.precedence, second.severity, second.state) <
           std::tie(b.entry->second.precedence, first.severity, first.state);
  };
  std::stable_sort(changes.begin(), changes.end(), goes_before);
  put_roots_first(changes);
  const std::size_t named = std::min(changes.size(), notifications_at_most);
  std::vector<Notification> notifications;
  for (std::size_t i = 0; i < changes.size(); ++i) {
    Alarm &alarm = changes[i].entry->second;
    const bool is_trouble = alarm.state != ListenerState::ok;
    alarm.waits = i >= named && (is_trouble || alarm.named);
    if (i < named) {
      alarm.named = is_trouble;
      alarm.message.clear();
      notifications.push_back(std::move(changes[i].notification));
    } else {
      alarm.cause = changes[i].notification.cause;
      alarm.message = changes[i].notification.message;
    }
  }
  std::vector<Change> others(
      std::make_move_iterator(changes.begin() + static_cast<std::ptrdiff_t>(named)),
      std::make_move_iterator(changes.end()));
  std::erase_if(others, [](const Change &change) { return !change.is_new; });
  Notification summary = sum_up(others);
  const bool stands = summary.state != ListenerState::ok;
  if (!others.empty() || (summary_stands_ && !stands))
    notifications.push_back(std::move(summary));
  summary_stands_ = stands;
  return notifications;
}

/// Sums up the changes; as severe as the worst alarm that was only ever summed up.
Notification Alarms::sum_up(std::span<const Change> changes) const {
  Notification summary;
  summary.name = summary_name;
  for (const Entry &entry : alarms_)
    if (entry.second.waits) {
      summary.state = std::max(summary.state, entry.second.state);
      summary.severity = std::max(summary.severity, entry.second.severity);
    }
  std::array<std::size_t, layout::state_names.size()> counts{};
  for (const Change &change : changes)
    ++counts.at(static_cast<std::size_t>(change.notification.state));
  std::string text = "each listener summed up earlier has been named or is well again";
  if (!changes.empty())
    text = std::to_string(changes.size()) + " more " +
           (changes.size() == 1 ? "listener has" : "listeners have") + " changed";
  std::string_view separator = ": ";
  for (std::size_t state = counts.size(); state-- > 0;)
    if (counts.at(state) > 0) {
      text.append(separator).append(std::to_string(counts.at(state))).append(" ");
      text += name_of(static_cast<ListenerState>(state));
      separator = ", ";
    }
  summary.message = message_about(summary_name, "", text);
  return summary;
}

} // namespace backlog
