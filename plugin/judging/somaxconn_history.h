#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <utility>

namespace backlog {

/// The values that net.core.somaxconn of a net namespace has had, one look an interval.
class SomaxconnHistory {
public:
  /// interval: its number; call it in ascending order. Forgets the oldest of many changes.
  void see(std::uint64_t interval, std::int64_t value) {
    if (!changes_.empty() && changes_.back().second == value)
      return;
    changes_.emplace_back(interval, value);
    if (changes_.size() > most_changes)
      changes_.pop_front();
  }
  /// What a listen() in that interval was limited to; empty if it came before the first look. Of an
  /// interval with a change it is the new value, because people change it and then restart.
  std::optional<std::int64_t> at_listen(std::optional<std::uint64_t> interval) const {
    if (!interval || changes_.empty() || *interval <= changes_.front().first)
      return std::nullopt;
    std::optional<std::int64_t> value;
    for (const auto &[since, changed] : changes_)
      if (since <= *interval)
        value = changed;
    return value;
  }
  std::optional<std::int64_t> first() const {
    return changes_.empty() ? std::nullopt : std::optional(changes_.front().second);
  }

private:
  static constexpr std::size_t most_changes = 16;

  std::deque<std::pair<std::uint64_t, std::int64_t>> changes_; ///< interval and value
};

} // namespace backlog
