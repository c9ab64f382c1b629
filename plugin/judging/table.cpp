#include "table.h"

#include "listener_name.h"

#include <algorithm>
#include <utility>

namespace backlog {

namespace {

// write_prometheus, the slowest of collectd's writers, handles this many with ease.
constexpr double series_per_second = 200;
constexpr std::chrono::hours absent_namespaces_kept_for{24};
// So many may easily be nobody's service.
constexpr std::size_t few_given_out_ports = 2;

bool rose(Counter counter, const NetCounters &now, const NetCounters &before) {
  return now[counter] && before[counter] && *now[counter] > *before[counter];
}

std::string kernel_instance(const NamespaceLabel &label) {
  return label.name.empty() ? "kernel" : "kernel_netns_" + net_namespace_part(label.name);
}

DiagnosisLimits diagnosis_limits(const Config &config, const WatchFacts &watch) {
  return {.warning_percent = watch.warning_percent,
          .warning_minimum = config.warning_minimum,
          .stalled_after = config.stalled_after,
          .missing_after = config.missing_after,
          .expected = watch.expected};
}

} // namespace

struct TableBuilder::Draft {
  BootClock::time_point now;
  std::chrono::steady_clock::time_point ended_at; ///< end of the interval
  const Survey *survey = nullptr;
  Table table;
  HostFigures host;
  /// Further figures for each row.
  struct Listener {
    std::string name; ///< before a Watch block renamed it
    WatchFacts watch;
    ListenCounters dropped{};         ///< in this interval
    std::uint64_t counted_before = 0; ///< see ListenerHarvest
    bool counts_drops = false;        ///< it has a counter
    bool unstable = false;            ///< its values are in the aggregate's series
    bool drops_known = false;         ///< its drops may be shown
    DropAccount *account = nullptr;   ///< its namespace's; nullptr for several namespaces
    std::optional<std::uint64_t> ack_overflows{}; ///< see ListenerFlow
  };
  /// A namespace's drops in the interval, and their account.
  struct Drops {
    DropAccount *account = nullptr;
    DropAccount::Interval interval;
    std::uint64_t unreported = 0; ///< of listeners without a row
    bool known = false;
  };
  std::vector<Listener> listeners;
  std::vector<SeriesCandidate> candidates;
  std::vector<std::size_t> candidate_rows;          ///< row of each candidate
  std::optional<std::uint64_t> unstable_syn_length; ///< sum over the unstable listeners
  std::size_t given_out_ports = 0; ///< listeners that are unstable because of their port
  /// A queue in which processes of another listener wait.
  struct WaitedAt {
    std::string name;  ///< before a Watch block renamed it
    std::string shown; ///< as messages have it
    std::uint64_t count = 0;
  };
  std::unordered_map<std::uint64_t, WaitedAt> waits;      ///< by cookie of the one that waits
  std::vector<std::pair<std::size_t, std::string>> links; ///< row, and name of the one it waits for
  // The namespace whose rows are being added.
  NamespaceFacts common;
  bool looked_before = false; ///< its limits were read in the previous interval
  const NamespaceSurvey *namespace_survey = nullptr;
  std::vector<Drops> drops; ///< one for each namespace; the last is the current one
  std::string net_namespace;
  std::string namespace_part; ///< its suffix in names
};

TableBuilder::TableBuilder(std::shared_ptr<const Config> config)
    : config_(std::move(config)), expectations_(config_), matched_entries_(config_) {}

Table TableBuilder::build(const Harvest &harvest, const std::optional<Survey> &survey,
                          std::chrono::duration<double> interval) {
  ++interval_;
  watched_for_ += harvest.measured;
  Draft draft;
  draft.now = BootClock::now();
  draft.ended_at = harvest.ended_at;
  draft.survey = survey ? &*survey : nullptr;
  draft.table.taken_at = harvest.taken_at;
  draft.table.begun_at =
      taken_at_ && *taken_at_ < harvest.taken_at
          ? *taken_at_
          : harvest.taken_at -
                std::chrono::duration_cast<std::chrono::system_clock::duration>(harvest.measured);
  taken_at_ = harvest.taken_at;
  draft.table.measured = harvest.measured;
  draft.table.sampler = harvest.sampler;
  draft.common.measured = harvest.measured;
  // The first harvest comes right after the start and has seen next to nothing.
  draft.common.is_baseline = interval_ <= 2;

  unread_.clear();
  const auto survey_of = [&](const NamespaceHarvest &other) -> const NamespaceSurvey * {
    if (!survey)
      return nullptr;
    const auto entry = survey->others.find(other.id);
    return entry == survey->others.end() ? nullptr : &entry->second;
  };
  find_waits(harvest.own, survey ? &survey->own : nullptr, draft);
  for (const NamespaceHarvest &other : harvest.others)
    find_waits(other, survey_of(other), draft);
  add_namespace(harvest.own, survey ? &survey->own : nullptr, draft);
  for (const NamespaceHarvest &other : harvest.others)
    add_namespace(other, survey_of(other), draft);
  add_aggregates(harvest, draft);
  if (draft.given_out_ports > few_given_out_ports)
    draft.table.notices.emplace_back(
        "listeners on ports in net.ipv4.ip_local_port_range have no series of their own in their "
        "first ten minutes, except on ports in net.ipv4.ip_local_reserved_ports, or if Listener or "
        "<Watch> names them; tcp_unstable has their sum");
  add_missing(draft);
  std::erase_if(memories_, [this](const auto &memory) {
    return memory.second.seen != interval_ && !expectations_.contains(memory.first) &&
           !unread_.contains(memory.second.origin);
  });
  note_unread(draft);
  link_rows(draft);
  if (watched_for_ >= config_->missing_after && draft.table.is_complete)
    for (std::string &notice : matched_entries_.take_unmatched())
      draft.table.notices.push_back(std::move(notice));
  give_names(draft);
  remember_day(draft);
  give_slots(draft, interval);
  open_counters(draft);
  count_drops(draft);
  for (DropTotals *totals :
       {&drop_totals_, &overflow_totals_, &known_overflow_totals_, &ack_overflow_totals_,
        &series_totals_, &arrived_totals_, &accepted_totals_})
    totals->end_interval(draft.now);
  forget_namespaces(draft);

  if (harvest.own.tcp.read) {
    if (harvest.own.tcp.drops_known)
      draft.host.dropped = dropped_;
    draft.table.host = draft.host;
  }
  return std::move(draft.table);
}

void TableBuilder::add_namespace(const NamespaceHarvest &harvest, const NamespaceSurvey *survey,
                                 Draft &draft) {
  const auto known = namespaces_.find(harvest.id);
  draft.looked_before = known != namespaces_.end() && known->second.seen + 1 == interval_;
  NamespaceFacts common = facts_of(harvest, survey);
  common.measured = draft.common.measured;
  common.is_baseline = draft.common.is_baseline;
  draft.common = common;
  draft.namespace_survey = survey;
  draft.net_namespace = harvest.label.name;
  draft.namespace_part = harvest.label.name.empty() ? "" : net_namespace_part(harvest.label.name);
  open_accounts(harvest, draft);
  add_family(harvest.tcp, Family::tcp, draft);
  if (harvest.unix_sockets)
    add_family(*harvest.unix_sockets, Family::unix_socket, draft);
  else
    unread_.insert({draft.namespace_part, Family::unix_socket});

  KernelRow kernel;
  kernel.tcp_unread = !harvest.tcp.read;
  kernel.unix_unread =
      harvest.unix_sockets && !harvest.unix_sockets->read && !harvest.unix_sockets->absent;
  if (kernel.tcp_unread || kernel.unix_unread)
    draft.table.is_complete = false;
  kernel.instance = kernel_instance(harvest.label);
  kernel.net_namespace = harvest.label.name;
  kernel.has_series = !harvest.label.has_id;
  kernel.counted_since = namespace_drops_[kernel.instance].since;
  kernel.counters = harvest.counters;
  if (survey != nullptr) {
    kernel.limits = survey->limits;
    if (survey->syn_queues)
      kernel.syn_total = survey->syn_queues->total;
  }
  draft.table.kernels.push_back(std::move(kernel));
}

NamespaceFacts TableBuilder::facts_of(const NamespaceHarvest &harvest,
                                      const NamespaceSurvey *survey) {
  NamespaceFacts facts;
  if (survey != nullptr) {
    facts.somaxconn = survey->limits.somaxconn;
    facts.tcp_syncookies = survey->limits.tcp_syncookies;
  }
  NamespaceMemory &memory = namespaces_[harvest.id];
  memory.seen = interval_;
  if (!harvest.counters)
    return facts;
  const NetCounters &now = *harvest.counters;
  const NetCounters before = memory.counters.value_or(now);
  facts.cookies_rose = rose(Counter::SyncookiesSent, now, before) ||
                       rose(Counter::TCPReqQFullDoCookies, now, before);
  facts.req_q_full_drop_rose = rose(Counter::TCPReqQFullDrop, now, before);
  memory.counters = now;
  return facts;
}

// If a namespace was made anew under its old name, its counters begin with the sampler's first
// look.
void TableBuilder::open_accounts(const NamespaceHarvest &harvest, Draft &draft) {
  const auto [entry, is_new] = namespace_drops_.try_emplace(kernel_instance(harvest.label));
  NamespaceDrops &drops = entry->second;
  if (is_new || drops.id != harvest.id) {
    drops.id = harvest.id;
    drops.since = harvest.counted_since;
    drops.account.begin_anew();
  }
  // If a name occurs twice in an interval, the second entry covers both.
  if (!is_new && drops.last_present == draft.now)
    for (Draft::Drops &earlier : draft.drops)
      if (earlier.account == &drops.account)
        earlier.known = false;
  drops.last_present = draft.now;
  Draft::Drops &opened = draft.drops.emplace_back();
  opened.account = &drops.account;
  opened.known = harvest.drops_known;
  opened.interval.counted = harvest.drops_counted;
  if (harvest.counters)
    opened.interval.listen_drops = (*harvest.counters)[Counter::ListenDrops];
}

/// Adds drops that will have no row.
void TableBuilder::add_drops(const FamilyHarvest &kind, Draft &draft) const {
  Draft::Drops &drops = draft.drops.back();
  std::uint64_t unlisted_unstable = kind.read ? kind.aggregate.dropped.drops : 0;
  for (const ListenerHarvest &listener : kind.listeners) {
    drops.interval.attributed += listener.dropped.drops - listener.counted_before;
    if (listener.interval.unstable)
      unlisted_unstable -= std::min(unlisted_unstable, listener.dropped.drops);
  }
  drops.interval.attributed += kind.unlisted_drops;
  drops.unreported += kind.unlisted_drops;
  if (aggregates_have_series())
    drops.unreported -= std::min(drops.unreported, unlisted_unstable);
}

/// Does everything in the counting of drops that can run out of memory, so that the counting is
/// done as a whole or not at all.
void TableBuilder::open_counters(Draft &draft) {
  for (std::size_t i = 0; i < draft.listeners.size(); ++i) {
    const Draft::Listener &listener = draft.listeners[i];
    const Row &row = draft.table.rows[i];
    if (!listener.counts_drops)
      continue;
    if (listener.account != nullptr)
      overflow_totals_.admit(listener.name, draft.now, row.precedence.stable);
    if (listener.ack_overflows)
      for (DropTotals *totals : {&known_overflow_totals_, &ack_overflow_totals_})
        totals->admit(listener.name, draft.now, row.precedence.stable);
    if (row.has_series)
      series_totals_.admit(row.name, draft.now, row.precedence.stable);
  }
}

void TableBuilder::count_drops(Draft &draft) noexcept {
  for (const Draft::Drops &drops : draft.drops) {
    dropped_ += drops.account->add(drops.interval);
    drops.account->add_unreported(drops.unreported);
  }
  for (std::size_t i = 0; i < draft.listeners.size(); ++i) {
    const Draft::Listener &listener = draft.listeners[i];
    Row &row = draft.table.rows[i];
    if (!listener.counts_drops)
      continue;
    if (listener.account != nullptr) {
      drop_totals_.add(listener.name, listener.dropped.drops);
      overflow_totals_.add(listener.name, listener.dropped.overflows);
      if (listener.drops_known) {
        row.drops = drop_totals_.standing(listener.name);
        row.overflows = overflow_totals_.standing(listener.name);
        if (listener.ack_overflows)
          count_overflow_kinds(listener.name, listener.dropped.overflows, *listener.ack_overflows,
                               row);
      }
    }
    const std::uint64_t more = listener.dropped.drops - listener.counted_before;
    if (listener.unstable && aggregates_have_series())
      continue; // they are in the aggregate
    if (row.has_series) {
      series_totals_.add(row.name, more);
      if (!listener.drops_known)
        continue;
      const DropTotals::Value value = series_totals_.take_value(row.name, more);
      row.dropped = value.at_end;
      row.dropped_at_begin = value.at_begin;
    } else if (listener.account != nullptr) {
      listener.account->add_unreported(more);
    }
  }
  for (std::size_t i = 0; i < draft.drops.size(); ++i) {
    if (!draft.drops[i].known)
      continue;
    draft.table.kernels[i].drops_unattributed = draft.drops[i].account->unattributed();
    draft.table.kernels[i].drops_unreported = draft.drops[i].account->unreported();
  }
}

// The counter and the program are read one after the other, so that sums are compared.
void TableBuilder::count_overflow_kinds(const std::string &name, std::uint64_t overflows,
                                        std::uint64_t ack_overflows, Row &row) noexcept {
  known_overflow_totals_.add(name, overflows);
  ack_overflow_totals_.add(name, ack_overflows);
  const auto told = known_overflow_totals_.standing(name);
  const auto by_ack = ack_overflow_totals_.standing(name);
  if (!told || !by_ack)
    return;
  row.ack_overflows = std::min(by_ack->drops, told->drops);
  row.syn_overflows = told->drops - *row.ack_overflows;
}

void TableBuilder::count_flow(const ListenerInterval &interval, DropTotals::TimePoint now,
                              Row &row) {
  if (!interval.flow)
    return;
  row.arrivals = interval.flow->arrived;
  row.accepts = interval.flow->accepted;
  row.wait_mean = interval.flow->wait_mean;
  if (const std::optional<Waits> &waits = interval.flow->waits) {
    row.wait_p50 = waits->p50;
    row.wait_p99 = waits->p99;
  }
  // Counters are kept for a day, and only a series shows them.
  if (interval.unstable)
    return;
  const auto count = [&](DropTotals &totals, std::uint64_t connections) {
    totals.admit(row.name, now, row.precedence.stable);
    totals.add(row.name, connections);
    return totals.standing(row.name)->drops;
  };
  row.arrived = count(arrived_totals_, *row.arrivals);
  row.accepted = count(accepted_totals_, *row.accepts);
}

void TableBuilder::forget_namespaces(const Draft &draft) {
  std::erase_if(namespaces_, [this](const auto &entry) { return entry.second.seen != interval_; });
  std::erase_if(namespace_drops_, [&](const auto &entry) {
    return draft.now - entry.second.last_present > absent_namespaces_kept_for;
  });
}

void TableBuilder::add_family(const FamilyHarvest &kind, Family family, Draft &draft) {
  if (family == Family::tcp)
    add_drops(kind, draft);
  if (!kind.read) {
    unread_.insert({draft.namespace_part, family});
    return;
  }
  draft.host.unreported += kind.without_room;
  for (const ListenerHarvest &listener : kind.listeners) {
    const ListenerInterval &interval = listener.interval;
    const std::string &name = interval.identity.name;
    const ListenerView view = interval.identity.view(draft.net_namespace.empty());
    const WatchFacts watch = watch_facts(*config_, view);
    matched_entries_.see(view, watch);
    if (!is_selected(*config_, view, watch)) {
      draft.drops.back().unreported += listener.dropped.drops - listener.counted_before;
      continue;
    }
    const bool is_there = interval.members > 0;
    Row row;
    row.name = name;
    row.has_queue = is_there;
    row.queue = interval.queue;
    row.limit = interval.limit;
    row.members = interval.members;
    row.peak_bound = interval.peak_bound;
    row.family = family;
    if (kind.drops_known)
      row.interval_drops = listener.dropped.drops;
    row.identity = &interval.identity;
    row.net_namespace = draft.net_namespace;
    if (is_there) {
      ++draft.host.listeners;
      draft.host.worst_used_percent =
          std::max(draft.host.worst_used_percent, interval.queue.used_percent);
      expectations_.see(name, watch, interval.identity.has_id, watched_for_);
      judge(listener, watch, row, draft);
    }
    const bool named = config_->listeners.names(view) || watch.watched();
    row.precedence.watched = named;
    row.precedence.stable = !interval.unstable && !interval.identity.has_id;
    drop_totals_.admit(name, draft.now, row.precedence.stable);
    if (const auto total = drop_totals_.standing(name))
      row.precedence.since = total->since;
    count_flow(interval, draft.now, row);
    if (family == Family::tcp && is_there && interval.unstable && !interval.identity.has_id)
      ++draft.given_out_ports;
    if (interval.unstable && row.syn_length)
      draft.unstable_syn_length = draft.unstable_syn_length.value_or(0) + *row.syn_length;
    if (!interval.unstable) {
      const bool has_shown =
          family == Family::tcp ? series_quota_.was_present(name) : interval.queue.peak > 0;
      const bool in_trouble = listener.dropped.drops > 0 ||
                              (row.diagnosis && row.diagnosis->state != ListenerState::ok);
      draft.candidates.push_back({.name = &name,
                                  .eligible = in_trouble || (is_there && (named || has_shown)),
                                  .requested = named,
                                  .in_trouble = in_trouble,
                                  .counts_drops = family == Family::tcp});
      draft.candidate_rows.push_back(draft.table.rows.size());
    }
    draft.listeners.push_back(
        {.name = name,
         .watch = watch,
         .dropped = listener.dropped,
         .counted_before = listener.counted_before,
         .counts_drops = family == Family::tcp,
         .unstable = interval.unstable,
         .drops_known = kind.drops_known,
         .account = family == Family::tcp ? draft.drops.back().account : nullptr,
         .ack_overflows = interval.flow ? interval.flow->ack_overflows : std::nullopt});
    draft.table.rows.push_back(std::move(row));
  }
}

void TableBuilder::judge(const ListenerHarvest &listener, const WatchFacts &watch, Row &row,
                         Draft &draft) {
  const ListenerInterval &interval = listener.interval;
  const std::string &name = row.name;
  const auto [entry, is_new] = memories_.try_emplace(name);
  Memory &memory = entry->second;
  const std::string &address = interval.identity.address;
  if (!address.empty() && !memory.address.empty() && memory.address != address)
    memory = Memory();
  memory.address = address;
  // Limits that the first look at a namespace finds were set earlier.
  if (memory.lowest_limit != interval.lowest_limit || is_new) {
    const bool looked_before = !is_new || draft.looked_before;
    memory.somaxconn_at_listen = looked_before ? draft.common.somaxconn : std::nullopt;
    memory.somaxconn_first_seen.reset();
  }
  if (!memory.somaxconn_first_seen)
    memory.somaxconn_first_seen = draft.common.somaxconn;
  memory.lowest_limit = interval.lowest_limit;
  memory.origin = {draft.namespace_part, row.family};
  memory.given_name = watch.name;
  memory.seen = interval_;

  if (const NamespaceSurvey *survey = draft.namespace_survey;
      survey != nullptr && row.family == Family::tcp) {
    if (survey->syn_queues) {
      const auto found = survey->syn_queues->by_listener.find(lasting_key(interval.identity));
      row.syn_length = found == survey->syn_queues->by_listener.end() ? 0 : found->second;
    }
  }
  const AcceptFacts accepts = accept_facts(interval, row.family, memory, draft);
  if (row.family == Family::tcp)
    row.oldest_wait = accepts.oldest_wait;
  ListenerFacts facts;
  if (draft.survey != nullptr)
    if (const auto found = draft.survey->owners.find(interval.cookie);
        found != draft.survey->owners.end()) {
      row.owner = found->second.text();
      facts.held_by_manager = found->second.is_manager;
    }

  facts.name = watch.name ? std::string_view(*watch.name) : std::string_view(name);
  facts.owner = row.owner;
  facts.family = row.family;
  facts.members = interval.counted;
  facts.limit = interval.limit;
  facts.lowest_limit = interval.lowest_limit;
  facts.worst_member_percent = interval.worst_member_percent;
  facts.median_member_percent = interval.median_member_percent;
  facts.longest_hot_member = interval.longest_hot_member;
  facts.queue = interval.queue;
  facts.runs = interval.runs;
  facts.unlimited_peak = interval.unlimited_peak;
  facts.drops_known = row.interval_drops.has_value();
  facts.drops = listener.dropped.drops;
  facts.overflows = listener.dropped.overflows;
  facts.oldest_wait = accepts.oldest_wait;
  facts.none_accepted_for = accepts.none_accepted_for;
  facts.accepted = accepts.accepted;
  facts.syn_length = row.syn_length;
  facts.somaxconn_at_listen = memory.somaxconn_at_listen;
  facts.somaxconn_first_seen = memory.somaxconn_first_seen;
  const DiagnosisLimits limits = diagnosis_limits(*config_, watch);
  // A listener is expected so that clients can connect.
  facts.file_is_gone = limits.expected && draft.survey != nullptr &&
                       draft.survey->unreachable.contains(interval.cookie);
  facts.is_there = !facts.file_is_gone;
  if (interval.flow) {
    facts.accepts = interval.flow->accepted;
    const std::uint64_t acks = interval.flow->ack_overflows.value_or(0);
    facts.came = interval.flow->arrived + facts.overflows - std::min(facts.overflows, acks);
  }
  const WaitingClients *clients =
      waiting_clients(interval, row.family, draft.namespace_survey, draft);
  const std::string remark = clients != nullptr ? clients_remark(*clients) : "";
  facts.clients = remark;
  const Draft::WaitedAt *waited_at = nullptr;
  const auto see_wait = [&](std::uint64_t cookie) {
    const auto found = draft.waits.find(cookie);
    if (found != draft.waits.end() && found->second.name != name &&
        (waited_at == nullptr || found->second.count > waited_at->count))
      waited_at = &found->second;
  };
  if (!draft.waits.empty()) {
    see_wait(interval.cookie);
    for (const WaitingMember &member : interval.waiting)
      see_wait(member.cookie);
  }
  if (waited_at != nullptr) {
    facts.waits_for = waited_at->shown;
    draft.links.emplace_back(draft.table.rows.size(), waited_at->name);
  }
  memory.history.add(facts, draft.common, limits);
  row.diagnosis = diagnose(facts, draft.common, limits, memory.history);
  if (clients != nullptr && row.diagnosis->state != ListenerState::ok)
    row.clients = clients_text(*clients, sizeof(layout::Listener::clients) - 1);
  draft.host.count_state(row.diagnosis->state);
}

void TableBuilder::remember_day(Draft &draft) {
  for (Row &row : draft.table.rows) {
    if (!row.diagnosis || !row.has_queue || !row.precedence.stable)
      continue;
    const WorstFigures worst =
        day_.add(row.name, {.peak = row.queue.peak, .enough = row.diagnosis->enough.value_or(0)},
                 draft.ended_at);
    row.day_peak = worst.peak;
    if (worst.enough > 0)
      row.enough = worst.enough;
  }
  day_.prune(draft.ended_at);
}

/// A survey of an earlier interval says nothing of newer connections. It counts only if the queue
/// has not been seen to shrink since then.
bool TableBuilder::is_outdated(const Survey &survey, const ListenerInterval &interval,
                               const Draft &draft) {
  const auto survey_age = draft.ended_at - survey.waits_of;
  return std::all_of(
      interval.waiting.begin(), interval.waiting.end(),
      [&](const WaitingMember &member) { return member.not_shrinking_for < survey_age; });
}

/// Of several Unix sockets of one path, those of the fullest queue.
const WaitingClients *TableBuilder::waiting_clients(const ListenerInterval &interval, Family family,
                                                    const NamespaceSurvey *survey,
                                                    const Draft &draft) {
  if (draft.survey == nullptr || is_outdated(*draft.survey, interval, draft))
    return nullptr;
  const WaitingClients *result = nullptr;
  if (family == Family::tcp) {
    if (survey == nullptr || survey->tcp_clients.empty())
      return nullptr;
    const auto found = survey->tcp_clients.find(lasting_key(interval.identity));
    return found == survey->tcp_clients.end() ? nullptr : &found->second;
  }
  for (const WaitingMember &member : interval.waiting)
    if (const auto found = draft.survey->unix_clients.find(member.cookie);
        found != draft.survey->unix_clients.end() &&
        (result == nullptr || found->second.counted > result->counted))
      result = &found->second;
  return result;
}

/// Notes in which queues the processes of other listeners wait; of several, the one with the most.
void TableBuilder::find_waits(const NamespaceHarvest &harvest, const NamespaceSurvey *survey,
                              Draft &draft) const {
  const bool is_own = harvest.label.name.empty();
  if (survey != nullptr && !survey->tcp_clients.empty())
    find_waits(harvest.tcp, Family::tcp, is_own, survey, draft);
  if (harvest.unix_sockets && draft.survey != nullptr && !draft.survey->unix_clients.empty())
    find_waits(*harvest.unix_sockets, Family::unix_socket, is_own, survey, draft);
}

void TableBuilder::find_waits(const FamilyHarvest &kind, Family family, bool is_own,
                              const NamespaceSurvey *survey, Draft &draft) const {
  for (const ListenerHarvest &listener : kind.listeners) {
    const ListenerInterval &interval = listener.interval;
    if (interval.queue.last == 0)
      continue;
    const WaitingClients *clients = waiting_clients(interval, family, survey, draft);
    if (clients == nullptr || clients->of_listeners.empty())
      continue;
    const WatchFacts watch = watch_facts(*config_, interval.identity.view(is_own));
    for (const auto &[cookie, count] : clients->of_listeners) {
      Draft::WaitedAt &most = draft.waits[cookie];
      if (count > most.count)
        most = {.name = interval.identity.name,
                .shown = watch.name.value_or(interval.identity.name),
                .count = count};
    }
  }
}

void TableBuilder::link_rows(Draft &draft) {
  if (draft.links.empty())
    return;
  std::unordered_map<std::string_view, std::size_t> rows; // by name
  for (std::size_t i = 0; i < draft.listeners.size(); ++i)
    rows.try_emplace(draft.listeners[i].name, i);
  for (const auto &[from, name] : draft.links)
    if (const auto to = rows.find(name); to != rows.end())
      draft.table.waits.push_back({.from = from, .to = to->second});
}

AcceptFacts TableBuilder::accept_facts(const ListenerInterval &interval, Family family,
                                       Memory &memory, const Draft &draft) const {
  if (draft.survey == nullptr || is_outdated(*draft.survey, interval, draft))
    return {};
  if (family != Family::tcp)
    return unix_accept_facts(interval.waiting, draft.survey->unix_waits);
  if (draft.namespace_survey == nullptr)
    return {};
  const auto waits = draft.namespace_survey->tcp_waits.find(lasting_key(interval.identity));
  if (waits == draft.namespace_survey->tcp_waits.end())
    return {};
  if (waits->second.oldest_cookie != memory.oldest_cookie) {
    memory.oldest_cookie = waits->second.oldest_cookie;
    memory.oldest_since = draft.survey->waits_of;
  }
  TcpQueue queue;
  queue.members = interval.waiting;
  queue.measured = draft.common.measured;
  queue.waits = &waits->second;
  if (memory.oldest_cookie != 0)
    queue.oldest_unmoved_for = draft.survey->waits_of - memory.oldest_since;
  const auto stalled_after =
      std::chrono::duration_cast<AcceptFacts::Duration>(config_->stalled_after);
  return tcp_accept_facts(queue, stalled_after);
}

void TableBuilder::add_missing(Draft &draft) {
  const std::vector<Expectations::Absent> absent = expectations_.end_interval();
  if (expectations_.is_full())
    draft.table.notices.push_back("regexes of <Watch> blocks match more than the " +
                                  std::to_string(Expectations::most_met) +
                                  " listeners that they may expect: use a narrower regex");
  if (absent.empty())
    return;
  std::unordered_map<std::string, std::size_t> rows; // existing rows by name
  for (std::size_t i = 0; i < draft.listeners.size(); ++i)
    rows.emplace(draft.listeners[i].name, i);
  for (const Expectations::Absent &listener : absent)
    add_missing(listener, draft, rows);
}

void TableBuilder::add_missing(const Expectations::Absent &listener, Draft &draft,
                               const std::unordered_map<std::string, std::size_t> &rows) {
  const std::string &name = listener.name;
  const auto [entry, is_new] = memories_.try_emplace(name);
  Memory &memory = entry->second;
  if (is_new)
    memory.origin = origin_of(listener);
  if (memory.seen == interval_ || unread_.contains(memory.origin))
    return;
  Row row;
  row.name = name;
  row.has_queue = false;
  const WatchFacts watch = watch_facts(*config_, listener.view());
  ListenerFacts facts;
  facts.name = watch.name ? std::string_view(*watch.name) : std::string_view(name);
  facts.is_there = false;
  const DiagnosisLimits limits = diagnosis_limits(*config_, watch);
  memory.history.add(facts, draft.common, limits);
  row.diagnosis = diagnose(facts, draft.common, limits, memory.history);
  draft.host.count_state(row.diagnosis->state);
  // In the interval in which it closed it still has a row.
  if (const auto known = rows.find(name); known != rows.end()) {
    draft.table.rows[known->second].diagnosis = std::move(row.diagnosis);
    return;
  }
  draft.candidates.push_back({.name = &entry->first,
                              .eligible = true,
                              .requested = true,
                              .in_trouble = true,
                              .counts_drops = false});
  draft.candidate_rows.push_back(draft.table.rows.size());
  row.precedence.watched = true;
  row.family = Family::unix_socket; // its counter goes on when it is back
  draft.listeners.push_back({.name = name, .watch = watch});
  draft.table.rows.push_back(std::move(row));
}

/// The origin of a listener that was never seen.
TableBuilder::Origin TableBuilder::origin_of(const Expectations::Absent &listener) {
  const std::string &name = listener.name;
  const std::size_t end = name.rfind(namespace_separator);
  return {.net_namespace =
              end == std::string::npos ? "" : name.substr(end + namespace_separator.size()),
          .family = listener.is_unix ? Family::unix_socket : Family::tcp};
}

bool TableBuilder::is_unread(const Memory &memory) const {
  return memory.seen != interval_ && unread_.contains(memory.origin);
}

bool TableBuilder::is_unread(const std::string &name) const {
  const auto memory = memories_.find(name);
  return memory != memories_.end() && is_unread(memory->second);
}

void TableBuilder::note_unread(Draft &draft) const {
  if (unread_.empty())
    return;
  for (const auto &[name, memory] : memories_)
    if (is_unread(memory))
      draft.table.unread.push_back(shown_name(name));
}

std::string TableBuilder::shown_name(const std::string &name) const {
  const auto memory = memories_.find(name);
  if (memory == memories_.end() || !memory->second.given_name)
    return name;
  const std::string &given = *memory->second.given_name;
  return watch_names_.has(given, name) ? given : name;
}

void TableBuilder::add_aggregates(const Harvest &harvest, Draft &draft) {
  std::vector<const FamilyHarvest *> tcp{&harvest.own.tcp};
  std::vector<const FamilyHarvest *> unix_sockets;
  if (harvest.own.unix_sockets)
    unix_sockets.push_back(&*harvest.own.unix_sockets);
  for (const NamespaceHarvest &other : harvest.others) {
    tcp.push_back(&other.tcp);
    if (other.unix_sockets)
      unix_sockets.push_back(&*other.unix_sockets);
  }
  add_aggregate(tcp, std::string(tcp_aggregate), Family::tcp, draft);
  add_aggregate(unix_sockets, std::string(unix_aggregate), Family::unix_socket, draft);
}

/// Adds up the peaks of several namespaces, although no sample saw all of them at one moment.
void TableBuilder::add_aggregate(const std::vector<const FamilyHarvest *> &kinds,
                                 const std::string &name, Family family, Draft &draft) {
  Row row;
  row.name = name;
  row.family = family;
  row.has_series = aggregates_have_series();
  Draft::Listener listener{
      .name = name, .watch = {}, .counts_drops = family == Family::tcp, .drops_known = true};
  for (const FamilyHarvest *kind : kinds) {
    if (!kind->read)
      continue;
    const ListenerInterval &aggregate = kind->aggregate.interval;
    row.members += aggregate.members;
    row.limit += aggregate.limit;
    row.queue.last += aggregate.queue.last;
    row.queue.peak += aggregate.queue.peak;
    row.queue.mean += aggregate.queue.mean;
    row.queue.full_percent = std::max(row.queue.full_percent, aggregate.queue.full_percent);
    row.queue.used_percent = std::max(row.queue.used_percent, aggregate.queue.used_percent);
    listener.dropped.drops += kind->aggregate.dropped.drops;
    listener.counted_before += kind->aggregate.counted_before;
    listener.drops_known = listener.drops_known && (kind->drops_known || aggregate.members == 0);
  }
  if (row.members == 0 && listener.dropped.drops == 0)
    return;
  row.has_queue = row.members > 0;
  if (family == Family::tcp && row.has_queue)
    row.syn_length = draft.unstable_syn_length;
  draft.listeners.push_back(std::move(listener));
  draft.table.rows.push_back(std::move(row));
}

void TableBuilder::give_slots(Draft &draft, std::chrono::duration<double> interval) {
  const auto slots = std::min(config_->max_listeners,
                              static_cast<std::size_t>(series_per_second * interval.count()));
  const std::vector<bool> given = series_quota_.update(
      draft.candidates, slots, [this](const std::string &name) { return is_unread(name); });
  for (std::size_t i = 0; i < given.size(); ++i) {
    const std::size_t index = draft.candidate_rows[i];
    Row &row = draft.table.rows[index];
    row.has_series = given[i];
    if (!given[i] && draft.candidates[i].eligible)
      ++draft.host.unreported;
  }
}

void TableBuilder::give_names(Draft &draft) {
  std::vector<WatchNames::Listener> listeners;
  listeners.reserve(draft.listeners.size());
  for (const Draft::Listener &listener : draft.listeners)
    listeners.push_back({listener.name, listener.watch.name});
  WatchNames::Given given =
      watch_names_.give(listeners, [this](const std::string &name) { return is_unread(name); });
  for (const std::size_t position : given.positions)
    draft.table.rows[position].name = *listeners[position].given;
  for (std::string &notice : given.notices)
    draft.table.notices.push_back(std::move(notice));
}

std::vector<AlarmInput> alarm_inputs(const Table &table) {
  std::vector<AlarmInput> inputs;
  inputs.reserve(table.rows.size() + table.unread.size());
  const std::map<std::size_t, ChainPlace> chains = find_chains(table.waits);
  for (std::size_t i = 0; i < table.rows.size(); ++i) {
    const Row &row = table.rows[i];
    if (!row.diagnosis)
      continue;
    AlarmInput &input = inputs.emplace_back(AlarmInput{row.name, &*row.diagnosis, row.precedence});
    if (const auto place = chains.find(i); place != chains.end()) {
      input.chain_root = table.rows[place->second.root].name;
      input.chain_distance = place->second.distance;
    }
  }
  for (const std::string &name : table.unread)
    inputs.push_back({name, nullptr, {}});
  return inputs;
}

} // namespace backlog
