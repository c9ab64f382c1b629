#include "table_builder.h"

#include "listener_name.h"
#include "queue_waits.h"
#include "survey_view.h"

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
  Table table;
  HostFigures host;
  /// Further figures for each row.
  struct Listener {
    WatchFacts watch;
    RowCounters::Counted counted;
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
  QueueWaits waits;
  std::vector<std::pair<std::size_t, std::string>> links; ///< row, and name of the one it waits for
  // The namespace whose rows are being added.
  NamespaceFacts common;
  const SomaxconnHistory *somaxconn = nullptr;
  SurveyView survey;
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
  const Survey *surveyed = survey ? &*survey : nullptr;
  const SurveyView own = SurveyView::of_own(surveyed, harvest);
  draft.waits.add(harvest.own, true, own, *config_);
  for (const NamespaceHarvest &other : harvest.others)
    draft.waits.add(other, false, SurveyView::of_other(surveyed, harvest, other.id), *config_);
  add_namespace(harvest.own, own, draft);
  for (const NamespaceHarvest &other : harvest.others)
    add_namespace(other, SurveyView::of_other(surveyed, harvest, other.id), draft);
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
  remember_day(harvest.ended_at, draft);
  give_slots(draft, interval);
  count_drops(draft);
  counters_.end_interval(draft.now);
  forget_namespaces(draft);

  if (harvest.own.tcp.read) {
    if (harvest.own.tcp.drops_known)
      draft.host.dropped = dropped_;
    draft.table.host = draft.host;
  }
  return std::move(draft.table);
}

void TableBuilder::add_namespace(const NamespaceHarvest &harvest, const SurveyView &view,
                                 Draft &draft) {
  const NamespaceSurvey *survey = view.net_namespace;
  NamespaceFacts common = facts_of(harvest, survey);
  draft.somaxconn = &namespaces_[harvest.id].somaxconn;
  common.measured = draft.common.measured;
  common.is_baseline = draft.common.is_baseline;
  draft.common = common;
  draft.survey = view;
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
  if (facts.somaxconn)
    memory.somaxconn.see(interval_, *facts.somaxconn);
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

void TableBuilder::count_drops(Draft &draft) {
  for (std::size_t i = 0; i < draft.listeners.size(); ++i)
    counters_.open(draft.listeners[i].counted, draft.now, draft.table.rows[i]);
  // From here on nothing can run out of memory.
  for (const Draft::Drops &drops : draft.drops) {
    dropped_ += drops.account->add(drops.interval);
    drops.account->add_unreported(drops.unreported);
  }
  for (std::size_t i = 0; i < draft.listeners.size(); ++i)
    counters_.count(draft.listeners[i].counted, draft.table.rows[i]);
  for (std::size_t i = 0; i < draft.drops.size(); ++i) {
    if (!draft.drops[i].known)
      continue;
    draft.table.kernels[i].drops_unattributed = draft.drops[i].account->unattributed();
    draft.table.kernels[i].drops_unreported = draft.drops[i].account->unreported();
  }
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
    const ListenerView view = listener.interval.identity.view(draft.net_namespace.empty());
    const WatchFacts watch = watch_facts(*config_, view);
    matched_entries_.see(view, watch);
    if (is_selected(*config_, view, watch))
      add_listener(listener, {family, kind.drops_known, watch, config_->listeners.names(view)},
                   draft);
    else
      draft.drops.back().unreported += listener.dropped.drops - listener.counted_before;
  }
}

void TableBuilder::add_listener(const ListenerHarvest &listener, const Selected &selected,
                                Draft &draft) {
  const ListenerInterval &interval = listener.interval;
  Row row = row_of(listener, selected, draft);
  if (row.has_queue) {
    ++draft.host.listeners;
    draft.host.worst_used_percent =
        std::max(draft.host.worst_used_percent, interval.queue.used_percent);
    expectations_.see(row.name, selected.watch, interval.identity.has_id, watched_for_);
    judge(listener, selected.watch, row, draft);
  }
  if (const auto since = counters_.admit(row.name, draft.now, row.precedence.stable))
    row.precedence.since = *since;
  counters_.count_flow(interval, draft.now, row);
  if (interval.unstable)
    note_unstable(interval, row, draft);
  else
    add_candidate(listener, row, draft);
  const bool counts_drops = selected.family == Family::tcp;
  draft.listeners.push_back(
      {.watch = selected.watch,
       .counted = {.name = row.name,
                   .dropped = listener.dropped,
                   .counted_before = listener.counted_before,
                   .counts_drops = counts_drops,
                   .is_in_aggregate = interval.unstable && aggregates_have_series(),
                   .drops_known = selected.drops_known,
                   .account = counts_drops ? draft.drops.back().account : nullptr,
                   .ack_overflows = interval.flow ? interval.flow->ack_overflows : std::nullopt}});
  draft.table.rows.push_back(std::move(row));
}

