#include "watch_names.h"

#include <algorithm>
#include <unordered_set>

namespace backlog {

WatchNames::Given WatchNames::give(std::span<const Listener> listeners,
                                   FunctionRef<bool(const std::string &name)> is_unread) {
  Given result;
  std::map<std::string, std::vector<std::size_t>> wanted; // positions by the name given to them
  for (std::size_t i = 0; i < listeners.size(); ++i)
    if (listeners[i].given && *listeners[i].given != listeners[i].name)
      wanted[*listeners[i].given].push_back(i);
  if (wanted.empty())
    return result;
  std::unordered_set<std::string_view> own;
  for (const Listener &listener : listeners)
    own.insert(listener.name);
  const auto name_of = [&](std::size_t position) { return std::string(listeners[position].name); };
  for (const auto &[name, positions] : wanted) {
    std::string &holder = holders_[name];
    if (own.contains(name)) {
      holder.clear();
      result.notices.push_back("<Watch> cannot give " + name_of(positions[0]) + " the name " +
                               name + ": another listener has it by its address");
      continue;
    }
    const auto holds = [&](std::size_t position) { return listeners[position].name == holder; };
    const bool held = is_unread(holder) || std::any_of(positions.begin(), positions.end(), holds);
    if (!held)
      holder = positions.size() == 1 ? name_of(positions.front()) : "";
    std::copy_if(positions.begin(), positions.end(), std::back_inserter(result.positions), holds);
    if (positions.size() > 1)
      result.notices.push_back("<Watch> gives the name " + name + " to " + name_of(positions[0]) +
                               " and " + name_of(positions[1]) + ": at most one of them gets it");
  }
  return result;
}

bool WatchNames::has(const std::string &given, const std::string &name) const {
  const auto holder = holders_.find(given);
  return holder != holders_.end() && holder->second == name;
}

} // namespace backlog
