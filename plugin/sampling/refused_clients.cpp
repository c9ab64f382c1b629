#include "refused_clients.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace backlog {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds first_timeout{1}; // TCP_TIMEOUT_INIT (include/net/tcp.h)
constexpr unsigned most_attempts = 7;
// The kernel's timer wheel is late by up to an eighth of the time (kernel/time/timer.c).
constexpr int lateness_share = 8;
constexpr milliseconds slack{30};
constexpr milliseconds tick{4}; // at HZ 250; a timer is early by less than one
// While clients try again, a newcomer can be mistaken for one of them that comes a little later.
constexpr double mixed_share = 1.05;
// Bounds the memory of a queue that stays full.
constexpr std::size_t most_groups = 512;

} // namespace

std::chrono::nanoseconds RefusedClients::timeout(unsigned attempts) const {
  return first_timeout * (1U << (attempts - std::min(attempts, linear_timeouts_)));
}

void RefusedClients::expect(std::uint64_t clients, unsigned attempts, TimePoint sent_from,
                            TimePoint sent_until) {
  if (clients == 0 || attempts > most_attempts)
    return;
  const auto after = timeout(attempts);
  const TimePoint due_until = sent_until + after + after / lateness_share + slack;
  const auto joined = std::find_if(groups_.rbegin(), groups_.rend(), [&](const Group &group) {
    return group.attempts == attempts && due_until - group.first_due_until <= slack;
  });
  if (joined != groups_.rend()) {
    joined->clients += clients;
    joined->due_until = due_until;
  } else if (groups_.size() < most_groups) {
    groups_.push_back({.clients = clients,
                       .attempts = attempts,
                       .due_from = sent_from + after - tick,
                       .due_until = due_until,
                       .first_due_until = due_until});
  }
}

void RefusedClients::note(std::uint64_t drops, std::uint64_t length, std::uint64_t capacity,
                          TimePoint before, TimePoint now) {
  const std::uint64_t most = drops > 0 ? std::max(length, capacity) : length;
  forget_before(before);
  note_length(length, before, now);
  const std::size_t known = groups_.size();
  for (std::size_t i = 0; i < known; ++i) {
    if (groups_[i].due_from > now)
      continue;
    const std::uint64_t again = std::min(drops, groups_[i].clients);
    drops -= again;
    is_mixed_ = is_mixed_ || again > 0;
    groups_[i].clients -= again;
    expect(again, groups_[i].attempts + 1, before, now);
  }
  expect(drops, 0, before, now);
  excess_ += static_cast<double>(drops);
  forget_before(now);
  is_mixed_ = is_mixed_ && excess_ > 0;
  const double more = std::ceil(is_mixed_ ? mixed_share * excess_ : excess_);
  if (more > 0)
    unlimited_peak_ = std::max(unlimited_peak_, most + static_cast<std::uint64_t>(more));
}

void RefusedClients::note_length(std::uint64_t length, TimePoint before, TimePoint now) {
  const std::chrono::duration<double> apart = now - before;
  if (length < last_length_ && apart.count() > 0)
    accepted_per_second_ =
        std::max(accepted_per_second_, static_cast<double>(last_length_ - length) / apart.count());
  if (last_ && last_length_ == 0) {
    const std::chrono::duration<double> empty = before - *last_;
    excess_ -= std::clamp(empty.count() * accepted_per_second_, 0.0, excess_);
  }
  last_length_ = length;
  last_ = now;
}

void RefusedClients::forget_before(TimePoint time) {
  std::erase_if(groups_, [&](const Group &group) {
    const bool over = group.clients == 0 || group.due_until < time;
    if (over)
      excess_ -= std::min(excess_, static_cast<double>(group.clients));
    return over;
  });
}

std::uint64_t RefusedClients::take_unlimited_peak() { return std::exchange(unlimited_peak_, 0); }

} // namespace backlog