Row TableBuilder::row_of(const ListenerHarvest &listener, const Selected &selected,
                         const Draft &draft) {
  const ListenerInterval &interval = listener.interval;
  Row row;
  row.name = interval.identity.name;
  row.has_queue = interval.members > 0;
  row.queue = interval.queue;
  row.limit = interval.limit;
  row.members = interval.members;
  row.peak_bound = interval.peak_bound;
  row.family = selected.family;
  if (selected.drops_known)
    row.interval_drops = listener.dropped.drops;
  row.identity = &interval.identity;
  row.net_namespace = draft.net_namespace;
  row.precedence.watched = selected.is_named || selected.watch.watched();
  row.precedence.stable = !interval.unstable && !interval.identity.has_id;
  return row;
}

void TableBuilder::note_unstable(const ListenerInterval &interval, const Row &row, Draft &draft) {
  if (row.family == Family::tcp && row.has_queue && !interval.identity.has_id)
    ++draft.given_out_ports;
  if (row.syn_length)
    draft.unstable_syn_length = draft.unstable_syn_length.value_or(0) + *row.syn_length;
}

/// For a series of its own.
void TableBuilder::add_candidate(const ListenerHarvest &listener, const Row &row, Draft &draft) {
  const std::string &name = listener.interval.identity.name;
  const bool is_tcp = row.family == Family::tcp;
  const bool has_shown =
      is_tcp ? series_quota_.was_present(name) : listener.interval.queue.peak > 0;
  const bool in_trouble =
      listener.dropped.drops > 0 || (row.diagnosis && row.diagnosis->state != ListenerState::ok);
  const bool is_named = row.precedence.watched;
  draft.candidates.push_back({.name = &name,
                              .eligible = in_trouble || (row.has_queue && (is_named || has_shown)),
                              .requested = is_named,
                              .in_trouble = in_trouble,
                              .counts_drops = is_tcp});
  draft.candidate_rows.push_back(draft.table.rows.size());
}

void TableBuilder::judge(const ListenerHarvest &listener, const WatchFacts &watch, Row &row,
                         Draft &draft) {
  const ListenerInterval &interval = listener.interval;
  Memory &memory = memory_of(interval, watch, row, draft);
  row.syn_length = draft.survey.syn_length(interval, row.family);
  const AcceptFacts accepts = accept_facts(interval, row, memory, draft);
  ListenerFacts facts = facts_of(listener, row, accepts, memory, *draft.somaxconn);
  if (const Owner *owner = draft.survey.owner(interval)) {
    row.owner = owner->text();
    facts.held_by_manager = owner->is_manager;
  }
  facts.name = watch.name ? std::string_view(*watch.name) : std::string_view(row.name);
  facts.owner = row.owner;
  const DiagnosisLimits limits = diagnosis_limits(*config_, watch);
  // A listener is expected so that clients can connect.
  facts.file_is_gone = limits.expected && draft.survey.is_unreachable(interval);
  facts.is_there = !facts.file_is_gone;
  const WaitingClients *clients = draft.survey.clients(interval, row.family);
  const std::string remark = clients != nullptr ? clients_remark(*clients) : "";
  facts.clients = remark;
  if (const QueueWaits::WaitedAt *waited_at = draft.waits.of(interval)) {
    facts.waits_for = waited_at->shown;
    draft.links.emplace_back(draft.table.rows.size(), waited_at->name);
  }
  memory.history.add(facts, draft.common, limits);
  row.diagnosis = diagnose(facts, draft.common, limits, memory.history);
  if (clients != nullptr && row.diagnosis->state != ListenerState::ok)
    row.clients = clients_text(*clients, sizeof(layout::Listener::clients) - 1);
  draft.host.count_state(row.diagnosis->state);
}

TableBuilder::Memory &TableBuilder::memory_of(const ListenerInterval &interval,
                                              const WatchFacts &watch, const Row &row,
                                              const Draft &draft) {
  const auto [entry, is_new] = memories_.try_emplace(row.name);
  Memory &memory = entry->second;
  const std::string &address = interval.identity.address;
  if (!address.empty() && !memory.address.empty() && memory.address != address)
    memory = Memory();
  memory.address = address;
  if (interval.lowest_limit_for)
    memory.limit_since = interval_ - std::min<std::uint64_t>(interval_, *interval.lowest_limit_for);
  else if (memory.lowest_limit != interval.lowest_limit)
    memory.limit_since.reset();
  memory.lowest_limit = interval.lowest_limit;
  memory.origin = {draft.namespace_part, row.family};
  memory.given_name = watch.name;
  memory.seen = interval_;
  return memory;
}

ListenerFacts TableBuilder::facts_of(const ListenerHarvest &listener, const Row &row,
                                     const AcceptFacts &accepts, const Memory &memory,
                                     const SomaxconnHistory &somaxconn) {
  const ListenerInterval &interval = listener.interval;
  ListenerFacts facts;
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
  facts.somaxconn_at_listen = somaxconn.at_listen(memory.limit_since);
  facts.somaxconn_first_seen = somaxconn.first();
  if (interval.flow) {
    facts.accepts = interval.flow->accepted;
    facts.wait_mean = interval.flow->wait_mean;
    facts.wait_p50 = interval.flow->wait_p50();
    facts.wait_p99 = interval.flow->wait_p99();
    const std::uint64_t acks = interval.flow->ack_overflows.value_or(0);
    facts.came = interval.flow->arrived + facts.overflows - std::min(facts.overflows, acks);
  }
  return facts;
}

