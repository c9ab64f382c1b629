#include "traps.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace backlog {

namespace {

using layout::Severity;
using layout::State;

bool same_state(const ListenerAlarm &a, const ListenerAlarm &b) {
  return a.clear == b.clear && a.state == b.state && a.severity == b.severity;
}

bool is_worse(const ListenerAlarm &now, const ListenerAlarm &than) {
  return !now.clear && (than.clear || now.severity > than.severity || now.state > than.state);
}

ListenerAlarm gone(const ListenerAlarm &alarm) {
  ListenerAlarm clear;
  clear.clear = true;
  clear.gone = true;
  clear.name = alarm.name;
  clear.index = alarm.index;
  clear.message = alarm.name + ": no longer listening";
  clear.owner = alarm.owner;
  clear.net_namespace = alarm.net_namespace;
  clear.is_tcp = alarm.is_tcp;
  return clear;
}

ListenerAlarm alarm_of(const Snapshot::Listener &listener, const Snapshot &snapshot) {
  ListenerAlarm alarm;
  alarm.clear = listener.severity == Severity::okay;
  alarm.name = listener.name;
  alarm.index = listener.index;
  alarm.state = listener.state;
  alarm.cause = listener.cause;
  alarm.severity = listener.severity;
  alarm.message = listener.message;
  alarm.owner = listener.owner;
  if ((listener.has & layout::has_queue) != 0) {
    alarm.peak = listener.peak;
    alarm.limit = listener.limit;
  }
  alarm.net_namespace = layout::text_of(snapshot.namespaces()[listener.net_namespace].name);
  alarm.is_tcp = listener.address_type != layout::AddressType::none;
  return alarm;
}

} // namespace

void TrapQueue::note_table(const Snapshot &snapshot) {
  const layout::Header &header = snapshot.header();
  // A collectd that has just started does not know the alarms yet.
  const bool settled = header.taken_at_boot_ns - header.counted_since_ns >=
                       layout::stale_intervals * header.interval_ns;
  if (settled)
    for (auto &[name, reported] : reported_)
      if (!is_unread(reported.now, snapshot))
        ++reported.absent_for;
  for (const Snapshot::Listener &listener : snapshot.listeners()) {
    const bool okay = listener.severity == Severity::okay;
    if (okay && reported_.empty() && queue_.empty())
      continue;
    ListenerAlarm now = alarm_of(listener, snapshot);
    const auto reported = reported_.find(now.name);
    if (reported != reported_.end())
      reported->second.absent_for = 0;
    else if (okay && !turns_.contains(now.name))
      continue;
    if (!settled &&
        (okay || (reported != reported_.end() && !is_worse(now, reported->second.sent))))
      continue;
    consider(std::move(now));
  }
  if (settled)
    clear_vanished(snapshot);
}

/// Whether the listener is absent, or may be, only because listeners like it could not be read. A
/// missing listener's row does not say what it would be like.
bool TrapQueue::is_unread(const ListenerAlarm &alarm, const Snapshot &snapshot) {
  if (alarm.state == State::missing)
    return (snapshot.header().has & layout::is_complete) == 0;
  const std::uint32_t unread = alarm.is_tcp ? layout::tcp_unread : layout::unix_unread;
  return std::any_of(snapshot.namespaces().begin(), snapshot.namespaces().end(),
                     [&](const layout::Namespace &record) {
                       return layout::text_of(record.name) == alarm.net_namespace &&
                              (record.has & unread) != 0;
                     });
}

void TrapQueue::clear_vanished(const Snapshot &snapshot) {
  std::vector<ListenerAlarm> vanished;
  for (const auto &[name, reported] : reported_)
    if (reported.absent_for >= layout::stale_intervals)
      vanished.push_back(gone(reported.now));
  const auto is_there = [&rows = snapshot.listeners()](const std::string &name) {
    const auto row = std::lower_bound(
        rows.begin(), rows.end(), name,
        [](const Snapshot::Listener &a, const std::string &b) { return a.name < b; });
    return row != rows.end() && row->name == name;
  };
  for (const auto &[turn, alarm] : queue_)
    if (!reported_.contains(alarm.name) && !is_there(alarm.name) && !is_unread(alarm, snapshot))
      vanished.push_back(gone(alarm));
  for (ListenerAlarm &alarm : vanished)
    consider(std::move(alarm));
}

