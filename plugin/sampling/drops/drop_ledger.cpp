#include "drop_ledger.h"

namespace backlog {

namespace {

Fullness fullness_of(const DropsMoved &moved) {
  if (moved.full)
    return Fullness::full;
  return moved.half_full ? Fullness::half_full : Fullness::moved;
}

} // namespace

bool DropLedger::wants_counters(bool any_moved, bool members_changed) const {
  return any_moved || members_changed || !last_ || unread_ || has_carried();
}

bool DropLedger::has_carried() const {
  return drops_.has_carried_amount() || overflows_.has_carried_amount();
}

void DropLedger::sample(std::span<const DropsMoved> moved, bool members_changed,
                        std::optional<ListenCounters> counters, const Leaving &leaving) {
  if (!last_) {
    last_ = counters;
    return;
  }
  const bool was_unread = unread_;
  unread_ = !counters && wants_counters(!moved.empty(), members_changed);
  const bool claimants_known = !members_changed && !unread_ && !was_unread;
  const ListenCounters risen = counters ? advance(*counters) : ListenCounters{};

  for (const DropsMoved &socket : moved)
    drops_.claim({socket.listener, fullness_of(socket), socket.drops});
  drops_.end_sample(risen.drops, claimants_known, leaving, false, granted_drops_);
  claim_overflows();
  overflows_.end_sample(risen.overflows, claimants_known,
                        {.gone = {}, .some_missing = leaving.some_missing}, !leaving.gone.empty(),
                        granted_overflows_);
  granted_overflows_.clear();
}

ListenCounters DropLedger::advance(const ListenCounters &counters) {
  const ListenCounters before = *last_;
  last_ = counters;
  if (counters.drops < before.drops || counters.overflows < before.overflows)
    return {};
  counted_ += counters.drops - before.drops;
  return {counters.drops - before.drops, counters.overflows - before.overflows};
}

void DropLedger::claim_overflows() {
  for (const Claim &drops : granted_drops_)
    overflows_.claim(drops);
  granted_drops_.clear();
}

void DropLedger::settle(FunctionRef<bool(std::uint32_t)> was_full) {
  drops_.settle(was_full, true, granted_drops_);
  claim_overflows();
  overflows_.settle(was_full, false, granted_overflows_);
  granted_overflows_.clear();
}

ListenCounters DropLedger::attributed(std::uint32_t listener) const {
  return {drops_.attributed(listener), overflows_.attributed(listener)};
}

ListenCounters DropLedger::unattributed() const {
  return {drops_.unattributed(), overflows_.unattributed()};
}

std::uint64_t DropLedger::take_unlisted_drops() { return drops_.take_unlisted(); }

void DropLedger::clear_interval() {
  drops_.clear_attributed();
  overflows_.clear_attributed();
}

void DropLedger::forget(std::uint32_t listener) {
  drops_.forget(listener);
  overflows_.forget(listener);
}

} // namespace backlog