void TableBuilder::remember_day(std::chrono::steady_clock::time_point ended_at, Draft &draft) {
  for (Row &row : draft.table.rows) {
    if (!row.diagnosis || !row.has_queue || !row.precedence.stable)
      continue;
    const WorstFigures worst = day_.add(
        row.name, {.peak = row.queue.peak, .enough = row.diagnosis->enough.value_or(0)}, ended_at);
    row.day_peak = worst.peak;
    if (worst.enough > 0)
      row.enough = worst.enough;
  }
  day_.prune(ended_at);
}

void TableBuilder::link_rows(Draft &draft) {
  if (draft.links.empty())
    return;
  std::unordered_map<std::string_view, std::size_t> rows; // by name
  for (std::size_t i = 0; i < draft.listeners.size(); ++i)
    rows.try_emplace(draft.listeners[i].counted.name, i);
  for (const auto &[from, name] : draft.links)
    if (const auto to = rows.find(name); to != rows.end())
      draft.table.waits.push_back({.from = from, .to = to->second});
}

AcceptFacts TableBuilder::accept_facts(const ListenerInterval &interval, Row &row, Memory &memory,
                                       const Draft &draft) const {
  const AcceptFacts facts = look(interval, row.family, memory, draft);
  if (row.family == Family::tcp)
    row.oldest_wait = facts.oldest_wait;
  if (facts.none_accepted_for) {
    memory.stall.note_look(
        facts, std::chrono::duration_cast<AcceptFacts::Duration>(config_->stalled_after),
        interval.queue.last, draft.survey.survey->waits_of);
    return facts;
  }
  UnlookedQueue queue{.length = interval.queue.last,
                      .members = interval.counted,
                      .not_empty_for = interval.runs.not_empty_for,
                      .accepted = {}};
  if (interval.flow)
    queue.accepted = interval.flow->accepted;
  for (const WaitingMember &member : interval.waiting)
    queue.not_shrinking_for = std::max(queue.not_shrinking_for, member.not_shrinking_for);
  return memory.stall.without_look(queue, draft.survey.ended_at);
}

AcceptFacts TableBuilder::look(const ListenerInterval &interval, Family family, Memory &memory,
                               const Draft &draft) const {
  const Survey *survey = draft.survey.survey;
  if (survey == nullptr || draft.survey.is_outdated(interval))
    return {};
  if (family != Family::tcp)
    return unix_accept_facts(interval.waiting, survey->unix_waits);
  const TcpWaits *waits = draft.survey.tcp_waits(interval);
  if (waits == nullptr)
    return {};
  if (waits->oldest_cookie != memory.oldest_cookie) {
    memory.oldest_cookie = waits->oldest_cookie;
    memory.oldest_since = survey->waits_of;
  }
  TcpQueue queue;
  queue.members = interval.waiting;
  queue.measured = draft.common.measured;
  queue.waits = waits;
  if (memory.oldest_cookie != 0)
    queue.oldest_unmoved_for = survey->waits_of - memory.oldest_since;
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
    rows.emplace(draft.listeners[i].counted.name, i);
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
  draft.listeners.push_back({.watch = watch, .counted = {.name = name}});
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
  RowCounters::Counted counted{
      .name = name, .counts_drops = family == Family::tcp, .drops_known = true};
  for (const FamilyHarvest *kind : kinds) {
    if (!kind->read)
      continue;
    const ListenerInterval &aggregate = kind->aggregate.interval;
    row.members += aggregate.members;
    row.limit += aggregate.limit;
    row.queue.last += aggregate.queue.last;
    row.queue.peak += aggregate.queue.peak;
    row.queue.peak_queues.limit += aggregate.queue.peak_queues.limit;
    row.queue.peak_queues.members += aggregate.queue.peak_queues.members;
    row.queue.mean += aggregate.queue.mean;
    row.queue.full_percent = std::max(row.queue.full_percent, aggregate.queue.full_percent);
    row.queue.used_percent = std::max(row.queue.used_percent, aggregate.queue.used_percent);
    counted.dropped.drops += kind->aggregate.dropped.drops;
    counted.counted_before += kind->aggregate.counted_before;
    counted.drops_known = counted.drops_known && (kind->drops_known || aggregate.members == 0);
  }
  if (row.members == 0 && counted.dropped.drops == 0)
    return;
  row.has_queue = row.members > 0;
  if (family == Family::tcp && row.has_queue)
    row.syn_length = draft.unstable_syn_length;
  draft.listeners.push_back({.watch = {}, .counted = std::move(counted)});
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
    listeners.push_back({listener.counted.name, listener.watch.name});
  WatchNames::Given given =
      watch_names_.give(listeners, [this](const std::string &name) { return is_unread(name); });
  for (const std::size_t position : given.positions) {
    Row &row = draft.table.rows[position];
    row.address_name = std::exchange(row.name, *listeners[position].given);
  }
  for (std::string &notice : given.notices)
    draft.table.notices.push_back(std::move(notice));
}

} // namespace backlog
