#include "other_namespaces.h"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace backlog {

OtherNamespaces::OtherNamespaces(std::shared_ptr<const Config> config,
                                 std::shared_ptr<SurveyBoard> board)
    : config_(std::move(config)), board_(std::move(board)) {}

std::size_t OtherNamespaces::size() const {
  return static_cast<std::size_t>(
      std::count_if(entries_.begin(), entries_.end(),
                    [](const Entry &entry) { return entry.state == State::open; }));
}

template <class Run> Failure OtherNamespaces::run_in(Entry &entry, Run run) {
  entry.state = State::unread;
  if (!switch_) {
    Result<NetNamespaceSwitch> made = NetNamespaceSwitch::make();
    if (!made)
      return made.error();
    switch_ = std::move(*made);
  }
  Failure failure = switch_->run_in(entry.net_namespace, [&] {
    if (!entry.sampler) {
      entry.sampler = std::make_unique<NamespaceSampler>(config_, entry.label(), rooms_);
      entry.sampler->ask_events(events_);
      entry.sampler->ask_frees(frees_of_);
    }
    entry.sampler->follow(board_->unix_places(), board_->unix_looks());
    run(*entry.sampler);
    std::vector<UnixFile> unplaced = entry.sampler->take_unplaced();
    for (UnixFile &file : unplaced)
      file.net_namespace = entry.net_namespace.id.inode;
    if (!unplaced.empty())
      board_->post_unplaced(std::move(unplaced));
    entry.state = State::open;
  });
  if (failure && failure->code == ENOENT)
    entry.state = State::gone;
  return failure;
}

void OtherNamespaces::sample_next(Duration max_weight) {
  for (std::size_t tried = 0; tried < entries_.size(); ++tried) {
    next_ = (next_ + 1) % entries_.size();
    if (entries_[next_].state != State::open)
      continue;
    // The harvest tries again and reports why a namespace could not be entered.
    (void)run_in(entries_[next_], [&](NamespaceSampler &sampler) {
      sampler.sample_tcp(max_weight);
      if (config_->report_unix)
        sampler.sample_unix(max_weight);
    });
    return;
  }
}

void OtherNamespaces::ask_events(EventQuestions events) {
  events_ = std::move(events);
  for (const Entry &entry : entries_)
    if (entry.sampler)
      entry.sampler->ask_events(events_);
}

void OtherNamespaces::ask_frees(ListenerSet::FreesOf frees_of) {
  frees_of_ = std::move(frees_of);
  for (const Entry &entry : entries_)
    if (entry.sampler)
      entry.sampler->ask_frees(frees_of_);
}

void OtherNamespaces::pass_rest(std::chrono::steady_clock::time_point now) {
  for (const Entry &entry : entries_)
    if (entry.sampler)
      entry.sampler->pass_rest(now);
}

bool OtherNamespaces::is_busy(Duration stuck_after) const {
  return std::any_of(entries_.begin(), entries_.end(), [&](const Entry &entry) {
    return entry.state == State::open && entry.sampler &&
           (entry.sampler->tcp_filling() || entry.sampler->unix_filling() ||
            entry.sampler->has_unplaced() || entry.sampler->is_stuck(stuck_after));
  });
}

void OtherNamespaces::add_net_cookies(std::set<std::uint64_t> &net_cookies) const {
  for (const Entry &entry : entries_)
    if (entry.sampler && entry.state != State::gone)
      if (const auto cookie = entry.sampler->net_cookie())
        net_cookies.insert(*cookie);
}

std::vector<NamespaceHarvest> OtherNamespaces::harvest(Duration max_weight, EventReading *events,
                                                       std::vector<Fault> &faults) {
  std::vector<NamespaceHarvest> harvests;
  harvests.reserve(entries_.size());
  for (Entry &entry : entries_) {
    std::optional<NamespaceHarvest> harvest;
    if (entry.state != State::gone) {
      const Failure failure = run_in(entry, [&](NamespaceSampler &sampler) {
        harvest = sampler.harvest(max_weight, max_weight, events, faults);
      });
      if (entry.state == State::unread) {
        harvest = unread_harvest(entry);
        faults.push_back({"other net namespaces", failure->message()});
      }
    }
    if (entry.state == State::gone && entry.sampler)
      harvest = entry.sampler->harvest_ended(events);
    if (!harvest)
      continue;
    harvest->id = entry.net_namespace.id;
    harvests.push_back(std::move(*harvest));
  }
  std::erase_if(entries_, [](const Entry &entry) { return entry.state == State::gone; });
  return harvests;
}

NamespaceHarvest OtherNamespaces::unread_harvest(const Entry &entry) const {
  NamespaceHarvest harvest;
  harvest.label = entry.label();
  if (config_->report_unix)
    harvest.unix_sockets.emplace();
  if (entry.sampler)
    harvest.counted_since = entry.sampler->counted_since();
  return harvest;
}

bool OtherNamespaces::follow_board() {
  const auto list = board_->namespaces();
  if (list == list_)
    return false;
  list_ = list;
  const auto is_same = [](const Entry &entry, const NetNamespace &listed) {
    return entry.state != State::gone && entry.net_namespace.id == listed.id &&
           entry.net_namespace.name == listed.name && entry.net_namespace.has_id == listed.has_id;
  };
  std::vector<Entry> entries;
  entries.reserve(entries_.size() + list->size());
  // A namespace that is gone stays until its last harvest. It comes first, because a new namespace
  // may already have its id.
  for (Entry &entry : entries_) {
    if (std::any_of(list->begin(), list->end(),
                    [&](const NetNamespace &listed) { return is_same(entry, listed); }))
      continue;
    entry.state = State::gone;
    entries.push_back(std::move(entry));
  }
  for (const NetNamespace &listed : *list) {
    const auto known = std::find_if(entries_.begin(), entries_.end(),
                                    [&](const Entry &entry) { return is_same(entry, listed); });
    Entry &entry = entries.emplace_back(known == entries_.end() ? Entry{} : std::move(*known));
    entry.net_namespace = listed;
  }
  entries_ = std::move(entries);
  return true;
}

} // namespace backlog
