#pragma once

#include "config.h"
#include "harvest.h"
#include "namespace_sampler.h"
#include "net_namespace.h"
#include "survey_board.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <vector>

namespace backlog {

/// Samples the net namespaces other than collectd's own, one after the other.
class OtherNamespaces {
public:
  using Duration = NamespaceSampler::Duration;

  OtherNamespaces(std::shared_ptr<const Config> config, std::shared_ptr<SurveyBoard> board);

  /// Takes over the board's list; false: it is the one already taken.
  bool follow_board();
  /// Those that the board lists and that could be entered when they were last looked at.
  std::size_t size() const;
  /// Samples the one whose turn it is. max_weight: as in ListenerSet::end_sample().
  void sample_next(Duration max_weight);
  /// Samples each once more and ends its interval. A namespace that cannot be entered is unread;
  /// one that is gone has one more harvest, of what was seen of it.
  std::vector<NamespaceHarvest> harvest(Duration max_weight, EventReading *events,
                                        std::vector<Fault> &faults);
  /// As in ListenerSet, for those that there are and those that come.
  void ask_events(ListenerSet::HasEvents has_events);
  void ask_frees(ListenerSet::FreesOf frees_of);
  /// As in NamespaceSampler, of all of them as they were when last looked at.
  void pass_rest(std::chrono::steady_clock::time_point now);
  bool is_busy(Duration stuck_after) const;
  /// Of those that could be entered, as in NamespaceSampler.
  void add_net_cookies(std::set<std::uint64_t> &net_cookies) const;

private:
  /// As it was when it was last looked at.
  enum class State : std::uint8_t { open, unread, gone };
  struct Entry {
    NetNamespace net_namespace;
    std::unique_ptr<NamespaceSampler> sampler;
    State state = State::open;

    NamespaceLabel label() const { return {net_namespace.name, net_namespace.has_id}; }
  };

  template <class Run> Failure run_in(Entry &entry, Run run);
  NamespaceHarvest unread_harvest(const Entry &entry) const;

  std::shared_ptr<const Config> config_;
  std::shared_ptr<SurveyBoard> board_;
  std::shared_ptr<const SurveyBoard::Namespaces> list_; ///< taken over; nullptr: none yet
  std::optional<NetNamespaceSwitch> switch_;
  ListenerRooms rooms_ = ListenerRooms::of_all_others();
  std::vector<Entry> entries_;
  std::size_t next_ = 0;
  ListenerSet::HasEvents has_events_;
  ListenerSet::FreesOf frees_of_;
};

} // namespace backlog
