#pragma once

#include "function_ref.h"

#include <cstddef>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace backlog {

/// Gives the names in <Watch> blocks to listeners. One listener gets such a name and keeps it until
/// it is gone; none does if the address of another listener produces it.
class WatchNames {
public:
  /// A listener of an interval.
  struct Listener {
    std::string_view name;            ///< by its address
    std::optional<std::string> given; ///< Name of its Watch blocks
  };
  struct Given {
    std::vector<std::size_t> positions; ///< listeners that get the name of their Watch blocks
    std::vector<std::string> notices;   ///< names that nobody or not everybody gets
  };

  /// is_unread: whether a listener could not be read, and so keeps its name.
  Given give(std::span<const Listener> listeners,
             FunctionRef<bool(const std::string &name)> is_unread);
  /// Whether the listener was the last to have the name.
  bool has(const std::string &given, const std::string &name) const;

private:
  std::map<std::string, std::string> holders_; ///< listeners by the name given to them
};

} // namespace backlog
