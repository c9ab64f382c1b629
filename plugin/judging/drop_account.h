#pragma once

#include <cstdint>
#include <optional>

namespace backlog {

/// Where the drops of a net namespace have gone, kept outside the thread that hands them out: what
/// listeners with a series have + unreported() + unattributed() is what ListenDrops has risen by
/// since the first interval began. Neither of the two ever falls.
class DropAccount {
public:
  /// One interval, in segments.
  struct Interval {
    std::optional<std::uint64_t> listen_drops; ///< the kernel's counter at its end; nullopt: unread
    std::uint64_t counted = 0;                 ///< what the sampler saw the counter rise by
    std::uint64_t attributed = 0;              ///< of that, to listeners
  };

  /// Returns how many segments were dropped. Where the counter has risen by more than the sampler
  /// has seen since the last reading, another sampler has begun anew meanwhile: nobody knows whose
  /// these were.
  std::uint64_t add(const Interval &interval) noexcept;
  /// Of those attributed: to listeners without a series.
  void add_unreported(std::uint64_t drops) noexcept { unreported_ += drops; }
  /// The counter is another's from here on, and begins with the next interval.
  void begin_anew() noexcept;

  std::uint64_t unattributed() const { return unattributed_; }
  std::uint64_t unreported() const { return unreported_; }

private:
  std::optional<std::uint64_t> last_; ///< ListenDrops when it was last read
  std::uint64_t counted_ = 0;         ///< since then
  std::uint64_t unattributed_ = 0;
  std::uint64_t unreported_ = 0;
};

} // namespace backlog
