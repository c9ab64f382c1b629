#pragma once

#include "function_ref.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace backlog {

/// One listener of an interval, as far as its place among the series is concerned.
struct RosterCandidate {
  const std::string *name = nullptr;
  bool eligible = false; ///< has something to show; a place once given is kept without it
  bool urgent = false;   ///< goes before the others: named by the configuration
};

/// Which listeners have series of their own: at most so many, the urgent ones first, then by
/// name those of the first interval, then in order of appearance; a place is kept until its
/// listener is gone, so that the choice does not change from interval to interval.
class Roster {
public:
  using IsUnread = FunctionRef<bool(const std::string &)>;

  /// For each candidate whether it has a place. Names are unique.
  /// @param is_unread  whether who is no candidate could not be read; otherwise it is gone
  std::vector<bool> update(const std::vector<RosterCandidate> &candidates, std::size_t places,
                           IsUnread is_unread);

  /// Whether the name was there in the interval before the last update() already.
  bool was_present(const std::string &name) const { return entries_.contains(name); }

private:
  struct Entry {
    std::uint64_t appeared = 0; ///< number of the interval
    std::uint64_t seen = 0;     ///< likewise, the last one
    bool placed = false;
  };

  void give_places(const std::vector<RosterCandidate> &candidates,
                   const std::vector<Entry *> &entries, std::size_t free);

  std::unordered_map<std::string, Entry> entries_;
  std::uint64_t interval_ = 0;
};

} // namespace backlog
