#include "accept_proof.h"

#include <algorithm>
#include <array>
#include <limits>

namespace backlog {

namespace {

using Duration = AcceptFacts::Duration;

constexpr Duration forever = Duration::max();
// Ages are in ticks of the kernel's clock, which are 10 ms at most.
constexpr std::chrono::milliseconds age_error{20};

/// The longest time that the queue can have been untouched if `length` connections waited
/// throughout.
Duration longest_untouched(std::uint64_t length, const TcpWaits &waits) {
  if (length <= waits.invisible)
    return forever;
  const std::uint64_t visible = length - waits.invisible;
  if (visible > waits.ages.size())
    return Duration(0);
  return waits.ages[visible - 1] + age_error;
}

/// A queue's length at a moment since which no sample has seen it shrink.
struct KnownLength {
  Duration ago;
  std::uint64_t length;
};

/// known: the latest first.
Duration none_accepted_for(std::span<const KnownLength> known, const TcpWaits &waits) {
  Duration result{0};
  for (const KnownLength &moment : known) {
    const Duration untouched = std::min(moment.ago, longest_untouched(moment.length, waits));
    result = std::max(result, untouched);
    if (untouched < moment.ago)
      break;
  }
  return result;
}

/// Treats all members that have not been seen to shrink for `long_enough` as one queue.
Duration none_accepted_for(const TcpQueue &queue, Duration long_enough) {
  KnownLength begin{.ago = forever, .length = 0};
  KnownLength interval_begin{.ago = queue.measured, .length = 0};
  for (const WaitingMember &member : queue.members) {
    if (member.not_shrinking_for < long_enough)
      continue;
    begin.ago = std::min(begin.ago, member.not_shrinking_for);
    begin.length += member.not_shrinking_from;
    interval_begin.length += member.length_before;
  }
  if (begin.length == 0)
    return Duration(0);
  if (interval_begin.ago >= begin.ago || interval_begin.length == 0)
    return none_accepted_for(std::array{begin}, *queue.waits);
  return none_accepted_for(std::array{interval_begin, begin}, *queue.waits);
}

} // namespace

AcceptFacts tcp_accept_facts(const TcpQueue &queue, Duration stalled_after) {
  AcceptFacts facts;
  if (queue.members.empty() || queue.waits == nullptr)
    return facts;
  if (!queue.waits->ages.empty())
    facts.oldest_wait = queue.waits->ages.front();
  Duration none_for = queue.oldest_unmoved_for;
  for (const Duration long_enough : {stalled_after, stalled_after / 2, Duration(0)})
    none_for = std::max(none_for, none_accepted_for(queue, long_enough));
  for (const WaitingMember &member : queue.members)
    if (member.not_shrinking_from <= queue.waits->invisible)
      none_for = std::max(none_for, member.not_shrinking_for);
  facts.none_accepted_for = none_for;
  // Where all who wait have come since the interval ended, it was perhaps then that it was drained.
  const bool some_waited_before =
      !queue.waits->ages.empty() && queue.waits->ages.front() > Duration(0);
  facts.accepted =
      some_waited_before &&
      std::all_of(queue.members.begin(), queue.members.end(), [&](const WaitingMember &member) {
        return none_for < member.not_shrinking_for / 2;
      });
  return facts;
}

AcceptFacts unix_accept_facts(std::span<const WaitingMember> members,
                              const std::unordered_map<std::uint64_t, UnixWaits> &waits) {
  AcceptFacts facts;
  for (const WaitingMember &member : members) {
    const auto found = waits.find(member.cookie);
    if (found == waits.end())
      continue;
    facts.none_accepted_for =
        std::max(facts.none_accepted_for.value_or(Duration(0)),
                 std::min(member.not_shrinking_for, found->second.none_accepted_for));
    facts.accepted = facts.accepted || found->second.accepted;
    if (found->second.oldest)
      facts.oldest_wait = std::max(facts.oldest_wait.value_or(Duration(0)), *found->second.oldest);
  }
  return facts;
}

void StallFound::note_look(const AcceptFacts &facts, Duration stalled_after, std::uint64_t length,
                           TimePoint as_of) {
  facts_.reset();
  if (std::max(facts.none_accepted_for.value_or(Duration(0)),
               facts.oldest_wait.value_or(Duration(0))) < stalled_after)
    return;
  facts_ = facts;
  length_ = length;
  accepted_ = 0;
  as_of_ = as_of;
}

AcceptFacts StallFound::without_look(const UnlookedQueue &queue, TimePoint now) {
  if (!facts_)
    return {};
  accepted_ += queue.accepted.value_or(0);
  const Duration since = now - as_of_;
  const bool all_accepted = queue.members == 1 && accepted_ >= length_;
  if (all_accepted || queue.not_empty_for < since || is_drained(queue.length, length_)) {
    facts_.reset();
    return {};
  }
  if (queue.not_shrinking_for < since || (queue.members == 1 && accepted_ > 0))
    facts_->none_accepted_for.reset();
  return *facts_;
}

} // namespace backlog
