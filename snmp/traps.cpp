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

ListenerAlarm gone(const std::string &name, std::uint32_t index) {
  return {.clear = true,
          .name = name,
          .index = index,
          .state = State::ok,
          .cause = layout::Cause::none,
          .severity = Severity::okay,
          .message = name + ": no longer listening",
          .net_namespace = {}};
}

} // namespace

void TrapQueue::note_table(const Snapshot &snapshot) {
  const layout::Header &header = snapshot.header();
  // A collectd that has just begun does not know yet what stands.
  const bool settled = header.taken_at_boot_ns - header.counted_since_ns >=
                       layout::stale_intervals * header.interval_ns;
  if (settled)
    for (auto &[name, told] : told_)
      if (!is_unread(told.alarm, snapshot))
        ++told.absent_for;
  for (const Snapshot::Listener &listener : snapshot.listeners()) {
    const bool okay = listener.severity == Severity::okay;
    if (okay && told_.empty() && queue_.empty())
      continue;
    std::string name(listener.name);
    if (const auto found = told_.find(name); found != told_.end())
      found->second.absent_for = 0;
    else if (okay && !turns_.contains(name))
      continue;
    if (okay && !settled)
      continue;
    consider({.clear = okay,
              .name = std::move(name),
              .index = listener.index,
              .state = listener.state,
              .cause = listener.cause,
              .severity = listener.severity,
              .message = std::string(listener.message),
              .net_namespace =
                  std::string(layout::text_of(snapshot.namespaces()[listener.net_namespace].name)),
              .is_tcp = listener.address_type != layout::AddressType::none});
  }
  if (settled)
    clear_vanished(snapshot);
}

/// Whether it is not in the table, or may be, only since its like could not be read. Where a
/// missing one would be, its row does not tell.
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
  for (const auto &[name, told] : told_)
    if (told.absent_for >= layout::stale_intervals)
      vanished.push_back(gone(name, told.alarm.index));
  const auto is_there = [&rows = snapshot.listeners()](const std::string &name) {
    const auto row = std::lower_bound(
        rows.begin(), rows.end(), name,
        [](const Snapshot::Listener &a, const std::string &b) { return a.name < b; });
    return row != rows.end() && row->name == name;
  };
  for (const auto &[turn, alarm] : queue_)
    if (!told_.contains(alarm.name) && !is_there(alarm.name) && !is_unread(alarm, snapshot))
      vanished.push_back(gone(alarm.name, alarm.index));
  for (ListenerAlarm &alarm : vanished)
    consider(std::move(alarm));
}

void TrapQueue::consider(ListenerAlarm now) {
  const auto found = told_.find(now.name);
  const bool told = found != told_.end();
  const bool wanted = now.clear ? told
                                : !told || found->second.repeat ||
                                      now.severity > found->second.alarm.severity ||
                                      now.state > found->second.alarm.state;
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

void TrapQueue::connected(std::size_t unanswered) {
  for (auto &[name, told] : told_) {
    told.repeat = true;
    if (!turns_.contains(name))
      put(told.alarm);
  }
  while (last_sent_.size() > unanswered)
    last_sent_.pop_front();
  for (ListenerAlarm &alarm : last_sent_)
    if (alarm.clear && !told_.contains(alarm.name) && !turns_.contains(alarm.name))
      put(std::move(alarm));
  last_sent_.clear();
  repeat_stale_ = !told_current_;
}

std::optional<Trap> TrapQueue::next() {
  if (monitor_waits()) {
    told_current_ = *current_;
    repeat_stale_ = false;
    return Trap{told_current_ ? Trap::Kind::current : Trap::Kind::stale, {}};
  }
  if (queue_.empty())
    return std::nullopt;
  Trap trap{Trap::Kind::listener, std::move(queue_.begin()->second)};
  queue_.erase(queue_.begin());
  turns_.erase(trap.listener.name);
  note_sent(trap.listener);
  return trap;
}

void TrapQueue::note_sent(const ListenerAlarm &alarm) {
  if (alarm.clear) {
    told_.erase(alarm.name);
  } else {
    Told &told = told_[alarm.name];
    told.alarm = alarm;
    told.repeat = false;
  }
  last_sent_.push_back(alarm);
  if (last_sent_.size() > notification_window)
    last_sent_.pop_front();
}

} // namespace backlog
