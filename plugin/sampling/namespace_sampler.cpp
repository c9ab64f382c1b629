#include "namespace_sampler.h"

#include "events.h"
#include "listener_name.h"
#include "thread_cpu_time.h"

#include <algorithm>
#include <string_view>
#include <utility>

namespace backlog {

namespace {

constexpr int most_more_samples = 2;  // of a harvest
constexpr int samples_until_gone = 2; // of a ListenerSet
// A sample that stands for so long is worth a reading of PassiveOpens, before and after.
constexpr std::chrono::milliseconds long_gap{200};

/// Whether the kernel lacks the module that reports such listeners.
bool lacks_module(const Failure &failure) { return failure && failure->code == ENOENT; }

/// The fault of listeners that could not be read.
Fault listeners_fault(std::string part, const Error &error, const char *module) {
  std::string reason = error.message();
  if (lacks_module(error))
    reason += std::string(" (the kernel has no ") + module + ")";
  return {std::move(part), std::move(reason)};
}

Fault room_fault(std::string part, std::size_t beyond, const ListenerRoom &room) {
  return {
      "room for all " + std::move(part),
      std::to_string(beyond) + " more than the " + std::to_string(room.most) +
          " that are sampled; older ones, those with waiting clients and those that Listener or "
          "Watch names come first"};
}

/// Corrects the figures after an overflow, which proves that a member was full even if no sample
/// saw it.
void note_overflow(ListenerInterval &listener) {
  const std::uint64_t full = std::uint64_t{listener.lowest_limit_seen} + 1;
  if (listener.members > 0 && listener.queue.peak < full) {
    listener.queue.peak = full;
    listener.queue.peak_queues = {listener.limit, listener.counted};
    if (listener.counted == 1)
      listener.queue.peak_queues.limit = listener.lowest_limit_seen;
  }
  listener.queue.used_percent = 100;
}

} // namespace

NamespaceSampler::NamespaceSampler(std::shared_ptr<const Config> config, NamespaceLabel label,
                                   const ListenerRooms &rooms, Progress *progress)
    : config_(std::move(config)), label_(std::move(label)), rooms_(rooms), progress_(progress),
      tcp_([this](const auto &identity, auto age) { return is_unstable(identity, age); },
           rooms.tcp),
      unix_([this](const auto &identity, auto age) { return is_unstable(identity, age); },
            rooms.unix_sockets),
      unix_members_(rooms.unix_sockets) {
  read_local_ports();
  if (const Result<std::uint64_t> cookie = backlog::net_cookie())
    net_cookie_ = *cookie;
}

void NamespaceSampler::ask_events(const EventQuestions &events) {
  has_events_ = events.has_added != nullptr;
  gap_arrivals_.miss();
  tcp_.ask_events(events.has_added);
  tcp_.ask_taken(events.taken_of);
  const EventQuestions of_unix = events.of_unix ? events : EventQuestions{};
  unix_.ask_events(of_unix.has_added);
  unix_.ask_taken(of_unix.taken_of);
}

void NamespaceSampler::pass_rest(std::chrono::steady_clock::time_point now) {
  tcp_.pass_rest(now);
  unix_.pass_rest(now);
}

bool NamespaceSampler::is_unstable(const ListenerIdentity &identity, Duration listening_for) const {
  const bool is_given_out = local_ports_ && local_ports_->gives_out(identity.port);
  return backlog::is_unstable(identity.has_id, is_given_out, listening_for) &&
         config_->listeners.selects(identity.view(label_.name.empty())) && !is_named(identity);
}

bool NamespaceSampler::is_named(const ListenerIdentity &identity) const {
  const ListenerView view = identity.view(label_.name.empty());
  return config_->listeners.names(view) || watch_facts(*config_, view).watched();
}

void NamespaceSampler::sample_tcp(Duration max_weight) {
  if (!lacks_module(tcp_failure_))
    take_tcp_sample(max_weight, false);
}

void NamespaceSampler::take_tcp_sample(Duration max_weight, bool at_harvest) {
  const bool counts_arrivals = !has_events_ && (at_harvest || max_weight >= long_gap);
  std::optional<std::uint64_t> opened;
  if (counts_arrivals)
    opened = counters_reader_.read_passive_opens();
  dump_tcp();
  if (tcp_failure_ && at_harvest && !lacks_module(tcp_failure_))
    dump_tcp();
  if (!tcp_failure_)
    tcp_.end_sample(std::chrono::steady_clock::now(), max_weight);

  counters_.reset();
  note_step("kernel counters");
  if (at_harvest || (!tcp_failure_ &&
                     drops_.wants_counters(!tcp_.drops_moved().empty(), tcp_.members_changed()))) {
    Result<NetCounters> read =
        at_harvest ? counters_reader_.read() : counters_reader_.read_netstat();
    counters_failure_ = read ? Failure() : Failure(read.error());
    if (read)
      counters_ = *read;
  }
  if (!tcp_failure_ && (counts_arrivals || tcp_.wants_opened())) {
    const std::optional<std::uint64_t> opened_since = at_harvest && counters_
                                                          ? (*counters_)[Counter::PassiveOpens]
                                                          : counters_reader_.read_passive_opens();
    if (counts_arrivals)
      gap_arrivals_.look(opened, opened_since);
    if (opened_since)
      tcp_.note_opened(*opened_since);
  }
  if (!tcp_failure_) {
    drops_.sample(tcp_.drops_moved(), tcp_.members_changed(), listen_counters(),
                  {.gone = tcp_.gone_sockets(), .some_missing = tcp_.has_missed()});
    note_refused(at_harvest);
    forget_gone_tcp();
  } else if (at_harvest && drops_.has_baseline()) {
    drops_.sample({}, true, listen_counters());
  }
}

void NamespaceSampler::take_tcp_dump(Duration max_weight) {
  dump_tcp();
  if (tcp_failure_)
    return;
  tcp_.end_sample(std::chrono::steady_clock::now(), max_weight);
  drops_.sample(tcp_.drops_moved(), tcp_.members_changed(), listen_counters(),
                {.gone = tcp_.gone_sockets(), .some_missing = tcp_.has_missed()});
  note_refused(false);
  forget_gone_tcp();
}

std::optional<ListenCounters> NamespaceSampler::listen_counters() const {
  if (!counters_ || !(*counters_)[Counter::ListenDrops] || !(*counters_)[Counter::ListenOverflows])
    return std::nullopt;
  return ListenCounters{.drops = *(*counters_)[Counter::ListenDrops],
                        .overflows = *(*counters_)[Counter::ListenOverflows]};
}

/// The counters may have risen since the sockets were read: without drops they are compared with
/// those of a later sample. What rose before the last harvest is of no drops yet to come.
void NamespaceSampler::note_refused(bool at_harvest) {
  const bool any_drops = !tcp_.drops_moved().empty();
  const auto rise = [&](Counter counter, std::optional<std::uint64_t> ListenerSet::Risen::*field) {
    std::optional<std::uint64_t> &before = risen_before_.*field;
    const std::optional<std::uint64_t> now = counters_ ? (*counters_)[counter] : std::nullopt;
    const bool is_known = now && before && *now >= *before;
    const std::optional<std::uint64_t> risen =
        is_known ? std::optional(*now - *before) : std::nullopt;
    if (now && (any_drops || !before))
      before = now;
    if (now && at_harvest)
      before = std::max(before, std::exchange(risen_until_harvest_.*field, now));
    return risen;
  };
  const ListenerSet::Risen risen{
      .overflows = rise(Counter::ListenOverflows, &ListenerSet::Risen::overflows),
      .syns_again = rise(Counter::TCPSynRetrans, &ListenerSet::Risen::syns_again),
      .deferred = rise(Counter::TCPDeferAcceptDrop, &ListenerSet::Risen::deferred),
      .cookies = rise(Counter::SyncookiesRecv, &ListenerSet::Risen::cookies)};
  if (any_drops)
    tcp_.note_refused(risen);
}

void NamespaceSampler::forget_gone_tcp() {
  tcp_.forget_gone([this](std::uint32_t listener, bool unstable, bool crowded) {
    const ListenCounters dropped = drops_.attributed(listener);
    if (dropped.drops > 0 && !crowded)
      return false;
    for (ListenCounters *unlisted : {&unlisted_, unstable ? &unlisted_unstable_ : nullptr}) {
      if (unlisted == nullptr)
        continue;
      unlisted->drops += dropped.drops - drops_.taken_drops(listener);
      unlisted->overflows += dropped.overflows;
    }
    drops_.forget(listener);
    return true;
  });
}

void NamespaceSampler::sample_unix(Duration max_weight) {
  if (!lacks_module(unix_failure_))
    take_unix_sample(max_weight, false);
}

void NamespaceSampler::take_unix_sample(Duration max_weight, bool at_harvest) {
  dump_unix();
  if (unix_failure_ && at_harvest && !lacks_module(unix_failure_))
    dump_unix();
  if (unix_failure_)
    return;
  unix_.end_sample(std::chrono::steady_clock::now(), max_weight);
  unix_members_.remove(unix_.gone_members());
  unix_.forget_gone([](std::uint32_t, bool, bool) { return true; });
}

void NamespaceSampler::harvest_unix_samples(Duration max_weight) {
  take_unix_sample(max_weight, true);
  // Without room for all a dump is expensive, and some socket always comes or goes.
  if (unix_.has_missed() && unix_.without_room() == 0)
    take_unix_sample(max_weight, true);
  unix_members_.end_interval(unix_looks_);
}

void NamespaceSampler::follow(const std::shared_ptr<const UnixPlaces> &places,
                              std::uint64_t looks) {
  unix_looks_ = looks;
  for (const std::uint64_t cookie : unix_members_.follow(places))
    unix_.move_out(cookie);
  // Forgets them before the next sample, in which another socket may have the name.
  unix_.forget_gone([](std::uint32_t, bool, bool) { return true; });
  for (const std::uint64_t cookie : unix_members_.shadowed())
    unix_.discount(cookie);
}

template <class Dump> Failure NamespaceSampler::with_sock_diag(Dump dump) {
  if (!sock_diag_) {
    Result<SockDiag> opened = SockDiag::open(std::move(buffer_));
    if (!opened)
      return opened.error();
    sock_diag_ = std::move(*opened);
  }
  Failure failure = dump(*sock_diag_);
  if (failure || !label_.name.empty()) {
    buffer_ = sock_diag_->take_buffer();
    sock_diag_.reset();
  }
  return failure;
}

void NamespaceSampler::dump_tcp() {
  note_step("TCP listeners (tcp_diag)");
  tcp_.begin_sample();
  tcp_failure_ = with_sock_diag([this](SockDiag &sock_diag) {
    return sock_diag.dump_tcp_listeners([this](const TcpListener &listener) {
      tcp_.see(
          {.cookie = listener.cookie,
           .length = listener.queue_length,
           .limit = listener.limit,
           .drops = listener.drops},
          [&] { return identify_tcp_listener(listener.address, label_); },
          [&] { return is_named(identify_tcp_listener(listener.address, label_)); });
    });
  });
  if (tcp_failure_)
    tcp_.abandon_sample();
}

void NamespaceSampler::dump_unix() {
  note_step("Unix listeners (unix_diag)");
  unix_.begin_sample();
  unix_failure_ = with_sock_diag([this](SockDiag &sock_diag) {
    return sock_diag.dump_unix_listeners([this](const UnixListener &listener) {
      unix_.see(
          {.cookie = listener.cookie,
           .length = listener.queue_length,
           .limit = listener.limit,
           .drops = std::nullopt,
           .counted = !unix_members_.is_shadowed(listener.cookie)},
          [&] { return identify(listener); }, [&] { return is_named(listener); });
    });
  });
  if (unix_failure_)
    unix_.abandon_sample();
}

std::optional<ListenerIdentity> NamespaceSampler::identify(const UnixListener &listener) {
  const UnixPlace *place = unix_members_.place_of(listener);
  return place != nullptr ? std::optional(identify_at(*place)) : std::nullopt;
}

/// While the place is unknown, the path given to bind() counts.
bool NamespaceSampler::is_named(const UnixListener &listener) const {
  if (const UnixPlace *place = unix_members_.known_place(listener.cookie))
    return is_named(identify_at(*place));
  return is_named(identify_at({.path = std::string(listener.address), .owned_by = ""}));
}

ListenerIdentity NamespaceSampler::identify_at(const UnixPlace &place) const {
  ListenerIdentity identity;
  identity.address = shown_address(place.path);
  // A path in another mount namespace leads to another file, and an abstract name in another net
  // namespace to another socket, so no configured address means them.
  identity.is_in_own_mounts = place.owned_by.empty();
  ListenerName name = name_unix_listener(place.path, label_.name, place.owned_by);
  identity.name = std::move(name.text);
  identity.has_id = name.has_id || label_.has_id;
  return identity;
}

NamespaceHarvest NamespaceSampler::harvest(Duration tcp_max_weight, Duration unix_max_weight,
                                           EventReading *events, std::vector<Fault> &faults) {
  NamespaceHarvest harvest;
  harvest.label = label_;
  harvest.counted_since = began_;
  take_tcp_sample(tcp_max_weight, true);
  // A listener counts as closed after two dumps without it. These further samples keep one that has
  // just closed out of the next interval.
  for (int more = 0;
       more < most_more_samples && !tcp_failure_ && (tcp_.has_missed() || drops_.has_carried());
       ++more)
    take_tcp_sample(tcp_max_weight, true);
  // The claims for drops between the dump and the reading of the counters come with the next dump.
  // Only a dump that no reading follows has them all.
  if (!tcp_failure_ && drops_.has_carried() && listen_counters())
    take_tcp_dump(tcp_max_weight);
  harvest.counters = counters_;
  harvest.drops_moved = tcp_.take_moved();
  harvest.has_lost = tcp_.take_has_lost() || tcp_.has_missed() || tcp_failure_;
  if (events != nullptr && !tcp_failure_)
    tcp_.take_events(*events);
  harvest.tcp = harvest_tcp();
  harvest.drops_known = drops_known();
  harvest.drops_counted = drops_.take_counted();
  if (config_->report_unix) {
    const auto before = thread_cpu_time();
    harvest_unix_samples(unix_max_weight);
    if (events != nullptr && events->has_unix && !unix_failure_)
      unix_.take_events(*events);
    harvest.unix_sockets = harvest_unix();
    unix_harvest_cost_ = thread_cpu_time() - before;
  }
  if (!tcp_failure_) { // which may aggregate only what has been harvested
    read_local_ports();
    tcp_.settle();
  }

  const std::string where = label_.name.empty() ? "" : of_net_namespace(label_.name);
  if (tcp_failure_)
    faults.push_back(listeners_fault("TCP listeners" + where, *tcp_failure_, "tcp_diag"));
  if (config_->report_unix && unix_failure_)
    faults.push_back(listeners_fault("Unix listeners" + where, *unix_failure_, "unix_diag"));
  if (harvest.tcp.without_room > 0)
    faults.push_back(room_fault("TCP listeners" + where, harvest.tcp.without_room, *rooms_.tcp));
  if (harvest.unix_sockets && harvest.unix_sockets->without_room > 0)
    faults.push_back(room_fault("Unix listeners" + where, harvest.unix_sockets->without_room,
                                *rooms_.unix_sockets));
  if (counters_failure_)
    faults.push_back({"kernel counters" + where, counters_failure_->message()});
  return harvest;
}

NamespaceHarvest NamespaceSampler::harvest_ended(EventReading *events) {
  for (ListenerSet *set : {&tcp_, &unix_}) {
    for (int sample = 0; sample < samples_until_gone; ++sample) {
      set->begin_sample();
      set->end_sample(std::chrono::steady_clock::now(), Duration(1));
    }
  }
  forget_gone_tcp();
  unix_.forget_gone([](std::uint32_t, bool, bool) { return true; });
  tcp_failure_.reset();
  unix_failure_.reset();
  if (events != nullptr)
    tcp_.take_events(*events);
  if (events != nullptr && events->has_unix)
    unix_.take_events(*events);
  NamespaceHarvest harvest;
  harvest.label = label_;
  harvest.ended = true;
  harvest.counted_since = began_;
  harvest.tcp = harvest_tcp();
  harvest.tcp.drops_known = drops_.has_baseline();
  harvest.drops_known = harvest.tcp.drops_known;
  harvest.drops_counted = drops_.take_counted();
  if (config_->report_unix)
    harvest.unix_sockets = harvest_unix();
  return harvest;
}

FamilyHarvest NamespaceSampler::harvest_tcp() {
  FamilyHarvest family;
  if (tcp_failure_) {
    // The listeners' figures wait for the next harvest. The sum of their drops does not, because
    // the namespace's counter is reported now. What the counter gains until then is attributed to
    // no listener.
    drops_.settle([](std::uint32_t) { return false; });
    unlisted_unstable_ = {};
    family.unlisted_drops = std::exchange(unlisted_, {}).drops + drops_.take_unlisted_drops();
    return family;
  }
  family.read = true;
  family.drops_known = drops_known();
  drops_.settle([this](std::uint32_t listener) { return tcp_.was_full(listener); });
  const std::optional<std::uint64_t> most_arrivals = gap_arrivals_.take_most();
  ListenerSet::Interval interval = tcp_.harvest();
  family.collisions = std::move(interval.collisions);
  family.aggregate.interval = std::move(interval.aggregate);
  family.without_room = interval.without_room;
  family.unlisted_drops = std::exchange(unlisted_, {}).drops;
  family.aggregate.dropped = std::exchange(unlisted_unstable_, {});
  if (family.aggregate.dropped.overflows > 0)
    note_overflow(family.aggregate.interval);
  family.listeners.reserve(interval.listeners.size());
  for (ListenerInterval &listener : interval.listeners) {
    const ListenCounters dropped = drops_.attributed(listener.index);
    const std::uint64_t counted_before = drops_.taken_drops(listener.index);
    if (dropped.overflows > 0)
      note_overflow(listener);
    bound_peak(listener, most_arrivals);
    if (listener.unstable) {
      family.aggregate.dropped.drops += dropped.drops;
      family.aggregate.counted_before += counted_before;
      family.aggregate.dropped.overflows += dropped.overflows;
      if (dropped.overflows > 0)
        note_overflow(family.aggregate.interval);
    }
    family.listeners.push_back({std::move(listener), dropped, counted_before});
  }
  drops_.clear_interval();
  for (const ListenerHarvest &listener : family.listeners)
    if (listener.interval.members == 0)
      drops_.forget(listener.interval.index);
  return family;
}

void NamespaceSampler::bound_peak(ListenerInterval &listener,
                                  std::optional<std::uint64_t> most_arrivals) const {
  if (!has_events_ && most_arrivals && listener.members > 0)
    listener.peak_bound =
        peak_bound(listener.queue.peak, *most_arrivals, listener.limit, listener.counted);
}

FamilyHarvest NamespaceSampler::harvest_unix() {
  FamilyHarvest family;
  if (unix_failure_) {
    family.absent = lacks_module(unix_failure_);
    return family;
  }
  family.read = true;
  ListenerSet::Interval interval = unix_.harvest();
  family.collisions = std::move(interval.collisions);
  family.aggregate.interval = std::move(interval.aggregate);
  family.without_room = interval.without_room;
  family.listeners.reserve(interval.listeners.size());
  for (ListenerInterval &listener : interval.listeners)
    family.listeners.push_back({std::move(listener), {}, 0});
  return family;
}

void NamespaceSampler::read_local_ports() {
  std::optional<LocalPorts> ports = limits_reader_.read_local_ports();
  if (!ports || ports == local_ports_)
    return;
  local_ports_ = std::move(ports);
  tcp_.aggregate_again();
}

} // namespace backlog
