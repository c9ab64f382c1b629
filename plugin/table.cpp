#include "table.h"

#include <algorithm>
#include <utility>

namespace backlog {

namespace {

// What write_prometheus, the slowest of collectd's writers, digests with ease.
constexpr double places_per_second = 200;

} // namespace

struct TableBuilder::Draft {
  std::chrono::steady_clock::time_point now;
  Table table;
  HostFigures host;
  std::vector<RosterCandidate> candidates;
  std::vector<std::size_t> candidate_rows; ///< the row of each candidate
};

Table TableBuilder::build(const Harvest &harvest, const std::optional<Survey> &survey,
                          std::chrono::duration<double> interval) {
  Draft draft;
  draft.now = std::chrono::steady_clock::now();
  Table &table = draft.table;
  table.taken_at = harvest.taken_at;
  table.sampler = harvest.sampler;
  table.counters = harvest.own.counters;
  table.drops_unattributed = harvest.own.drops_unattributed;

  add_kind(harvest.own.tcp, true, draft);
  add_fold(harvest.own.tcp, "tcp_unstable", true, draft);
  if (harvest.own.unix_sockets) {
    add_kind(*harvest.own.unix_sockets, false, draft);
    add_fold(*harvest.own.unix_sockets, "unix_unstable", false, draft);
  }
  give_places(draft, interval);
  drop_totals_.prune(draft.now);
  overflow_totals_.prune(draft.now);

  if (harvest.own.tcp.read) {
    draft.host.dropped = dropped_ + harvest.own.drops_unattributed.value_or(0);
    table.host = draft.host;
  }
  if (survey) {
    table.limits = survey->limits;
    if (survey->syn_queues) {
      table.syn_total = survey->syn_queues->total;
      for (Row &row : table.rows) {
        const auto found = survey->syn_queues->by_listener.find(row.name);
        if (row.is_tcp)
          row.syn_length = found == survey->syn_queues->by_listener.end() ? 0 : found->second;
      }
    }
  }
  return std::move(draft.table);
}

void TableBuilder::add_kind(const KindHarvest &kind, bool is_tcp, Draft &draft) {
  if (!kind.read)
    return;
  for (const ListenerHarvest &listener : kind.listeners) {
    dropped_ += listener.dropped.drops;
    const ListenerInterval &interval = listener.interval;
    const std::string &name = interval.identity.name;
    if (!config_->listeners.selects(name))
      continue;
    const bool is_there = interval.members > 0;
    if (is_there) {
      ++draft.host.listeners;
      draft.host.worst_used_percent =
          std::max(draft.host.worst_used_percent, interval.queue.used_percent);
    }
    const std::size_t row = draft.table.rows.size();
    add_row(listener, name, is_tcp, draft);
    draft.table.rows.back().identity = &interval.identity;
    if (interval.folded)
      continue;
    const bool named = config_->listeners.names(name);
    const bool has_shown = is_tcp ? roster_.was_present(name) : interval.queue.peak > 0;
    draft.candidates.push_back(
        {.name = &name,
         .eligible = listener.dropped.drops > 0 || (is_there && (named || has_shown)),
         .urgent = named});
    draft.candidate_rows.push_back(row);
  }
}

void TableBuilder::add_fold(const KindHarvest &kind, const char *name, bool is_tcp, Draft &draft) {
  if (!kind.read || kind.fold.interval.members == 0)
    return;
  add_row(kind.fold, name, is_tcp, draft);
  Row &row = draft.table.rows.back();
  row.has_series = true;
  if (is_tcp)
    row.dropped = drop_totals_.tell(name);
}

void TableBuilder::add_row(const ListenerHarvest &listener, const std::string &name, bool is_tcp,
                           Draft &draft) {
  Row row;
  row.name = name;
  row.is_tcp = is_tcp;
  row.has_queue = listener.interval.members > 0;
  row.queue = listener.interval.queue;
  row.limit = listener.interval.limit;
  row.members = listener.interval.members;
  if (is_tcp) {
    drop_totals_.add(name, listener.dropped.drops, draft.now);
    overflow_totals_.add(name, listener.dropped.overflows, draft.now);
    row.drops = drop_totals_.standing(name);
    row.overflows = overflow_totals_.standing(name);
  }
  draft.table.rows.push_back(std::move(row));
}

void TableBuilder::give_places(Draft &draft, std::chrono::duration<double> interval) {
  const auto places = std::min(config_->max_listeners,
                               static_cast<std::size_t>(places_per_second * interval.count()));
  const std::vector<bool> placed = roster_.update(draft.candidates, places);
  for (std::size_t i = 0; i < placed.size(); ++i) {
    Row &row = draft.table.rows[draft.candidate_rows[i]];
    row.has_series = placed[i];
    if (placed[i] && row.is_tcp)
      row.dropped = drop_totals_.tell(row.name);
    if (!placed[i] && draft.candidates[i].eligible)
      ++draft.host.unreported;
  }
}

} // namespace backlog