void TrapQueue::consider(ListenerAlarm now) {
  const auto found = reported_.find(now.name);
  bool wanted = !now.clear;
  if (found != reported_.end()) {
    Reported &reported = found->second;
    reported.lesser_for = now.state < reported.sent.state ? reported.lesser_for + 1 : 0;
    reported.now = now;
    const bool is_lesser =
        !now.clear && (now.severity < reported.sent.severity ||
                       (now.state != State::ok && reported.lesser_for >= layout::stale_intervals));
    wanted = reported.repeat || now.clear != reported.sent.clear || is_worse(now, reported.sent) ||
             is_lesser;
  }
  if (wanted)
    put(std::move(now));
  else
    withdraw(now.name);
}

void TrapQueue::put(ListenerAlarm alarm) {
  const auto [turn, is_new] = turns_.emplace(alarm.name, next_turn_);
  if (is_new)
    ++next_turn_;
  else if (!same_state(queue_[turn->second], alarm))
    ++superseded_;
  queue_[turn->second] = std::move(alarm);
}

void TrapQueue::withdraw(const std::string &name) {
  const auto turn = turns_.find(name);
  if (turn == turns_.end())
    return;
  ++superseded_;
  queue_.erase(turn->second);
  turns_.erase(turn);
}

void TrapQueue::note_status(bool current) { current_ = current; }

void TrapQueue::repeat(Reported &reported) {
  reported.repeat = true;
  if (!turns_.contains(reported.now.name))
    put(reported.now);
}

void TrapQueue::connected() {
  for (auto &[name, reported] : reported_)
    repeat(reported);
  repeat_status_ =
      !told_current_ || std::any_of(unanswered_.begin(), unanswered_.end(),
                                    [](const auto &sent) { return sent.second.empty(); });
  unanswered_.clear();
}

std::optional<Trap> TrapQueue::next() {
  Trap trap;
  trap.number = next_number_;
  if (monitor_waits()) {
    told_current_ = *current_;
    repeat_status_ = false;
    trap.kind = told_current_ ? Trap::Kind::current : Trap::Kind::stale;
  } else if (!queue_.empty()) {
    trap.listener = std::move(queue_.begin()->second);
    queue_.erase(queue_.begin());
    turns_.erase(trap.listener.name);
  } else {
    return std::nullopt;
  }
  ++next_number_;
  note_sent(trap);
  return trap;
}

void TrapQueue::note_sent(const Trap &trap) {
  const ListenerAlarm &alarm = trap.listener;
  unanswered_.emplace(trap.number, alarm.name);
  if (trap.kind != Trap::Kind::listener)
    return;
  const auto [entry, is_new] = reported_.try_emplace(alarm.name);
  Reported &reported = entry->second;
  if (is_new)
    reported.now = alarm;
  else
    unanswered_.erase(reported.number);
  reported.sent.clear = alarm.clear;
  reported.sent.state = alarm.state;
  reported.sent.severity = alarm.severity;
  reported.number = trap.number;
  reported.repeat = false;
  reported.lesser_for = 0;
}

void TrapQueue::answered(std::uint64_t number) {
  while (!unanswered_.empty() && unanswered_.begin()->first <= number) {
    const auto reported = reported_.find(unanswered_.begin()->second);
    if (reported != reported_.end() && reported->second.sent.clear)
      reported_.erase(reported);
    unanswered_.erase(unanswered_.begin());
  }
}

void TrapQueue::failed(std::uint64_t number) {
  const auto sent = unanswered_.find(number);
  if (sent == unanswered_.end())
    return;
  if (const auto reported = reported_.find(sent->second); reported != reported_.end())
    repeat(reported->second);
  else
    repeat_status_ = true;
  unanswered_.erase(sent);
}

} // namespace backlog
