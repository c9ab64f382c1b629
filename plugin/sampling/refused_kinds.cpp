#include "refused_kinds.h"

#include <algorithm>
#include <utility>

namespace backlog {

namespace {

constexpr std::chrono::milliseconds longest_delay{25};
constexpr std::uint64_t few_share = 20; // one in so many

std::uint64_t less(std::uint64_t from, std::uint64_t taken) { return from - std::min(from, taken); }

} // namespace

RefusedClients::Segments split_refused(const RefusedSums &sums) {
  const std::uint64_t freed = less(less(sums.drops, sums.deferred), sums.overflows);
  const std::uint64_t acks = std::min(freed, sums.overflows);
  const std::uint64_t found_room =
      std::min(sums.cookies, less(sums.added, less(sums.limit, sums.deferred)));
  const std::uint64_t cookies = std::min(sums.cookies - found_room, sums.overflows - acks);
  return {.syns = sums.overflows - acks - cookies,
          .final_acks = 0,
          .repeated = 0,
          .acks = acks + cookies};
}

bool are_syns(const RefusedSums &sums) {
  const RefusedClients::Segments segments = split_refused(sums);
  return few_share * segments.acks <= segments.syns + segments.acks;
}

void RefusedKinds::add(const RefusedSums &sums, std::optional<std::uint64_t> syns_again,
                       TimePoint before, bool has_refused) {
  sums_.drops += sums.drops;
  sums_.overflows += sums.overflows;
  sums_.deferred += sums.deferred;
  sums_.cookies += sums.cookies;
  sums_.added = std::max(sums_.added, sums.added);
  sums_.limit = sums.limit;
  if (!has_refused)
    return;
  if (!before_) {
    before_ = before;
    syns_again_ = syns_again;
  } else if (syns_again_ && syns_again) {
    *syns_again_ += *syns_again;
  } else {
    syns_again_.reset();
  }
}

bool RefusedKinds::is_due(TimePoint now) const {
  return before_ && now - *before_ >= longest_delay;
}

std::optional<RefusedKinds::Split> RefusedKinds::take() {
  if (!before_)
    return std::nullopt;
  const RefusedClients::Segments all = split_refused(sums_);
  const Split more{.segments = {.syns = less(all.syns, told_.syns),
                                .final_acks = 0,
                                .repeated = 0,
                                .acks = less(all.acks, told_.acks)},
                   .syns_again = syns_again_,
                   .before = *std::exchange(before_, std::nullopt)};
  told_.syns += more.segments.syns;
  told_.acks += more.segments.acks;
  return more;
}

void RefusedKinds::end_burst() {
  sums_ = {};
  told_ = {};
}

} // namespace backlog
