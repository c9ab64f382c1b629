#include "other_namespaces.h"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace backlog {

OtherNamespaces::OtherNamespaces(std::shared_ptr<const Config> config,
                                 std::shared_ptr<SurveyBoard> board)
    : config_(std::move(config)), board_(std::move(board)) {}

template <class Visit> void OtherNamespaces::visit(Entry &entry, Visit visit) {
  Failure failure = door_->visit(entry.net_namespace, [&] {
    if (!entry.sampler)
      entry.sampler = std::make_unique<NamespaceSampler>(
          config_, NamespaceLabel{entry.net_namespace.name, entry.net_namespace.has_id});
    visit(*entry.sampler);
  });
  if (!failure)
    return;
  entry.gone = true;
  if (failure->code != ENOENT)
    failure_ = std::move(failure);
}

void OtherNamespaces::sample_next(Duration max_weight) {
  next_ = (next_ + 1) % entries_.size();
  if (entries_[next_].gone)
    return;
  visit(entries_[next_], [&](NamespaceSampler &sampler) {
    sampler.sample_tcp(max_weight);
    if (config_->report_unix)
      sampler.sample_unix(max_weight);
  });
}

std::vector<NamespaceHarvest> OtherNamespaces::harvest(Duration max_weight,
                                                       std::vector<Fault> &faults) {
  std::vector<NamespaceHarvest> harvests;
  harvests.reserve(entries_.size());
  for (Entry &entry : entries_) {
    if (entry.gone)
      continue;
    visit(entry, [&](NamespaceSampler &sampler) {
      harvests.push_back(sampler.harvest(max_weight, max_weight, faults));
      harvests.back().id = entry.net_namespace.id;
    });
  }
  if (failure_)
    faults.push_back({"other net namespaces", failure_->message()});
  std::erase_if(entries_, [](const Entry &entry) { return entry.gone; });
  follow_board();
  return harvests;
}

void OtherNamespaces::follow_board() {
  const auto list = board_->namespaces();
  if (list == list_)
    return;
  list_ = list;
  failure_.reset(); // what could not be entered is tried again
  if (!door_ && !list->empty()) {
    Result<NetNamespaceDoor> door = NetNamespaceDoor::make();
    if (!door) {
      failure_ = door.error();
      return;
    }
    door_ = std::move(*door);
  }
  std::vector<Entry> entries;
  entries.reserve(list->size());
  for (const NetNamespace &listed : *list) {
    const auto known = std::find_if(entries_.begin(), entries_.end(), [&](const Entry &entry) {
      return entry.net_namespace.id == listed.id && entry.net_namespace.name == listed.name;
    });
    Entry &entry = entries.emplace_back(known == entries_.end() ? Entry{} : std::move(*known));
    entry.net_namespace = listed;
  }
  entries_ = std::move(entries);
}

} // namespace backlog
