#pragma once

#include "function_ref.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace backlog {

/// One listener of an interval, as a candidate for a series.
struct SeriesCandidate {
  const std::string *name = nullptr;
  bool eligible = false;    ///< has something to show; a slot once given is kept without it
  bool requested = false;   ///< the configuration names it
  bool in_trouble = false;  ///< has drops, or a state other than ok
  bool counts_drops = true; ///< false if no counter shows its drops
};

/// Decides which listeners have series of their own. Requested ones come first, then those of the
/// first interval by name, then others in order of appearance. A slot is kept until its listener is
/// gone, so that the choice does not change from interval to interval.
///
/// A tenth more slots are for listeners in trouble that find no slot. They keep an extra slot until
/// another listener in trouble needs it and comes first: requested ones, those still in trouble,
/// those that count drops, then the present holder.
class SeriesQuota {
public:
  using IsUnread = FunctionRef<bool(const std::string &)>;

  /// Returns for each candidate whether it has a slot. Names are unique.
  /// without the extra ones
  /// whether a listener that is no candidate could not be read; otherwise it is gone
  std::vector<bool> update(const std::vector<SeriesCandidate> &candidates, std::size_t slots,
                           IsUnread is_unread);

  /// Whether the name was there before the interval of the last update().
  bool was_present(const std::string &name) const { return entries_.contains(name); }

private:
  enum class Slot : std::uint8_t { none, regular, extra };
  struct Entry {
    std::uint64_t appeared = 0; ///< number of the interval
    std::uint64_t seen = 0;     ///< number of the last interval that had it
    Slot slot = Slot::none;
  };
  /// A candidate and what is known of it.
  struct Contender {
    const SeriesCandidate *candidate = nullptr;
    Entry *entry = nullptr;
  };

  std::size_t count(Slot slot) const;
  void give_slots(const std::vector<Contender> &contenders, std::size_t free);
  void give_extra_slots(const std::vector<Contender> &contenders, std::size_t slots);

  std::unordered_map<std::string, Entry> entries_;
  std::uint64_t interval_ = 0;
};

} // namespace backlog
