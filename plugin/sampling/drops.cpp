#include "drops.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <tuple>
#include <utility>

namespace backlog {

namespace {

// A likelihood of 0 or 1 would not change any more.
constexpr double least_likelihood = 0.005;
// The fit: how many claims, one at a time, tell as much as the prior does; how much of what it
// knows is left after a sample; and how many claims have as much variance from what changes from
// sample to sample as from being counted. By the recordings, of which none cares for a factor 2.
constexpr double prior_weight = 20;
constexpr double memory = 0.98;
constexpr double even_variance_claims = 20;

Suspicion suspicion_of(const DropsMoved &moved) {
  if (moved.full)
    return Suspicion::full;
  return moved.half_full ? Suspicion::half_full : Suspicion::moved;
}

bool is_near_full(const Claim &claim) { return claim.suspicion != Suspicion::moved; }

} // namespace

void ShareFit::claim(std::uint32_t listener, double amount, double prior) {
  Fitted *fitted = place_for(listener);
  if (fitted == nullptr) {
    not_fitted_ += amount * prior;
    return;
  }
  if (!fitted->listener) {
    fitted->listener = listener;
    fitted->share = prior;
  }
  fitted->prior = prior;
  fitted->claimed += amount;
}

/// Its own place, a free one, or that of the listener of which the least is known among those
/// that claim nothing now.
ShareFit::Fitted *ShareFit::place_for(std::uint32_t listener) {
  std::optional<std::size_t> least;
  for (std::size_t i = 0; i < most_listeners; ++i) {
    Fitted &fitted = fitted_[i];
    if (fitted.listener == listener)
      return &fitted;
    if (fitted.claimed == 0 && (!least || fitted.products[i] < fitted_[*least].products[*least]))
      least = i;
  }
  if (!least)
    return nullptr;
  clear(*least);
  return &fitted_[*least];
}

void ShareFit::end_sample(double amount) {
  take_in(std::max(0.0, amount - std::exchange(not_fitted_, 0)));
  fit();
}

void ShareFit::take_in(double amount) {
  double claimed = 0;
  for (const Fitted &fitted : fitted_)
    claimed += fitted.claimed;
  const double variance = claimed + claimed * claimed / even_variance_claims;
  for (std::size_t i = 0; i < most_listeners; ++i) {
    Fitted &fitted = fitted_[i];
    fitted.amount = memory * fitted.amount + fitted.claimed * amount / variance;
    for (std::size_t other = 0; other < most_listeners; ++other)
      fitted.products[other] =
          memory * fitted.products[other] + fitted.claimed * fitted_[other].claimed / variance;
  }
  for (Fitted &fitted : fitted_)
    fitted.claimed = 0;
}

// A step of Gauss and Seidel each sample: the sums hardly change from one to the next.
void ShareFit::fit() {
  for (std::size_t i = 0; i < most_listeners; ++i) {
    Fitted &fitted = fitted_[i];
    if (!fitted.listener)
      continue;
    double left = fitted.amount + prior_weight * fitted.prior;
    for (std::size_t other = 0; other < most_listeners; ++other)
      if (other != i)
        left -= fitted.products[other] * fitted_[other].share;
    fitted.share = std::clamp(left / (fitted.products[i] + prior_weight), 0.0, 1.0);
  }
}

std::optional<double> ShareFit::share(std::uint32_t listener) const {
  for (const Fitted &fitted : fitted_)
    if (fitted.listener == listener)
      return fitted.share;
  return std::nullopt;
}

void ShareFit::forget(std::uint32_t listener) {
  for (std::size_t i = 0; i < most_listeners; ++i)
    if (fitted_[i].listener == listener)
      clear(i);
}

void ShareFit::clear(std::size_t place) {
  fitted_[place] = Fitted{};
  for (Fitted &fitted : fitted_)
    fitted.products[place] = 0;
}

void CounterSplit::claim(const Claim &claim) {
  if (claim.listener >= accounts_.size())
    accounts_.resize(claim.listener + std::size_t{1});
  accounts_[claim.listener].claimed += static_cast<double>(claim.amount);
  claims_.push_back(claim);
}

void CounterSplit::end_sample(std::uint64_t amount, bool claimants_known, const Leaving &leaving,
                              bool may_claim_waiting, std::vector<Claim> &granted) {
  amount_ = amount;
  carried_before_ = waiting_amount_ + carried_amount_;
  const bool tells_shares = claimants_known && claim_shares();
  const bool single =
      claimants_known && (carried_claimants_known_ || carried_amount_ == 0) && single_claimant();
  match(true, may_claim_waiting, granted);
  if (single)
    match(false, may_claim_waiting, granted);

  leave_carried(leaving, granted);
  carried_amount_ = amount_;
  carried_claimants_known_ = claimants_known;
  for (const Claim &claim : carried_claims_)
    accounts_[claim.listener].unmatched += claim.amount;
  if (tells_shares)
    fit_.end_sample(static_cast<double>(amount));
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
void CounterSplit::match(bool near_full, bool may_claim_waiting, std::vector<Claim> &granted) {
  gather(claims_, near_full);
  const std::uint64_t waiting = may_claim_waiting ? waiting_amount_ : 0;
  std::uint64_t shared = share(waiting + carried_amount_ + amount_, granted);
  for (std::uint64_t *amount :
       {may_claim_waiting ? &waiting_amount_ : nullptr, &carried_amount_, &amount_}) {
    if (amount == nullptr)
      continue;
    const std::uint64_t part = std::min(shared, *amount);
    *amount -= part;
    shared -= part;
  }

  gather(carried_claims_, near_full);
  amount_ -= share(amount_, granted);
}

void CounterSplit::gather(std::vector<Claim> &claims, bool near_full) {
  shares_.clear();
  for (Claim &claim : claims)
    if (is_near_full(claim) == near_full && claim.amount > 0)
      shares_.push_back({.claim = &claim});
}

/// The share of its recent claims that was met.
double CounterSplit::experience(std::uint32_t listener) const {
  const Account &account = accounts_[listener];
  return std::min(1.0, (account.recently_granted + 1) / (account.recently_claimed + 1));
}

double CounterSplit::likelihood(const Claim &claim) const {
  double expected = fit_.share(claim.listener).value_or(experience(claim.listener));
  // What else moves the drops of a queue is likelier the emptier it is.
  if (claim.suspicion != Suspicion::full) {
    const Account &account = accounts_[claim.listener];
    expected = std::min(expected, (account.recently_granted + 1) / (account.recently_claimed + 2));
  }
  return std::clamp(expected, least_likelihood, 1 - least_likelihood);
}

/// Returns whether there are claims for the sample's amount to tell of.
bool CounterSplit::claim_shares() {
  bool any = false;
  for (const Claim &claim : claims_) {
    if (!is_near_full(claim))
      continue;
    any = true;
    fit_.claim(claim.listener, static_cast<double>(claim.amount), experience(claim.listener));
  }
  return any;
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
  if (total < claimed) {
    share_as_expected(static_cast<double>(total));
    return total - grant_rounded(total, granted);
  }
  for (const Share &share : shares_)
    grant(*share.claim, share.claim->amount, granted);
  return claimed;
}

/// total is less than the sum of the claims. What it is more or less than what is expected is
/// spread by the variances: a listener whose claims are all met has them met.
void CounterSplit::share_as_expected(double total) {
  double surplus = total;
  double variance = 0;
  for (Share &share : shares_) {
    const auto claimed = static_cast<double>(share.claim->amount);
    share.likelihood = likelihood(*share.claim);
    share.exact = share.likelihood * claimed;
    share.variance = share.exact * (1 - share.likelihood);
    surplus -= share.exact;
    variance += share.variance;
  }
  // Those that reach nothing, or all that they claim, do so before the others.
  const bool more = surplus > 0;
  std::sort(shares_.begin(), shares_.end(), [more](const Share &a, const Share &b) {
    return std::tuple(more ? -a.likelihood : a.likelihood, a.claim->listener, a.claim->amount) <
           std::tuple(more ? -b.likelihood : b.likelihood, b.claim->listener, b.claim->amount);
  });
  for (Share &share : shares_) {
    const auto claimed = static_cast<double>(share.claim->amount);
    const double part = variance > 0 ? surplus * share.variance / variance : surplus;
    const double exact = std::clamp(share.exact + part, 0.0, claimed);
    surplus -= exact - share.exact;
    variance -= share.variance;
    share.exact = exact;
  }
}

/// By largest remainder, the remainders of earlier samples included: of equal claims, no one is
/// rounded up for good. Returns what is left of total.
std::uint64_t CounterSplit::grant_rounded(std::uint64_t total, std::vector<Claim> &granted) {
  std::uint64_t left = total;
  for (Share &share : shares_) {
    Claim &claim = *share.claim;
    const std::uint64_t amount =
        std::min({static_cast<std::uint64_t>(share.exact), claim.amount, left});
    double &rounding = accounts_[claim.listener].rounding;
    rounding += share.exact - static_cast<double>(amount);
    grant(claim, amount, granted);
    left -= amount;
  }
  const auto rounded_up =
      static_cast<std::ptrdiff_t>(std::min<std::uint64_t>(left, shares_.size()));
  std::nth_element(shares_.begin(), shares_.begin() + rounded_up, shares_.end(),
                   [this](const Share &a, const Share &b) {
                     return std::tuple(-accounts_[a.claim->listener].rounding, a.claim->listener,
                                       a.claim->amount) <
                            std::tuple(-accounts_[b.claim->listener].rounding, b.claim->listener,
                                       b.claim->amount);
                   });
  for (const Share &share : std::span(shares_).first(static_cast<std::size_t>(rounded_up))) {
    if (share.claim->amount == 0)
      continue;
    accounts_[share.claim->listener].rounding -= 1;
    grant(*share.claim, 1, granted);
    --left;
  }
  return left;
}

/// Returns the most that they can have left behind.
std::uint64_t CounterSplit::remember_gone(std::span<const GoneSocket> gone) {
  std::uint64_t most = 0;
  bool any_full = false;
  for (const GoneSocket &socket : gone) {
    const bool had_drops =
        socket.listener < accounts_.size() && accounts_[socket.listener].recently_granted >= 1;
    if (!socket.full && !had_drops)
      continue;
    any_full = any_full || socket.full;
    if (had_drops)
      most += static_cast<std::uint64_t>(accounts_[socket.listener].recently_granted);
    const auto known = std::find_if(gone_.begin(), gone_.end(), [&](const GoneSocket &other) {
      return other.listener == socket.listener;
    });
    if (known == gone_.end())
      gone_.push_back(socket);
    else
      known->full = known->full || socket.full;
  }
  return any_full ? std::numeric_limits<std::uint64_t>::max() : most;
}

void CounterSplit::leave_carried(const Leaving &leaving, std::vector<Claim> &granted) {
  // Claims of a sample are met by what was carried before they are by its own amount, so that what
  // a socket left behind goes on from sample to sample while others have claims.
  const std::uint64_t left_behind = std::min(
      {carried_before_, waiting_amount_ + carried_amount_ + amount_, remember_gone(leaving.gone)});
  std::uint64_t given = give_to_gone(waiting_amount_ + carried_amount_, leaving.gone, granted);
  most_of_gone_ += left_behind - std::min(left_behind, given);
  for (std::uint64_t *amount : {&waiting_amount_, &carried_amount_}) {
    const std::uint64_t part = std::min(given, *amount);
    *amount -= part;
    given -= part;
  }
  left_ += std::exchange(waiting_amount_, 0);
  (leaving.some_missing ? waiting_amount_ : left_) += std::exchange(carried_amount_, 0);
}

/// Returns how much was handed out. Those that were full when they were last seen come first.
std::uint64_t CounterSplit::give_to_gone(std::uint64_t amount, std::span<const GoneSocket> gone,
                                         std::vector<Claim> &granted) {
  if (amount == 0)
    return 0;
  const bool any_full =
      std::any_of(gone.begin(), gone.end(), [](const GoneSocket &socket) { return socket.full; });
  claims_of_gone_.clear();
  double known = 0; // what they had lately, all together
  for (const GoneSocket &socket : gone) {
    if (socket.full != any_full)
      continue;
    if (socket.listener >= accounts_.size())
      accounts_.resize(socket.listener + std::size_t{1});
    known += accounts_[socket.listener].recently_granted + (any_full ? 1 : 0);
    claims_of_gone_.push_back({socket.listener, Suspicion::full, 0});
  }
  // What one socket had is no less likely another's of the same listener: shares, not claims.
  double left = any_full ? static_cast<double>(amount)
                         : std::min(static_cast<double>(amount), std::floor(known));
  std::uint64_t given = 0;
  for (Claim &claim : claims_of_gone_) {
    const double weight = accounts_[claim.listener].recently_granted + (any_full ? 1 : 0);
    const double part = known > 0 ? left * weight / known : 0;
    claim.amount = static_cast<std::uint64_t>(std::llround(part));
    claim.amount = std::min(claim.amount, static_cast<std::uint64_t>(left));
    left -= static_cast<double>(claim.amount);
    known -= weight;
    given += claim.amount;
  }
  for (Claim &claim : claims_of_gone_) {
    Account &account = accounts_[claim.listener];
    account.attributed += claim.amount;
    if (claim.amount > 0)
      granted.push_back(claim);
  }
  return given;
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

void CounterSplit::settle(FunctionRef<bool(std::uint32_t)> was_full, bool keep_claims,
                          std::vector<Claim> &granted) {
  amount_ = 0;
  leave_carried({}, granted);
  learn_claims();
  // Those of queues near full have met all that there is; what is left of them meets what comes.
  const auto can_be_met = [keep_claims](const Claim &claim) {
    return !keep_claims || !is_near_full(claim);
  };
  for (const Claim &claim : carried_claims_)
    if (can_be_met(claim))
      accounts_[claim.listener].unmatched += claim.amount;
  for (std::uint32_t listener = 0; listener < accounts_.size(); ++listener) {
    const std::uint64_t unmatched = accounts_[listener].unmatched;
    if (unmatched > 0 && was_full(listener))
      claims_.push_back({listener, Suspicion::full, unmatched});
  }
  gather(claims_, true);
  left_ -= share(left_, granted);
  for (const Claim &claim : claims_)
    accounts_[claim.listener].unmatched = claim.amount;
  claims_.clear();
  for (Claim &claim : carried_claims_) {
    if (!can_be_met(claim))
      continue;
    std::uint64_t &unmatched = accounts_[claim.listener].unmatched;
    claim.amount = keep_claims ? std::min(claim.amount, unmatched) : 0;
    unmatched -= claim.amount;
  }
  std::erase_if(carried_claims_, [](const Claim &claim) { return claim.amount == 0; });
  for (Account &account : accounts_)
    account.unmatched = 0;
  left_ -= give_to_gone(std::min(left_, std::exchange(most_of_gone_, 0)), gone_, granted);
  gone_.clear();
  unattributed_ += std::exchange(left_, 0);
  for (Account &account : accounts_) {
    account.recently_claimed /= 2;
    account.recently_granted /= 2;
  }
}

std::uint64_t CounterSplit::attributed(std::uint32_t listener) const {
  return listener < accounts_.size() ? accounts_[listener].attributed : 0;
}

std::uint64_t CounterSplit::told(std::uint32_t listener) const {
  return listener < accounts_.size() ? accounts_[listener].told : 0;
}

std::uint64_t CounterSplit::take_untold() {
  std::uint64_t untold = 0;
  for (Account &account : accounts_)
    untold += account.attributed - std::exchange(account.told, account.attributed);
  return untold;
}

void CounterSplit::clear_attributed() {
  for (Account &account : accounts_) {
    account.attributed = 0;
    account.told = 0;
  }
}

void CounterSplit::forget(std::uint32_t listener) {
  if (listener < accounts_.size())
    accounts_[listener] = Account{};
  std::erase_if(carried_claims_,
                [listener](const Claim &claim) { return claim.listener == listener; });
  std::erase_if(gone_,
                [listener](const GoneSocket &socket) { return socket.listener == listener; });
  fit_.forget(listener);
}

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
    drops_.claim({socket.listener, suspicion_of(socket), socket.drops});
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

std::uint64_t DropLedger::take_untold_drops() { return drops_.take_untold(); }

void DropLedger::clear_interval() {
  drops_.clear_attributed();
  overflows_.clear_attributed();
}

void DropLedger::forget(std::uint32_t listener) {
  drops_.forget(listener);
  overflows_.forget(listener);
}

} // namespace backlog
