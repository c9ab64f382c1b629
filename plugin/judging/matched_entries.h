#pragma once

#include "config.h"

#include <memory>
#include <string>
#include <vector>

namespace backlog {

/// Remembers which Listener and <Watch> entries of the configuration have matched a listener.
class MatchedEntries {
public:
  explicit MatchedEntries(std::shared_ptr<const Config> config);

  /// A listener is there. watch: from its Watch blocks.
  void see(const ListenerView &listener, const WatchFacts &watch);
  /// Returns a notice for each entry that has matched nothing and may be a mistake. The notices are
  /// due once; later calls return none.
  std::vector<std::string> take_unmatched();

private:
  std::shared_ptr<const Config> config_;
  std::vector<bool> watches_;
  std::vector<bool> listeners_;
  bool taken_ = false;
};

} // namespace backlog
