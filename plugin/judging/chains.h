#pragma once

#include <cstddef>
#include <map>
#include <span>

namespace backlog {

/// A listener whose owner waits in the queue of another one. Both are positions in a table.
struct ListenerWait {
  std::size_t from = 0;
  std::size_t to = 0;
};

/// The place of a listener in a chain of such waits.
struct ChainPlace {
  std::size_t root = 0;     ///< the last listener, whose owner waits for none
  std::size_t distance = 0; ///< waits from here to there
};

/// Returns the place of each listener that waits. A listener whose waits lead into a circle has
/// none: a circle has no root. Of several waits of one listener the first counts.
std::map<std::size_t, ChainPlace> find_chains(std::span<const ListenerWait> waits);

} // namespace backlog
