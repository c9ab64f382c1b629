#pragma once

#include <cstdint>
#include <optional>

namespace backlog {

/// Accounts for a net namespace's drops, outside the thread that attributes them. Drops of
/// listeners with a series + unreported() + unattributed() equal the rise of ListenDrops since the
/// first interval began. Neither of the two ever falls.
class DropAccount {
public:
  /// One interval, in segments.
  struct Interval {
    /// The kernel's counter at its end; nullopt if unread.
    std::optional<std::uint64_t> listen_drops;
    std::uint64_t counted = 0;    ///< rise of the counter that the sampler saw
    std::uint64_t attributed = 0; ///< the part of counted that went to listeners
  };

  /// Returns how many segments were dropped. If the counter rose by more than the sampler saw since
  /// the last reading, a new sampler has begun meanwhile, and the difference is unattributed.
  std::uint64_t add(const Interval &interval) noexcept;
  /// Counts attributed drops of listeners without a series.
  void add_unreported(std::uint64_t drops) noexcept { unreported_ += drops; }
  /// From here on the counter is another one; it starts with the next interval.
  void begin_anew() noexcept;

  std::uint64_t unattributed() const { return unattributed_; }
  std::uint64_t unreported() const { return unreported_; }

private:
  std::optional<std::uint64_t> last_; ///< ListenDrops at the last reading
  std::uint64_t counted_ = 0;         ///< since then
  std::uint64_t unattributed_ = 0;
  std::uint64_t unreported_ = 0;
};

} // namespace backlog
