#include "refused_clients.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace backlog {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds first_timeout{1}; // TCP_TIMEOUT_INIT (include/net/tcp.h)
// A SYN is sent so often and once more after a second, and from then on after twice the previous
// time: the default of net.ipv4.tcp_syn_linear_timeouts of the client's kernel
// (tcp_retransmit_timer(), net/ipv4/tcp_timer.c). One without them sends at some of these times.
constexpr unsigned linear_timeouts = 4;
constexpr unsigned most_attempts = 7;
constexpr milliseconds slack{30};
constexpr milliseconds tick{4}; // at HZ 250; a timer is early by less than one
// While clients try again, a newcomer can be mistaken for one of them that comes a little later;
// less often where the SYNs sent again are counted.
constexpr double mixed_share = 1.05;
constexpr double counted_mixed_share = 1.02;
// Clients that send nothing, since they wait for the server's first word, are heard of only when
// their SYN-ACK is repeated.
constexpr seconds shortest_silence{3};
// ACKs and what follows them: until when all may be of newcomers, until when each client has
// repeated its own once, and how long the periods are afterwards in each of which it does so at
// most once. A first probe comes after 0.2 s and two round trips or later, and not twice as late
// the next time (tcp_schedule_loss_probe(), TCP_RTO_MIN).
constexpr milliseconds newcomers_until{190};
constexpr milliseconds repeated_until{390};
constexpr milliseconds repeated_each{200};
// A queue that is never seen empty would remember for good.
constexpr seconds remembered_for{60};
// Bounds the memory of a queue that stays full.
constexpr std::size_t most_groups = 512;

} // namespace

void RefusedClients::expect(Group group, TimePoint sent_from, TimePoint sent_until) {
  if (group.clients == 0)
    return;
  const unsigned linear = std::min(group.attempts, linear_timeouts);
  const std::chrono::nanoseconds after = first_timeout * (1U << (group.attempts - linear));
  group.due_from = sent_from + after - tick;
  group.due_until = sent_until + after + after / lateness_share + slack;
  group.first_due_until = group.due_until;
  const auto joined = std::find_if(groups_.rbegin(), groups_.rend(), [&](const Group &other) {
    return other.attempts == group.attempts && group.due_until - other.first_due_until <= slack;
  });
  if (joined != groups_.rend()) {
    joined->clients += group.clients;
    joined->excess += group.excess;
    joined->due_until = std::max(joined->due_until, group.due_until);
  } else if (groups_.size() < most_groups && group.attempts <= most_attempts) {
    groups_.push_back(group);
  } else {
    gave_up_ += group.excess;
  }
}

void RefusedClients::note(const Sample &sample) {
  if (!last_ || last_length_ < sample.capacity)
    last_room_ = sample.before;
  if (sample.length < sample.capacity || sample.length < last_length_ || sample.accepted)
    last_room_ = sample.now;
  end_groups(sample.before);
  const std::uint64_t length_before = last_length_;
  note_length(sample);
  note_syns(sample, sample.refused.syns + note_acks(sample));
  note_connected(sample);
  end_groups(sample.now);

  const Segments &refused = sample.refused;
  const bool was_full = refused.syns + refused.final_acks + refused.repeated + refused.acks > 0;
  if (was_full)
    last_refused_ = sample.now;
  else if (sample.now - last_refused_ > remembered_for)
    gave_up_ = 0;
  const std::uint64_t most = was_full ? std::max(sample.length, sample.capacity) : sample.length;
  const double of_syns = excess();
  is_mixed_ = is_mixed_ && of_syns > 0;
  const double share = is_counted_ ? counted_mixed_share : mixed_share;
  const double more = std::ceil((is_mixed_ ? share * of_syns : of_syns) + connected_);
  unlimited_length_ = more > 0 ? most + static_cast<std::uint64_t>(more) : 0;
  unlimited_peak_ = std::max(unlimited_peak_, unlimited_length_);
  if (acks_)
    end_acks(sample.now, most + static_cast<std::uint64_t>(more));
  if (sample.length == 0)
    note_emptied(sample, was_full ? std::max(length_before, sample.capacity) : length_before);
}

/// Those that were in the queue have left in this sample. For the rest of the time, of which half
/// may have been before they came, others would have been accepted as fast.
void RefusedClients::note_emptied(const Sample &sample, std::uint64_t left) {
  const std::chrono::duration<double> apart = sample.now - sample.before;
  const double more = apart.count() * accepted_per_second_ - static_cast<double>(left);
  forget_accepted(std::max(0.0, more / 2));
}

template <class Use>
std::uint64_t RefusedClients::take_due(std::uint64_t segments, TimePoint now, Use use) {
  const std::size_t known = groups_.size();
  for (std::size_t i = 0; i < known && segments > 0; ++i) {
    Group due = groups_[i];
    if (due.due_from > now || due.clients == 0)
      continue;
    due.clients = std::min(segments, due.clients);
    due.excess *= static_cast<double>(due.clients) / static_cast<double>(groups_[i].clients);
    groups_[i].clients -= due.clients;
    groups_[i].excess -= due.excess;
    segments -= due.clients;
    is_mixed_ = true;
    use(due);
  }
  return segments;
}

