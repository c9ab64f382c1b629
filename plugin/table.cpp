#include "table.h"

#include <algorithm>
#include <limits>

namespace backlog {

namespace {

// What write_prometheus, the slowest of collectd's writers, digests with ease.
constexpr double series_places_per_second = 200;

Row row_of(const ListenerHarvest &harvest, std::string name) {
  Row row;
  row.name = std::move(name);
  row.queue = harvest.interval.queue;
  row.limit = harvest.interval.limit;
  row.members = harvest.interval.members;
  return row;
}

} // namespace

Table TableBuilder::build(const Harvest &harvest, const std::optional<Survey> &survey,
                          std::chrono::duration<double> interval) {
  Table table;
  table.taken_at = harvest.taken_at;
  table.counters = harvest.own.counters;
  if (survey)
    table.limits = survey->limits;
  if (harvest.own.tcp_fold.interval.members > 0)
    table.tcp_unstable = row_of(harvest.own.tcp_fold, "tcp_unstable");
  if (!harvest.own.listeners_read)
    return table;

  std::vector<RosterCandidate> candidates;
  for (const ListenerHarvest &listener : harvest.own.tcp) {
    const std::string &name = listener.interval.identity.name;
    if (listener.interval.folded || listener.interval.members == 0 ||
        !config_->listeners.selects(name))
      continue;
    candidates.push_back({.name = &name,
                          .eligible = roster_.was_present(name) || listener.dropped.drops > 0,
                          .urgent = false});
    table.rows.push_back(row_of(listener, name));
  }
  const double places = std::max(1.0, series_places_per_second * interval.count());
  const std::vector<bool> placed = roster_.update(
      candidates, std::min(config_->max_listeners, static_cast<std::size_t>(places)));
  for (std::size_t i = 0; i < table.rows.size(); ++i)
    table.rows[i].has_series = placed[i];
  return table;
}

} // namespace backlog
