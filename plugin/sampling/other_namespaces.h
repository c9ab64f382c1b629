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

/// Samples the net namespaces other than collectd's own, one after another.
class OtherNamespaces {
public:
  using Duration = NamespaceSampler::Duration;

  OtherNamespaces(std::shared_ptr<const Config> config, std::shared_ptr<SurveyBoard> board);

  /// Takes over the board's list; returns false if it has not changed.
  bool follow_board();
  /// Namespaces on the board's list that could be entered at the last attempt.
  std::size_t size() const;
  /// Samples the next namespace in turn. max_weight: see ListenerSet::end_sample().
  void sample_next(Duration max_weight);
  /// Takes one more sample of each and ends its interval. A namespace that cannot be entered is
  /// unread; one that is gone has one more harvest, of what the samples saw.
  std::vector<NamespaceHarvest> harvest(Duration max_weight, EventReading *events,
                                        std::vector<Fault> &faults);
  /// See NamespaceSampler; for present and future namespaces.
  void ask_events(EventQuestions events);
  void ask_frees(ListenerSet::FreesOf frees_of);
  /// See NamespaceSampler; for all namespaces, as they were at their last sample.
  void pass_rest(std::chrono::steady_clock::time_point now);
  bool is_busy(Duration stuck_after) const;
  /// See NamespaceSampler; for those that could be entered.
  void add_net_cookies(std::set<std::uint64_t> &net_cookies) const;

private:
  /// As of the last attempt to enter it.
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
  /// The list taken over; nullptr if none was.
  std::shared_ptr<const SurveyBoard::Namespaces> list_;
  std::optional<NetNamespaceSwitch> switch_;
  ListenerRooms rooms_ = ListenerRooms::of_all_others();
  std::vector<Entry> entries_;
  std::size_t next_ = 0;
  EventQuestions events_;
  ListenerSet::FreesOf frees_of_;
};

} // namespace backlog
