#pragma once

#include "function_ref.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace backlog {

/// One listener of an interval, as far as its slot among the series is concerned.
struct SeriesCandidate {
  const std::string *name = nullptr;
  bool eligible = false;    ///< has something to show; a slot once given is kept without it
  bool requested = false;   ///< goes before the others: named by the configuration
  bool in_trouble = false;  ///< has drops, or a state that is not ok
  bool counts_drops = true; ///< false: of a kind whose drops no counter tells
};

/// Which listeners have series of their own: at most so many, the requested ones first, then by
/// name those of the first interval, then in order of appearance; a slot is kept until its
/// listener is gone, so that the choice does not change from interval to interval.
///
/// A tenth more is for those in trouble that find no slot. Such an extra slot is kept, too, until
/// another in trouble needs it that goes before: requested ones, those that are in trouble still,
/// those that count drops, then who has it.
class SeriesQuota {
public:
  using IsUnread = FunctionRef<bool(const std::string &)>;

  /// For each candidate whether it has a slot. Names are unique.
  /// @param slots  but for the extra ones
  /// @param is_unread  whether who is no candidate could not be read; otherwise it is gone
  std::vector<bool> update(const std::vector<SeriesCandidate> &candidates, std::size_t slots,
                           IsUnread is_unread);

  /// Whether the name was there in the interval before the last update() already.
  bool was_present(const std::string &name) const { return entries_.contains(name); }

private:
  enum class Slot : std::uint8_t { none, regular, extra };
  struct Entry {
    std::uint64_t appeared = 0; ///< number of the interval
    std::uint64_t seen = 0;     ///< likewise, the last one
    Slot slot = Slot::none;
  };
  /// A candidate and what is known of it.
  struct Wish {
    const SeriesCandidate *candidate = nullptr;
    Entry *entry = nullptr;
  };

  std::size_t count(Slot slot) const;
  void give_slots(const std::vector<Wish> &wishes, std::size_t free);
  void give_extra_slots(const std::vector<Wish> &wishes, std::size_t slots);

  std::unordered_map<std::string, Entry> entries_;
  std::uint64_t interval_ = 0;
};

} // namespace backlog
