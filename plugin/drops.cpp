#include "drops.h"

#include <algorithm>
#include <cstddef>
#include <tuple>
#include <utility>

namespace backlog {

namespace {

Suspicion suspicion_of(const DropsMoved &moved) {
  if (moved.full)
    return Suspicion::full;
  return moved.half_full ? Suspicion::half_full : Suspicion::moved;
}

} // namespace

void CounterSplit::claim(const Claim &claim) {
  if (claim.listener >= accounts_.size())
    accounts_.resize(claim.listener + std::size_t{1});
  accounts_[claim.listener].claimed += static_cast<double>(claim.amount);
  claims_.push_back(claim);
}

void CounterSplit::end_sample(std::uint64_t amount, bool claimants_known,
                              std::vector<Claim> &granted) {
  amount_ = amount;
  const bool single =
      claimants_known && (carried_claimants_known_ || carried_amount_ == 0) && single_claimant();
  match(Suspicion::full, granted);
  match(Suspicion::half_full, granted);
  if (single)
    match(Suspicion::moved, granted);

  left_ += carried_amount_;
  carried_amount_ = amount_;
  carried_claimants_known_ = claimants_known;
  for (const Claim &claim : carried_claims_)
    accounts_[claim.listener].unmatched += claim.amount;
  learn_claims();
  std::swap(carried_claims_, claims_);
  claims_.clear();
  std::erase_if(carried_claims_, [](const Claim &claim) { return claim.amount == 0; });
}

bool CounterSplit::single_claimant() const {
  std::optional<std::uint32_t> only;
  for (const auto *claims : {&claims_, &carried_claims_}) {
    for (const Claim &claim : *claims) {
      if (only.value_or(claim.listener) != claim.listener)
        return false;
      only = claim.listener;
    }
  }
  return only.has_value();
}

// What is carried of both sides has met already.
void CounterSplit::match(Suspicion suspicion, std::vector<Claim> &granted) {
  gather(claims_, suspicion);
  const std::uint64_t shared = share(carried_amount_ + amount_, granted);
  const std::uint64_t of_carried = std::min(shared, carried_amount_);
  carried_amount_ -= of_carried;
  amount_ -= shared - of_carried;

  gather(carried_claims_, suspicion);
  amount_ -= share(amount_, granted);
}

void CounterSplit::gather(std::vector<Claim> &claims, Suspicion suspicion) {
  shares_.clear();
  for (Claim &claim : claims)
    if (claim.suspicion == suspicion && claim.amount > 0)
      shares_.push_back({.claim = &claim});
}

// Only when the sample is over: counted against itself, a larger claim would be the less likely.
void CounterSplit::learn_claims() {
  for (const Claim &claim : claims_) {
    Account &account = accounts_[claim.listener];
    account.recently_claimed += std::exchange(account.claimed, 0);
  }
}

/// Returns how much was handed out.
std::uint64_t CounterSplit::share(std::uint64_t total, std::vector<Claim> &granted) {
  if (total == 0)
    return 0;
  std::uint64_t claimed = 0;
  for (const Share &share : shares_)
    claimed += share.claim->amount;
  if (total < claimed)
    return total - share_by_likelihood(total, granted);
  for (const Share &share : shares_)
    grant(*share.claim, share.claim->amount, granted);
  return claimed;
}

/// total is less than the sum of the claims. Returns what is left of it.
std::uint64_t CounterSplit::share_by_likelihood(std::uint64_t total, std::vector<Claim> &granted) {
  for (Share &share : shares_) {
    const Account &account = accounts_[share.claim->listener];
    share.likelihood =
        std::min(1.0, (account.recently_granted + 1) / (account.recently_claimed + 1));
  }
  std::sort(shares_.begin(), shares_.end(), [](const Share &a, const Share &b) {
    return std::tuple(-a.likelihood, a.claim->listener, a.claim->amount) <
           std::tuple(-b.likelihood, b.claim->listener, b.claim->amount);
  });
  double weight = 0;
  for (auto share = shares_.rbegin(); share != shares_.rend(); ++share) {
    weight += share->likelihood * static_cast<double>(share->claim->amount);
    share->weight_from_here = weight;
  }
  // In proportion, the likeliest could have more than they claim.
  std::uint64_t left = total;
  std::size_t met = 0;
  while (met + 1 < shares_.size() &&
         static_cast<double>(left) * shares_[met].likelihood >= shares_[met].weight_from_here) {
    Claim &claim = *shares_[met++].claim;
    const std::uint64_t amount = std::min(claim.amount, left);
    grant(claim, amount, granted);
    left -= amount;
  }
  return share_in_proportion(std::span(shares_).subspan(met), left, granted);
}

/// By largest remainder, the remainders of earlier samples included: of equal claims, no one is
/// rounded up for good. Returns what is left of total.
std::uint64_t CounterSplit::share_in_proportion(std::span<Share> shares, std::uint64_t total,
                                                std::vector<Claim> &granted) {
  const double unit = static_cast<double>(total) / shares.front().weight_from_here;
  std::uint64_t left = total;
  for (Share &share : shares) {
    Claim &claim = *share.claim;
    const double exact = unit * share.likelihood * static_cast<double>(claim.amount);
    const std::uint64_t amount = std::min({static_cast<std::uint64_t>(exact), claim.amount, left});
    double &rounding = accounts_[claim.listener].rounding;
    rounding += exact - static_cast<double>(amount);
    grant(claim, amount, granted);
    left -= amount;
  }
  const auto rounded_up = static_cast<std::ptrdiff_t>(std::min<std::uint64_t>(left, shares.size()));
  std::nth_element(shares.begin(), shares.begin() + rounded_up, shares.end(),
                   [this](const Share &a, const Share &b) {
                     return std::tuple(-accounts_[a.claim->listener].rounding, a.claim->listener,
                                       a.claim->amount) <
                            std::tuple(-accounts_[b.claim->listener].rounding, b.claim->listener,
                                       b.claim->amount);
                   });
  for (const Share &share : shares.first(static_cast<std::size_t>(rounded_up))) {
    if (share.claim->amount == 0)
      continue;
    accounts_[share.claim->listener].rounding -= 1;
    grant(*share.claim, 1, granted);
    --left;
  }
  return left;
}

void CounterSplit::grant(Claim &claim, std::uint64_t amount, std::vector<Claim> &granted) {
  if (amount == 0)
    return;
  Account &account = accounts_[claim.listener];
  account.attributed += amount;
  account.recently_granted += static_cast<double>(amount);
  claim.amount -= amount;
  granted.push_back({claim.listener, claim.suspicion, amount});
}

void CounterSplit::settle(FunctionRef<bool(std::uint32_t)> was_full, std::vector<Claim> &granted) {
  left_ += carried_amount_;
  carried_amount_ = 0;
  learn_claims();
  for (auto *claims : {&claims_, &carried_claims_}) {
    for (const Claim &claim : *claims)
      accounts_[claim.listener].unmatched += claim.amount;
    claims->clear();
  }
  for (std::uint32_t listener = 0; listener < accounts_.size(); ++listener) {
    const std::uint64_t unmatched = std::exchange(accounts_[listener].unmatched, 0);
    if (unmatched > 0 && was_full(listener))
      claims_.push_back({listener, Suspicion::full, unmatched});
  }
  gather(claims_, Suspicion::full);
  unattributed_ += left_ - share(left_, granted);
  left_ = 0;
  claims_.clear();
  for (Account &account : accounts_) {
    account.recently_claimed /= 2;
    account.recently_granted /= 2;
  }
}

std::uint64_t CounterSplit::attributed(std::uint32_t listener) const {
  return listener < accounts_.size() ? accounts_[listener].attributed : 0;
}

void CounterSplit::clear_attributed() {
  for (Account &account : accounts_)
    account.attributed = 0;
}

void CounterSplit::forget(std::uint32_t listener) {
  if (listener < accounts_.size())
    accounts_[listener] = Account{};
}

bool DropLedger::wants_counters(bool any_moved, bool members_changed) const {
  return any_moved || members_changed || !last_ || unread_ || drops_.has_carried_amount() ||
         overflows_.has_carried_amount();
}

void DropLedger::sample(std::span<const DropsMoved> moved, bool members_changed,
                        std::optional<ListenCounters> counters) {
  if (!last_) {
    last_ = counters;
    return;
  }
  const bool claimants_known = !members_changed && !unread_;
  unread_ = !counters && wants_counters(!moved.empty(), members_changed);
  const ListenCounters risen = counters ? advance(*counters) : ListenCounters{};

  for (const DropsMoved &socket : moved)
    drops_.claim({socket.listener, suspicion_of(socket), socket.drops});
  drops_.end_sample(risen.drops, claimants_known, granted_drops_);
  claim_overflows();
  overflows_.end_sample(risen.overflows, claimants_known, granted_overflows_);
  granted_overflows_.clear();
}

ListenCounters DropLedger::advance(const ListenCounters &counters) {
  const ListenCounters before = *last_;
  last_ = counters;
  if (counters.drops < before.drops || counters.overflows < before.overflows)
    return {};
  return {counters.drops - before.drops, counters.overflows - before.overflows};
}

void DropLedger::claim_overflows() {
  for (const Claim &drops : granted_drops_)
    overflows_.claim(drops);
  granted_drops_.clear();
}

void DropLedger::settle(FunctionRef<bool(std::uint32_t)> was_full) {
  drops_.settle(was_full, granted_drops_);
  claim_overflows();
  overflows_.settle(was_full, granted_overflows_);
  granted_overflows_.clear();
}

ListenCounters DropLedger::attributed(std::uint32_t listener) const {
  return {drops_.attributed(listener), overflows_.attributed(listener)};
}

ListenCounters DropLedger::unattributed() const {
  return {drops_.unattributed(), overflows_.unattributed()};
}

void DropLedger::clear_interval() {
  drops_.clear_attributed();
  overflows_.clear_attributed();
}

void DropLedger::forget(std::uint32_t listener) {
  drops_.forget(listener);
  overflows_.forget(listener);
}

} // namespace backlog
