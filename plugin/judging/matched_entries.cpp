#include "matched_entries.h"

#include <utility>

namespace backlog {

MatchedEntries::MatchedEntries(std::shared_ptr<const Config> config)
    : config_(std::move(config)), watches_(config_->watches.size()),
      listeners_(config_->listeners.entries().size()) {}

void MatchedEntries::see(const ListenerView &listener, const WatchFacts &watch) {
  if (taken_)
    return;
  for (const std::size_t i : watch.watches)
    watches_[i] = true;
  ListenerView shown = listener;
  shown.given_name = watch.name ? std::string_view(*watch.name) : "";
  const std::vector<ListenerEntry> &entries = config_->listeners.entries();
  for (std::size_t i = 0; i < entries.size(); ++i)
    if (!listeners_[i] && entries[i].matches(shown))
      listeners_[i] = true;
}

std::vector<std::string> MatchedEntries::take_unmatched() {
  std::vector<std::string> notices;
  if (std::exchange(taken_, true))
    return notices;
  const auto add = [&](const std::string &entry) {
    notices.push_back(entry + " has matched no listener so far");
  };
  for (std::size_t i = 0; i < listeners_.size(); ++i)
    if (!listeners_[i])
      add("option Listener: \"" + config_->listeners.entries()[i].text() + "\"");
  for (std::size_t i = 0; i < watches_.size(); ++i)
    if (!watches_[i])
      add("<Watch \"" + config_->watches[i].entry.text() + "\">");
  return notices;
}

} // namespace backlog
