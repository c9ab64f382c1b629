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
  bool eligible = false;    ///< has something to show; a place once given is kept without it
  bool urgent = false;      ///< goes before the others: named by the configuration
  bool in_trouble = false;  ///< has drops, or a state that is not ok
  bool counts_drops = true; ///< false: of a kind whose drops no counter tells
};

/// Which listeners have series of their own: at most so many, the urgent ones first, then by
/// name those of the first interval, then in order of appearance; a place is kept until its
/// listener is gone, so that the choice does not change from interval to interval.
///
/// A tenth more is for those in trouble that find no place. Such an extra place is kept, too, until
/// another in trouble needs it that goes before: urgent ones, those that are in trouble still,
/// those that count drops, then who has it.
class Roster {
public:
  using IsUnread = FunctionRef<bool(const std::string &)>;

  /// For each candidate whether it has a place. Names are unique.
  /// @param places  but for the extra ones
  /// @param is_unread  whether who is no candidate could not be read; otherwise it is gone
  std::vector<bool> update(const std::vector<RosterCandidate> &candidates, std::size_t places,
                           IsUnread is_unread);

  /// Whether the name was there in the interval before the last update() already.
  bool was_present(const std::string &name) const { return entries_.contains(name); }

private:
  enum class Place : std::uint8_t { none, regular, extra };
  struct Entry {
    std::uint64_t appeared = 0; ///< number of the interval
    std::uint64_t seen = 0;     ///< likewise, the last one
    Place place = Place::none;
  };
  /// A candidate and what is known of it.
  struct Wish {
    const RosterCandidate *candidate = nullptr;
    Entry *entry = nullptr;
  };

  std::size_t count(Place place) const;
  void give_places(const std::vector<Wish> &wishes, std::size_t free);
  void give_extra_places(const std::vector<Wish> &wishes, std::size_t places);

  std::unordered_map<std::string, Entry> entries_;
  std::uint64_t interval_ = 0;
};

} // namespace backlog
