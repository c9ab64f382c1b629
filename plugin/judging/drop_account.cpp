#include "drop_account.h"

#include <algorithm>

namespace backlog {

std::uint64_t DropAccount::add(const Interval &interval) noexcept {
  std::uint64_t missed = 0;
  counted_ += interval.counted;
  if (interval.listen_drops) {
    if (last_ && *interval.listen_drops > *last_)
      missed =
          *interval.listen_drops - *last_ - std::min(*interval.listen_drops - *last_, counted_);
    last_ = interval.listen_drops;
    counted_ = 0;
  }
  unattributed_ += interval.counted - std::min(interval.counted, interval.attributed) + missed;
  return interval.counted + missed;
}

void DropAccount::begin_anew() noexcept { last_.reset(); }

} // namespace backlog