void RefusedClients::note_syns(const Sample &sample, std::uint64_t syns) {
  std::uint64_t newcomers = syns;
  std::uint64_t again = newcomers;
  is_counted_ = newcomers > 0 ? sample.syns_again.has_value() : is_counted_;
  may_be_again_ = groups_.empty() ? 0 : may_be_again_ + sample.syns_again.value_or(0);
  if (sample.syns_again)
    again = std::min(again, may_be_again_);
  newcomers -= again;
  const std::uint64_t others = take_due(again, sample.now, [&](Group due) {
    ++due.attempts;
    expect(due, sample.before, sample.now);
  });
  may_be_again_ -= std::min(may_be_again_, again - others);
  newcomers += others;
  Group group;
  group.clients = newcomers;
  group.excess = static_cast<double>(newcomers);
  expect(group, sample.before, sample.now);
}

void RefusedClients::note_connected(const Sample &sample) {
  const auto silence =
      std::max<TimePoint::duration>(shortest_silence, 2 * (connected_seen_ - connected_since_));
  if (sample.before - connected_seen_ > silence && last_room_ > connected_seen_)
    connected_ = 0;
  if (connected_ == 0)
    connected_since_ = sample.before;
  if (sample.refused.final_acks + sample.refused.repeated + sample.refused.acks > 0)
    connected_seen_ = sample.now;
  connect_due(sample.refused.final_acks, sample.now);
}

std::uint64_t RefusedClients::connect_due(std::uint64_t clients, TimePoint now) {
  const std::uint64_t newcomers =
      take_due(clients, now, [this](const Group &due) { connected_ += due.excess; });
  connected_ += static_cast<double>(newcomers);
  return newcomers;
}

std::uint64_t RefusedClients::note_acks(const Sample &sample) {
  const std::uint64_t segments = sample.refused.acks;
  if (segments == 0)
    return 0;
  if (!acks_)
    acks_ = Acks{.from = sample.before};
  Acks &acks = *acks_;
  const auto since = sample.now - acks.from;
  if (since <= newcomers_until || acks.first == 0) {
    acks.first += segments;
    return 0;
  }
  if (since > repeated_until && sample.now > acks.later_until) {
    acks.later = 0;
    acks.later_until = sample.now + repeated_each;
  }
  std::uint64_t &repeated = since > repeated_until ? acks.later : acks.again;
  const std::uint64_t of_them = std::min(segments, acks.first - repeated);
  repeated += of_them;
  return segments - of_them;
}

void RefusedClients::end_acks(TimePoint now, std::uint64_t others) {
  const bool has_room = last_room_ > acks_->from;
  if (!acks_->is_resolved) {
    acks_->others_peak = std::max(acks_->others_peak, others);
    if (has_room || now - acks_->from > repeated_until) {
      const std::uint64_t clients = std::max(acks_->again, acks_->first - acks_->again);
      const std::uint64_t newcomers = connect_due(clients, now);
      unlimited_peak_ = std::max(unlimited_peak_, acks_->others_peak + newcomers);
      acks_->is_resolved = true;
    }
  }
  if (has_room)
    acks_.reset();
}

void RefusedClients::note_length(const Sample &sample) {
  const std::chrono::duration<double> apart = sample.now - sample.before;
  if (sample.length < last_length_ && apart.count() > 0)
    accepted_per_second_ = std::max(
        accepted_per_second_, static_cast<double>(last_length_ - sample.length) / apart.count());
  if (last_ && last_length_ == 0) {
    const std::chrono::duration<double> empty = sample.before - *last_;
    forget_accepted(std::max(0.0, empty.count() * accepted_per_second_));
  }
  last_length_ = sample.length;
  last_ = sample.now;
}

void RefusedClients::forget_accepted(double clients) {
  const auto take = [&clients](double &from) {
    const double taken = std::min(clients, from);
    clients -= taken;
    from -= taken;
  };
  take(gave_up_);
  take(connected_);
  for (Group &group : groups_)
    take(group.excess);
}

void RefusedClients::end_groups(TimePoint time) {
  for (std::size_t i = 0; i < groups_.size(); ++i) {
    Group &group = groups_[i];
    if (group.clients == 0 || group.due_until >= time)
      continue;
    Group later = std::exchange(group, Group{});
    ++later.attempts;
    if (last_room_ < later.due_from)
      expect(later, later.due_from, later.due_until);
  }
  std::erase_if(groups_, [](const Group &group) { return group.clients == 0; });
}

double RefusedClients::excess() const {
  double sum = gave_up_;
  for (const Group &group : groups_)
    sum += group.excess;
  return sum;
}

std::uint64_t RefusedClients::take_unlimited_peak() {
  return std::exchange(unlimited_peak_, last_length_ > 0 ? unlimited_length_ : 0);
}

} // namespace backlog
