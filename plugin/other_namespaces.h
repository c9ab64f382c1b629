#pragma once

#include "config.h"
#include "harvest.h"
#include "namespace_sampler.h"
#include "net_namespace.h"
#include "survey_board.h"

#include <chrono>
#include <memory>
#include <vector>

namespace backlog {

/// Samples the net namespaces other than collectd's own, one after the other.
class OtherNamespaces {
public:
  using Duration = NamespaceSampler::Duration;

  OtherNamespaces(std::shared_ptr<const Config> config, std::shared_ptr<SurveyBoard> board);

  /// Those that the board lists and that could be entered when they were last looked at.
  std::size_t size() const { return entries_.size(); }
  /// Samples the one whose turn it is. max_weight: as in ListenerSet::end_sample().
  void sample_next(Duration max_weight);
  /// Samples each once more and ends its interval. A namespace that is gone is left out.
  std::vector<NamespaceHarvest> harvest(Duration max_weight, std::vector<Fault> &faults);

private:
  struct Entry {
    NetNamespace net_namespace;
    std::unique_ptr<NamespaceSampler> sampler;
    bool gone = false;
  };

  template <class Visit> void visit(Entry &entry, Visit visit);
  void follow_board();

  std::shared_ptr<const Config> config_;
  std::shared_ptr<SurveyBoard> board_;
  std::shared_ptr<const SurveyBoard::Namespaces>
      list_; ///< as of the last harvest; nullptr: none yet
  std::optional<NetNamespaceDoor> door_;
  std::vector<Entry> entries_;
  std::size_t next_ = 0;
  Failure failure_; ///< why a namespace of the list could not be entered
};

} // namespace backlog
