#pragma once

#include "chains.h"
#include "config.h"
#include "harvest.h"
#include "survey_view.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace backlog {

/// In which queues the processes of other listeners wait in an interval.
class QueueWaits {
public:
  /// A queue in which processes of another listener wait.
  struct WaitedAt {
    std::string name;  ///< before a Watch block renamed it
    std::string shown; ///< as messages have it
    std::uint64_t count = 0;
  };

  /// Adds the queues of a net namespace; is_own: it is collectd's.
  void add(const NamespaceHarvest &harvest, bool is_own, const SurveyView &view,
           const Config &config);
  /// Returns the queue in which most processes of the listener wait, nullptr if they wait in none.
  const WaitedAt *of(const ListenerInterval &listener) const;

private:
  void add(const FamilyHarvest &kind, Family family, bool is_own, const SurveyView &view,
           const Config &config);

  std::unordered_map<std::uint64_t, WaitedAt> by_cookie_; ///< of a socket of the one that waits
};

} // namespace backlog
