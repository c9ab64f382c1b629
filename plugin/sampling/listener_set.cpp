#include "listener_set.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <utility>

namespace backlog {

namespace {

constexpr double ns_per_s = 1e9;
constexpr double hot_percent = 90;
constexpr std::uint32_t filling_min_connections = 4;
constexpr std::uint32_t filling_share = 8; // one part in so many of the limit
constexpr std::size_t most_kept_listeners = 10000;
constexpr std::size_t most_unnamed = 100000; // 5 MB
constexpr std::size_t most_settled_names = 10000;

/// Adds the waits of another socket. The quantiles of several sockets together are unknown; the
/// longest wait is the longest of one of them.
void add_waits(const Waits &more, std::optional<Waits> &waits) {
  if (!waits) {
    waits = more;
    return;
  }
  const auto accepted = static_cast<double>(waits->accepted);
  const auto also = static_cast<double>(more.accepted);
  waits->mean = (waits->mean * accepted + more.mean * also) / (accepted + also);
  waits->p50 = std::max(waits->p50, more.p50);
  waits->p99 = std::max(waits->p99, more.p99);
  waits->accepted += more.accepted;
}

bool is_filling(std::uint64_t length, std::uint64_t limit) {
  return length >= filling_min_connections && filling_share * length >= limit;
}

} // namespace

ListenerSet::ListenerSet(IsUnstable is_unstable, std::shared_ptr<ListenerRoom> room)
    : is_unstable_(std::move(is_unstable)), room_(std::move(room)),
      names_([this](std::uint32_t listener) -> ListenerIdentity & {
        return listeners_[listener].identity;
      }) {}

ListenerSet::~ListenerSet() {
  if (room_)
    room_->taken -= by_cookie_.size();
}

void ListenerSet::begin_sample() {
  ++sample_;
  seen_ = 0;
  without_room_ = 0;
  members_changed_ = false;
  gone_sockets_.clear();
  gone_members_.clear();
  if (!std::exchange(broken_off_, false)) {
    if (drops_moved_.empty())
      more_overflows_ = 0;
    drops_moved_.clear();
    moved_since_ = sample_;
  }
}

void ListenerSet::see(const MemberState &state, Identify identify, IsNamed is_named) {
  Member *known = find(state.cookie);
  const bool is_new = known == nullptr;
  if (is_new) {
    if (room_ && !has_room(state, is_named)) {
      ++without_room_;
      return;
    }
    std::optional<ListenerIdentity> identity = identify();
    if (!identity) {
      note_limit_since(state.cookie, samples_ == 0 ? 0 : interval_);
      return;
    }
    known = &admit(state, std::move(*identity));
  }
  Member &member = *known;
  const bool had_limit = !is_new && member.counted;
  if (member.sample != sample_)
    ++seen_;
  member.sample = sample_;
  member.missed = false;
  member.accepted = false;
  member.length_before = member.length;
  predecessor_ = static_cast<std::uint32_t>(&member - members_.data());

  if (state.drops)
    note_drops(member, state);
  if (member.counted != state.counted)
    count(member, state.counted);
  if (!state.counted) {
    change(member, 0, 0);
    return;
  }
  if (had_limit && member.limit != state.limit) {
    member.limit_since = interval_;
    std::uint32_t &lowest = listeners_[member.listener].lowest_replaced_limit;
    lowest = std::min(lowest, member.limit);
  }
  if (member.length != state.length || member.limit != state.limit)
    change(member, state.length, state.limit);
  if (!is_full(state.length, state.limit) || state.length > member.length_before)
    member.filled = true;
  if (taken_of_ && state.length > 0)
    note_taken(member);
  if (state.length > 0) {
    const double used = used_percent(state.length, state.limit);
    member.peak_percent = std::max(member.peak_percent, static_cast<float>(used));
    Listener &listener = listeners_[member.listener];
    listener.window.used_percent = std::max(listener.window.used_percent, used);
    if (listener.unstable)
      aggregate_.window.used_percent = std::max(aggregate_.window.used_percent, used);
  }
}

bool ListenerSet::has_room(const MemberState &state, IsNamed is_named) {
  if (room_->has_place(state.length > 0, false))
    return true;
  if (const auto known = unnamed_.find(state.cookie); known != unnamed_.end()) {
    known->second = sample_;
    return false;
  }
  if (unnamed_.size() >= most_unnamed)
    return false;
  if (is_named())
    return room_->has_place(state.length > 0, true);
  unnamed_.emplace(state.cookie, sample_);
  return false;
}

void ListenerSet::discount(std::uint64_t cookie) {
  const auto found = by_cookie_.find(cookie);
  if (found == by_cookie_.end() || !members_[found->second].counted)
    return;
  change(members_[found->second], 0, 0);
  count(members_[found->second], false);
}

void ListenerSet::move_out(std::uint64_t cookie) {
  if (const auto found = by_cookie_.find(cookie); found != by_cookie_.end()) {
    note_limit_since(cookie, members_[found->second].limit_since);
    remove(members_[found->second]);
  }
  gone_members_.clear();
  // Its new listener will report its events.
  std::erase_if(gone_with_events_,
                [cookie](const GoneMember &member) { return member.cookie == cookie; });
}

void ListenerSet::note_limit_since(std::uint64_t cookie, std::uint32_t since) {
  if (const auto known = limits_since_.find(cookie); known != limits_since_.end())
    known->second.noted = interval_;
  else if (limits_since_.size() < most_unnamed)
    limits_since_.emplace(cookie, LimitSince{.since = since, .noted = interval_});
}

void ListenerSet::count(Member &member, bool counted) {
  const std::uint32_t more =
      static_cast<std::uint32_t>(counted) - static_cast<std::uint32_t>(member.counted); // may be -1
  Listener &listener = listeners_[member.listener];
  listener.counted += more;
  if (listener.unstable)
    aggregate_.counted += more;
  member.counted = counted;
}

// Tries the dump's previous order first, which stays the same while no socket comes or goes.
ListenerSet::Member *ListenerSet::find(std::uint64_t cookie) {
  if (predecessor_ < members_.size()) {
    const std::uint32_t guess = members_[predecessor_].successor;
    if (guess < members_.size() && members_[guess].used && members_[guess].cookie == cookie)
      return &members_[guess];
  }
  const auto found = by_cookie_.find(cookie);
  if (found == by_cookie_.end())
    return nullptr;
  if (predecessor_ < members_.size())
    members_[predecessor_].successor = found->second;
  return &members_[found->second];
}

ListenerSet::Member &ListenerSet::admit(const MemberState &state, ListenerIdentity identity) {
  const std::uint32_t listener = listener_for(std::move(identity));
  std::uint32_t slot = 0;
  if (free_members_.empty()) {
    slot = static_cast<std::uint32_t>(members_.size());
    members_.emplace_back();
    drops_moved_.reserve(members_.capacity());
    changed_members_.reserve(members_.capacity());
  } else {
    slot = free_members_.back();
    free_members_.pop_back();
  }
  if (predecessor_ < members_.size())
    members_[predecessor_].successor = slot;
  Member &member = members_[slot];
  member = Member{};
  member.cookie = state.cookie;
  member.limit_since = samples_ == 0 ? 0 : interval_;
  if (const auto earlier = limits_since_.find(state.cookie); earlier != limits_since_.end()) {
    member.limit_since = earlier->second.since;
    limits_since_.erase(earlier);
  }
  member.listener = listener;
  member.used = true;
  member.begin_length = samples_ == 0 ? state.length : 0;
  if (samples_ == 0 && frees_of_)
    member.freed = frees_of_(state.cookie).value_or(FreedSegments{});
  // Earlier drops of the sockets in the first sample do not belong to this interval.
  member.drops = samples_ == 0 ? state.drops.value_or(0) : departed_.take(state.cookie);
  member.has_drops = state.drops.has_value();
  by_cookie_.emplace(state.cookie, slot);
  if (room_)
    ++room_->taken;
  ++listeners_[listener].members;
  ++listeners_[listener].counted;
  if (listeners_[listener].unstable) {
    ++aggregate_.members;
    ++aggregate_.counted;
  }
  members_changed_ = true;
  return member;
}

std::uint32_t ListenerSet::listener_for(ListenerIdentity identity) {
  if (const auto known = names_.find(identity)) {
    Listener &listener = listeners_[*known];
    if (std::exchange(listener.is_kept, false))
      --kept_listeners_;
    if (listener.members == 0)
      listener.since = last_;
    // 0.0.0.0 and [::] can share a name; [::] stands for both, whichever came first.
    if (identity.tcp.is_any() && identity.tcp.ipv6)
      listener.identity.tcp = identity.tcp;
    return *known;
  }
  std::uint32_t index = 0;
  if (free_listeners_.empty()) {
    index = static_cast<std::uint32_t>(listeners_.size());
    listeners_.emplace_back();
    active_.reserve(listeners_.capacity());
  } else {
    index = free_listeners_.back();
    free_listeners_.pop_back();
  }
  Listener &listener = listeners_[index];
  listener = Listener{};
  listener.settled = settled_names_.contains(identity.name);
  listener.since = last_;
  listener.unstable = is_unstable_(identity, listening_for(listener));
  listener.identity = std::move(identity);
  listener.window_begin = elapsed_;
  names_.give(index);
  return index;
}

void ListenerSet::note_drops(Member &member, const MemberState &state) {
  std::uint32_t moved = *state.drops - member.drops; // sk_drops wraps around
  if (frees_of_ && moved != 0)
    moved = less_frees(member, moved);
  if (member.has_drops && moved != 0) {
    moved_ += moved;
    // With exact counts every claim is a drop, however empty the queue seemed.
    drops_moved_.push_back(
        {member.listener, moved,
         frees_of_ || is_full(member.length, member.limit) || is_full(state.length, state.limit),
         frees_of_ || is_half_full(member.length, member.limit) ||
             is_half_full(state.length, state.limit),
         static_cast<std::uint32_t>(&member - members_.data())});
    member.moved_sample = sample_;
  }
  member.drops = *state.drops;
  member.has_drops = true;
}

/// Subtracts the frees from what sk_drops moved by. Frees between the dump and this call are
/// subtracted from the next move.
std::uint32_t ListenerSet::less_frees(Member &member, std::uint32_t moved) {
  const auto risen = [](std::uint64_t before, std::uint64_t now) {
    return now >= before ? now - before : now;
  };
  const FreedSegments before =
      std::exchange(member.freed, frees_of_(member.cookie).value_or(member.freed));
  member.freed_more += risen(before.freed, member.freed.freed);
  const std::uint64_t final_acks = risen(before.final_acks, member.freed.final_acks);
  const std::uint64_t repeated = risen(before.repeated, member.freed.repeated);
  if (final_acks + repeated > 0) {
    Refusals &refusals = refusals_of(member);
    refusals.final_acks += final_acks;
    refusals.repeated += repeated;
  }
  const auto taken = static_cast<std::uint32_t>(std::min<std::uint64_t>(member.freed_more, moved));
  member.freed_more -= taken;
  return moved - taken;
}

/// By what it was in the sample before. Additions that meet on two processors can make it less for
/// a moment.
void ListenerSet::note_taken(Member &member) {
  const std::optional<std::uint32_t> taken = taken_of_(member.cookie);
  if (!taken)
    return;
  const bool is_known = member.taken_sample + 1 == sample_;
  const std::uint32_t more = *taken - member.taken; // it wraps
  const bool has_risen = more > 0 && more < std::numeric_limits<std::uint32_t>::max() / 2;
  if (is_known) {
    Listener &listener = listeners_[member.listener];
    listener.accepted = listener.accepted.value_or(0) + (has_risen ? more : 0);
    if (has_risen) {
      member.accepted = true;
      member.fell = true;
      note_changed(member);
    }
  }
  if (!is_known || has_risen)
    member.taken = *taken;
  member.taken_sample = sample_;
}

void ListenerSet::change(Member &member, std::uint32_t length, std::uint32_t limit) {
  Listener &listener = listeners_[member.listener];
  apply(listener, member, length, limit);
  if (listener.length > 0 && !listener.active) {
    listener.active = true;
    active_.push_back(member.listener);
  }
  if (listener.unstable)
    apply(aggregate_, member, length, limit);
  length_ += std::uint64_t{length} - member.length;
  filling_members_ += static_cast<std::uint32_t>(is_filling(length, limit)) -
                      static_cast<std::uint32_t>(is_filling(member.length, member.limit));
  member.fell = member.fell || length < member.length || member.length == 0;
  note_changed(member);
  member.length = length;
  member.limit = limit;
}

void ListenerSet::note_changed(Member &member) {
  if (!std::exchange(member.changed, true))
    changed_members_.push_back(static_cast<std::uint32_t>(&member - members_.data()));
}

void ListenerSet::apply(Listener &listener, const Member &member, std::uint32_t length,
                        std::uint32_t limit) {
  listener.length += std::uint64_t{length} - member.length;
  listener.limit += std::uint64_t{limit} - member.limit;
  if (queues_of(listener).capacity() > listener.widest.capacity())
    listener.widest = queues_of(listener);
  listener.full_members += static_cast<std::uint32_t>(is_full(length, limit)) -
                           static_cast<std::uint32_t>(is_full(member.length, member.limit));
}

void ListenerSet::end_sample(TimePoint now, Duration max_weight) {
  missed_members_ = 0;
  if (seen_ != by_cookie_.size())
    remove_missing();
  const TimePoint before = last_.value_or(now);
  const Duration weight =
      std::clamp(Duration(now - std::max(before, weighed_until_)), Duration(1), max_weight);
  before_last_ = before;
  unseen_ = now - std::max(before, weighed_until_);
  last_ = now;
  elapsed_ += weight;
  ++samples_;
  begin_runs(before, now);

  std::size_t kept = 0;
  full_runs_ = 0;
  for (const std::uint32_t index : active_) {
    Listener &listener = listeners_[index];
    const auto accepted = std::exchange(listener.accepted, std::nullopt);
    listener.run.advance(listener.length, listener.full_members > 0, before, now, accepted,
                         unseen_);
    full_runs_ += static_cast<std::uint32_t>(listener.run.holds_full());
    listener.active = listener.length > 0;
    if (!listener.active)
      continue;
    listener.window.add(listener.length, listener.full_members > 0, queues_of(listener), weight);
    active_[kept++] = index;
  }
  active_.resize(kept);
  if (aggregate_.length > 0)
    aggregate_.window.add(aggregate_.length, aggregate_.full_members > 0, queues_of(aggregate_),
                          weight);
  note_lengths(before);
}

/// Each stay of a queue at 0 is one time between two notes.
void ListenerSet::note_lengths(TimePoint before) {
  forget_not_refusing();
  for (const std::uint32_t slot : refusing_members_) {
    Member &member = members_[slot];
    if (!is_full(member.length, member.limit) && *last_ > member.refusals->unknown_until)
      member.refusals->unknown_since.reset();
    const bool is_empty = member.length == 0;
    const bool was_empty = std::exchange(member.refusals->was_empty, is_empty);
    const bool has_moved = member.moved_sample >= moved_since_;
    // What is not split yet is noted with all that has happened since.
    const bool is_noted = !has_moved && note_kinds(member);
    RefusedKinds &kinds = member.refusals->kinds;
    const bool has_fallen = is_empty || member.length < member.length_before;
    if (!has_moved && (has_fallen || kinds.has_told()))
      kinds.end_burst();
    if (is_noted || kinds.has_any() || (was_empty && is_empty))
      continue;
    member.refusals->clients.note(look_at(member, before));
  }
}

/// Whether there was something to note.
bool ListenerSet::note_kinds(Member &member) {
  const auto split = member.refusals->kinds.take();
  if (!split)
    return false;
  member.refusals->clients.note(look_at(member, split->before, split->segments, split->syns_again));
  return true;
}

RefusedClients::Sample ListenerSet::look_at(const Member &member, TimePoint before,
                                            RefusedClients::Segments refused,
                                            std::optional<std::uint64_t> syns_again) const {
  return {.refused = refused,
          .syns_again = syns_again,
          .accepted = member.accepted,
          .length = member.length,
          .capacity = member.limit + 1ULL,
          .before = before,
          .now = *last_};
}

void ListenerSet::forget_not_refusing() {
  std::erase_if(refusing_members_, [this](std::uint32_t slot) { return !members_[slot].refusals; });
}

ListenerSet::Refusals &ListenerSet::refusals_of(Member &member) {
  if (!member.refusals) {
    member.refusals = std::make_unique<Refusals>();
    refusing_members_.push_back(static_cast<std::uint32_t>(&member - members_.data()));
  }
  return *member.refusals;
}

/// At the end of the interval, and of the member.
void ListenerSet::take_refusals(Member &member) {
  if (!member.refusals)
    return;
  note_kinds(member);
  Listener &listener = listeners_[member.listener];
  listener.unlimited_peak =
      std::max(listener.unlimited_peak, member.refusals->clients.take_unlimited_peak());
  if (!member.refusals->unknown_since && !member.refusals->kinds.is_in_burst() &&
      !member.refusals->clients.expects_any())
    member.refusals.reset();
}

/// Nobody knows how many came again while nobody looked. A client waits at most as long as it has
/// tried, or for a second.
void ListenerSet::note_unknown(Member &member) {
  Listener &listener = listeners_[member.listener];
  listener.has_unknown_refusals = true;
  if (!listener.run.holds_full() && unseen_ >= RefusedClients::longest_unseen)
    listener.refused_unseen = std::max(listener.refused_unseen, unseen_);
  const TimePoint since = member.refusals->unknown_since.value_or(before_last_);
  const Duration longest_wait = std::max<Duration>(*last_ - since, std::chrono::seconds(1));
  *member.refusals = Refusals{};
  member.refusals->unknown_since = since;
  member.refusals->unknown_until =
      *last_ + longest_wait + longest_wait / RefusedClients::lateness_share;
}

void ListenerSet::note_refused(Risen risen) {
  std::optional<std::uint64_t> &overflows = risen.overflows;
  // A burst can come and be over between two samples, of which neither sees the queue full.
  const bool any_full = std::any_of(drops_moved_.begin(), drops_moved_.end(),
                                    [](const DropsMoved &socket) { return socket.full; });
  const bool has_overflows = overflows.value_or(0) > 0;
  const auto was_full = [&](const DropsMoved &socket) {
    return socket.full || (!any_full && has_overflows);
  };
  std::uint64_t moved = 0;
  for (const DropsMoved &socket : drops_moved_)
    moved += was_full(socket) ? socket.drops : 0;
  // The counter is read after the sockets: what is more than theirs is of the next sample.
  if (overflows)
    *overflows += std::exchange(more_overflows_, 0);
  if (overflows && *overflows > moved)
    more_overflows_ = *overflows - moved;
  const double share = overflows && *overflows < moved
                           ? static_cast<double>(*overflows) / static_cast<double>(moved)
                           : 1;
  const std::uint64_t deferred = risen.deferred.value_or(0);
  const bool has_kinds = !frees_of_ && overflows && drops_moved_.size() == 1;
  // Of several sockets nothing tells whose segments came again.
  const bool is_mixed = !frees_of_ && overflows && drops_moved_.size() > 1 &&
                        !are_syns({.drops = moved,
                                   .overflows = std::min(*overflows, moved),
                                   .deferred = deferred,
                                   .cookies = risen.cookies.value_or(0)});
  for (const DropsMoved &socket : drops_moved_) {
    Member &member = members_[socket.member];
    const bool has_refused = was_full(socket);
    if (!member.used || (!has_refused && !(has_kinds && deferred > 0)))
      continue;
    Refusals &refusals = refusals_of(member);
    const Listener &listener = listeners_[socket.listener];
    const bool is_counted = listener.members == 1 && listener.identity.tcp.is_loopback();
    const auto syns_again = is_counted ? risen.syns_again : std::nullopt;
    const bool is_unknown =
        refusals.unknown_since || unseen_ >= RefusedClients::longest_unseen || is_mixed;
    if (is_unknown && !frees_of_ && has_refused) {
      note_unknown(member);
      continue;
    }
    if (has_kinds) {
      refusals.kinds.add(
          {.drops = has_refused ? socket.drops : std::min<std::uint64_t>(deferred, socket.drops),
           .overflows = std::min<std::uint64_t>(*overflows, socket.drops),
           .deferred = deferred,
           .cookies = risen.cookies.value_or(0),
           .added = std::exchange(member.filled, false) ? member.length : 0,
           .limit = member.limit},
          syns_again, before_last_, has_refused);
      if (refusals.kinds.is_due(*last_))
        note_kinds(member);
      continue;
    }
    auto refused = static_cast<std::uint64_t>(std::ceil(share * socket.drops));
    const auto take = [&](std::uint64_t &kind) {
      const std::uint64_t taken = std::min(refused, kind);
      kind -= taken;
      refused -= taken;
      return taken;
    };
    RefusedClients::Segments segments;
    segments.repeated = take(refusals.repeated);
    segments.final_acks = take(refusals.final_acks);
    segments.syns = refused;
    if (is_unknown && (refusals.unknown_since || segments.syns > 0)) {
      note_unknown(member);
      continue;
    }
    refusals.clients.note(look_at(member, before_last_, segments, syns_again));
  }
}

void ListenerSet::note_opened(std::uint64_t opened) {
  if (taken_of_ || !last_)
    return;
  const auto accepted = static_cast<std::int64_t>(opened) - static_cast<std::int64_t>(length_);
  for (const std::uint32_t index : active_)
    if (RunClock &run = listeners_[index].run; run.holds_full())
      run.note_accepts_of_all(accepted, before_last_, *last_);
}

void ListenerSet::begin_runs(TimePoint before, TimePoint now) {
  for (const std::uint32_t index : changed_members_) {
    Member &member = members_[index];
    member.changed = false;
    if (std::exchange(member.fell, false)) {
      member.run_begin = now;
      member.run_length = member.length;
      member.last_length = 0;
    }
    const bool hot = used_percent(member.length, member.limit) >= hot_percent;
    if (hot && !member.hot)
      member.hot_since = now;
    if (!hot && member.hot)
      member.longest_hot = std::max<Duration>(member.longest_hot, before - member.hot_since);
    member.hot = hot;
  }
  changed_members_.clear();
}

void ListenerSet::pass_rest(TimePoint now) {
  if (!last_ || now <= *last_)
    return;
  const Duration weight = now - std::max(*last_, weighed_until_);
  elapsed_ += weight;
  weighed_until_ = now;
  for (const std::uint32_t index : active_) {
    Listener &listener = listeners_[index];
    listener.window.add(listener.length, listener.full_members > 0, queues_of(listener), weight);
  }
  if (aggregate_.length > 0)
    aggregate_.window.add(aggregate_.length, aggregate_.full_members > 0, queues_of(aggregate_),
                          weight);
}

bool ListenerSet::is_stuck(Duration time) const {
  return last_ && !active_.empty() &&
         std::any_of(members_.begin(), members_.end(), [&](const Member &member) {
           return member.used && member.length >= 2 && *last_ - member.run_begin >= time;
         });
}

QueueActivity ListenerSet::activity() const {
  if (filling())
    return QueueActivity::filling;
  if (!active_.empty())
    return QueueActivity::waiting;
  if (members_changed_)
    return QueueActivity::changed;
  return by_cookie_.empty() ? QueueActivity::none : QueueActivity::empty;
}

void ListenerSet::abandon_sample() { broken_off_ = true; }

void ListenerSet::remove_missing() {
  for (Member &member : members_) {
    if (!member.used || member.sample == sample_)
      continue;
    members_changed_ = true;
    if (member.missed) {
      note_gone(member);
      remove(member);
    } else {
      member.missed = true;
      ++missed_members_;
    }
  }
}

void ListenerSet::note_gone(const Member &member) {
  if (!member.has_drops)
    return;
  const bool full = is_full(member.length, member.limit);
  // Members of a group are mostly next to each other.
  if (gone_sockets_.empty() || gone_sockets_.back().listener != member.listener)
    gone_sockets_.push_back({.listener = member.listener, .full = false});
  gone_sockets_.back().full = gone_sockets_.back().full || full;
}

void ListenerSet::remove(Member &member) {
  const std::uint32_t last_length = member.length;
  const bool was_counted = member.counted;
  take_refusals(member);
  member.refusals.reset();
  change(member, 0, 0);
  count(member, false);
  Listener &listener = listeners_[member.listener];
  if (has_events_ && has_events_(member.cookie)) {
    listener.has_gone_events = true;
    gone_with_events_.push_back({.cookie = member.cookie,
                                 .listener = member.listener,
                                 .begin_length = member.begin_length,
                                 .length = last_length,
                                 .counted = was_counted});
  }
  has_lost_ = true;
  --listener.members;
  if (listener.unstable)
    --aggregate_.members;
  if (listener.members == 0)
    gone_listeners_.push_back(member.listener);
  gone_members_.push_back(member.cookie);
  if (member.has_drops)
    departed_.note(member.cookie, member.drops);
  by_cookie_.erase(member.cookie);
  if (room_)
    --room_->taken;
  member.used = false;
  free_members_.push_back(static_cast<std::uint32_t>(&member - members_.data()));
}

void ListenerSet::forget_gone(MayForget may_forget) {
  for (const std::uint32_t index : gone_listeners_) {
    Listener &listener = listeners_[index];
    // A unstable listener's samples go into the aggregate's window, not into its own.
    const bool was_seen =
        listener.unstable ? was_full(index) : listener.window.samples_not_empty > 0;
    const bool has_news = was_seen || listener.has_gone_events;
    const bool crowded = kept_listeners_ >= most_kept_listeners;
    if ((!has_news || crowded) && may_forget(index, listener.unstable, crowded)) {
      forget(index);
    } else {
      listener.is_kept = true;
      ++kept_listeners_;
    }
  }
  gone_listeners_.clear();
}

void ListenerSet::take_events(EventReading &events) {
  for (Listener &listener : listeners_)
    if (events.is_whole && !listener.identity.name.empty()) {
      listener.flow.emplace();
      if (events.has_ack_overflows)
        listener.flow->ack_overflows = 0;
    }
  const auto take = [&](const GoneMember &member) {
    const auto found = events.sockets.find(member.cookie);
    SocketEvents none;
    SocketEvents &socket = found == events.sockets.end() ? none : found->second;
    socket.known = true;
    if (member.counted)
      take_socket(socket, member, events.is_whole);
  };
  for (Member &member : members_) {
    if (!member.used)
      continue;
    const std::uint32_t begin_length = member.begin_length;
    take({.cookie = member.cookie,
          .listener = member.listener,
          .begin_length = begin_length,
          .length = member.length,
          .counted = member.counted});
    const auto found = events.sockets.find(member.cookie);
    if (found == events.sockets.end() || !member.counted)
      continue;
    const SocketEvents &socket = found->second;
    member.peak_percent =
        std::max(member.peak_percent,
                 static_cast<float>(used_percent(socket.peak.value_or(0), member.limit)));
    // Connections were accepted, though no sample saw the queue fall. The 1 is an addition between
    // the last reading and its dump.
    if (events.is_whole && last_ && socket.added + begin_length > member.length + 1ULL) {
      member.run_begin = *last_;
      member.run_length = member.length;
      member.last_length = 0;
    }
  }
  for (const GoneMember &member : gone_with_events_)
    take(member);
}

void ListenerSet::take_socket(const SocketEvents &socket, const GoneMember &member, bool is_whole) {
  Listener &listener = listeners_[member.listener];
  if (socket.peak) {
    const std::uint64_t peak = std::max(*socket.peak, socket.group_peak.value_or(0));
    const double used = used_percent(*socket.peak, socket.limit);
    for (Listener *taken : {&listener, listener.unstable ? &aggregate_ : nullptr}) {
      if (taken == nullptr)
        continue;
      if (peak > taken->window.peak) {
        taken->window.peak = peak;
        taken->window.peak_queues =
            taken->widest.members > 1 ? taken->widest : Window::Queues{socket.limit, 1};
      }
      taken->window.used_percent = std::max(taken->window.used_percent, used);
    }
  }
  if (!is_whole)
    return;
  // Additions between the reading and the dump belong to the next interval.
  const std::uint64_t taken = socket.added + member.begin_length;
  listener.flow->arrived += socket.added;
  listener.flow->waited += socket.waited;
  if (listener.flow->ack_overflows)
    *listener.flow->ack_overflows += socket.overflowed;
  listener.flow->accepted += taken > member.length ? taken - member.length : 0;
  if (socket.waits)
    add_waits(*socket.waits, listener.flow->waits);
  listener.flow->bounds.add(socket.bounds);
}

void ListenerSet::forget(std::uint32_t listener) {
  const Listener &leaving = listeners_[listener];
  names_.release(listener);
  if (leaving.has_gone_events)
    std::erase_if(gone_with_events_,
                  [listener](const GoneMember &member) { return member.listener == listener; });
  listeners_[listener] = Listener{};
  free_listeners_.push_back(listener);
}

bool ListenerSet::was_full(std::uint32_t index) const {
  return listeners_[index].window.full_weight.count() > 0;
}

void ListenerSet::find_member_figures() {
  constexpr std::uint32_t none = no_limit;
  aggregate_.lowest_limit = none;
  for (Listener &listener : listeners_) {
    listener.lowest_limit = none;
    listener.lowest_limit_since = 0;
    listener.lowest_cookie = std::numeric_limits<std::uint64_t>::max();
    listener.worst_member_percent = 0;
    listener.median_member_percent = 0;
    listener.longest_hot_member = Duration(0);
  }
  std::vector<std::pair<std::uint32_t, float>> peaks; // keyed by listener
  for (Member &member : members_) {
    if (!member.used)
      continue;
    const float peak = std::exchange(member.peak_percent, 0);
    if (!member.counted)
      continue;
    Listener &listener = listeners_[member.listener];
    if (member.limit < listener.lowest_limit)
      listener.lowest_limit_since = member.limit_since;
    else if (member.limit == listener.lowest_limit)
      listener.lowest_limit_since = std::min(listener.lowest_limit_since, member.limit_since);
    listener.lowest_limit = std::min(listener.lowest_limit, member.limit);
    listener.lowest_cookie = std::min(listener.lowest_cookie, member.cookie);
    if (listener.unstable)
      aggregate_.lowest_limit = std::min(aggregate_.lowest_limit, member.limit);
    peaks.emplace_back(member.listener, peak);
    Duration longest_hot = std::exchange(member.longest_hot, Duration(0));
    if (member.hot)
      longest_hot = std::max<Duration>(longest_hot, *last_ - member.hot_since);
    listener.longest_hot_member = std::max(listener.longest_hot_member, longest_hot);
    if (member.length == 0)
      continue;
    listener.waiting.push_back({.cookie = member.cookie,
                                .length = member.length,
                                .not_shrinking_from = member.run_length,
                                .not_shrinking_for = *last_ - member.run_begin,
                                .length_before = member.last_length});
    member.last_length = member.length;
  }
  std::sort(peaks.begin(), peaks.end());
  for (auto first = peaks.begin(); first != peaks.end();) {
    const auto end = std::find_if(first, peaks.end(),
                                  [&](const auto &peak) { return peak.first != first->first; });
    listeners_[first->first].worst_member_percent = std::prev(end)->second;
    listeners_[first->first].median_member_percent = (first + (end - first - 1) / 2)->second;
    first = end;
  }
}

ListenerSet::Interval ListenerSet::harvest() {
  for (Member &member : members_) {
    member.begin_length = member.length;
    take_refusals(member);
  }
  forget_not_refusing();
  gone_with_events_.clear();
  find_member_figures();
  Interval interval;
  interval.listeners.reserve(listeners_.size());
  for (std::uint32_t index = 0; index < listeners_.size(); ++index) {
    Listener &listener = listeners_[index];
    if (listener.identity.name.empty())
      continue;
    interval.listeners.push_back(finish(listener, index));
    if (listener.members == 0)
      forget(index);
  }
  gone_listeners_.clear();
  kept_listeners_ = 0;
  interval.aggregate = finish(aggregate_, 0);
  interval.collisions = names_.take_collisions();
  interval.without_room = without_room_;
  std::erase_if(unnamed_, [this](const auto &socket) { return socket.second != sample_; });
  if (unnamed_.empty())
    unnamed_ = {}; // gives its table's memory back too
  std::erase_if(limits_since_,
                [this](const auto &entry) { return entry.second.noted < interval_; });
  ++interval_;
  return interval;
}

/// The samples see all that wait, where they come often; additions those that the next one finds.
/// A sample's weight is limited, so that one that comes late stands for less than it saw.
void ListenerSet::find_mean_wait(Listener &listener, const QueueRuns &runs,
                                 std::optional<ListenerFlow> &flow) {
  const double before = std::exchange(listener.waited_before, 0);
  if (!flow)
    return;
  flow->waited = std::max({flow->waited, listener.window.length_x_weight / ns_per_s, runs.waited});
  const WaitShare share = share_waits(before + flow->waited, flow->accepted, listener.length);
  listener.waited_before = share.carried;
  flow->wait_mean = flow->waits ? std::optional(flow->waits->mean) : share.mean;
}

ListenerInterval ListenerSet::finish(Listener &listener, std::uint32_t index) {
  ListenerInterval interval;
  interval.identity = listener.identity;
  interval.index = index;
  interval.unstable = listener.unstable;
  interval.members = listener.members;
  interval.counted = listener.counted;
  interval.limit = listener.limit;
  interval.lowest_limit = listener.lowest_limit;
  interval.lowest_limit_seen =
      std::min(listener.lowest_limit, std::exchange(listener.lowest_replaced_limit, no_limit));
  if (listener.lowest_limit_since > 0)
    interval.lowest_limit_for = interval_ - listener.lowest_limit_since;
  interval.cookie = listener.lowest_cookie;
  interval.worst_member_percent = listener.worst_member_percent;
  interval.median_member_percent = listener.median_member_percent;
  interval.longest_hot_member = listener.longest_hot_member;
  interval.waiting = std::exchange(listener.waiting, {});
  if (last_)
    interval.runs = listener.run.end_interval(*last_);
  interval.flow = std::exchange(listener.flow, std::nullopt);
  find_mean_wait(listener, interval.runs, interval.flow);
  interval.runs.unseen_for =
      std::max(interval.runs.unseen_for, std::exchange(listener.refused_unseen, Duration(0)));
  const bool is_unknown = std::exchange(listener.has_unknown_refusals, false);
  if (const std::uint64_t peak = std::exchange(listener.unlimited_peak, 0); peak > 0 && !is_unknown)
    interval.unlimited_peak = peak;
  listener.has_gone_events = false;
  interval.queue = figures_of(listener.window, listener.length, elapsed_ - listener.window_begin);
  if (interval.queue.peak == 0)
    interval.queue.peak_queues = queues_of(listener);
  listener.widest = queues_of(listener);
  listener.window = Window{};
  listener.window_begin = elapsed_;
  return interval;
}

void ListenerSet::aggregate_again() {
  aggregate_.members = 0;
  aggregate_.counted = 0;
  aggregate_.full_members = 0;
  aggregate_.length = 0;
  aggregate_.limit = 0;
  for (Listener &listener : listeners_) {
    if (listener.identity.name.empty())
      continue;
    listener.unstable = is_unstable_(listener.identity, listening_for(listener));
    if (!listener.unstable)
      continue;
    aggregate_.members += listener.members;
    aggregate_.counted += listener.counted;
    aggregate_.full_members += listener.full_members;
    aggregate_.length += listener.length;
    aggregate_.limit += listener.limit;
  }
}

ListenerSet::Duration ListenerSet::listening_for(const Listener &listener) const {
  if (listener.settled)
    return Duration::max();
  return listener.since && last_ ? Duration(*last_ - *listener.since) : Duration(0);
}

void ListenerSet::settle() {
  bool some = false;
  for (Listener &listener : listeners_) {
    if (!listener.unstable || listener.settled || listener.members == 0)
      continue;
    if (!listener.since)
      listener.since = last_;
    if (listening_for(listener) < settling_time)
      continue;
    listener.settled = true;
    if (settled_names_.size() < most_settled_names && !listener.identity.has_id)
      settled_names_.insert(listener.identity.name);
    some = true;
  }
  if (some)
    aggregate_again();
}

} // namespace backlog
