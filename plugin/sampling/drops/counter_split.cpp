#include "counter_split.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <optional>
#include <tuple>
#include <utility>

namespace backlog {

namespace {

/// The least and, from 1, the most that likelihood() gives. With 0 or 1 the variance would be 0,
/// and no surplus would ever move the share again.
constexpr double least_likelihood = 0.005;

/// From so many segments on, claims that are left are as many as what is left only if they are it:
/// the noise of one listener is seldom just as much as the drops of another. With 8 the worst
/// recording of check_drops has 0.31 % at the wrong listener, with 16 no more than before.
constexpr std::uint64_t least_exact = 16;

/// Fewer segments are it, too, if each of these listeners was granted this share of its recent
/// claims. From 0.5 to 1 the recordings have no more drops at the wrong listener than without.
constexpr double trusted_experience = 0.75;

std::uint64_t sum_of(const std::vector<Claim> &claims) {
  std::uint64_t sum = 0;
  for (const Claim &claim : claims)
    sum += claim.amount;
  return sum;
}

bool is_near_full(const Claim &claim) { return claim.fullness != Fullness::moved; }

} // namespace

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
  const bool shows_shares = claimants_known && claim_shares();
  const bool carried_known = carried_claimants_known_ || carried_amount_ == 0;
  const bool single = claimants_known && carried_known && single_claimant();
  match(true, may_claim_waiting, granted);
  if (single_waits_)
    meet_carried(granted);
  const std::uint64_t left = (may_claim_waiting ? waiting_amount_ : 0) + carried_amount_ + amount_;
  const std::uint64_t claimed = sum_of(claims_);
  const bool exact = left == claimed && left >= least_exact;
  const bool trusted = are_trusted(claims_, false) && are_trusted(carried_claims_, true);
  const bool few_exact = trusted && carried_known && left == claimed + sum_of(carried_claims_);
  single_waits_ = single && !exact && amount_ > 0 && !trusted;
  if ((single && !single_waits_) || exact || few_exact)
    match(false, may_claim_waiting, granted);

  leave_carried(leaving, granted);
  carried_amount_ = amount_;
  carried_claimants_known_ = claimants_known;
  for (const Claim &claim : carried_claims_)
    accounts_[claim.listener].unmatched += claim.amount;
  if (shows_shares)
    fit_.end_sample(static_cast<double>(amount));
  learn_claims();
  std::swap(carried_claims_, claims_);
  claims_.clear();
  std::erase_if(carried_claims_, [](const Claim &claim) { return claim.amount == 0; });
}

/// Grants what is still carried to the claims of the same sample.
void CounterSplit::meet_carried(std::vector<Claim> &granted) {
  gather(carried_claims_, false);
  carried_amount_ -= share(carried_amount_, granted);
}

/// @param learned  the claims are among the recent ones already, but they may still be met
bool CounterSplit::are_trusted(const std::vector<Claim> &claims, bool learned) const {
  return std::all_of(claims.begin(), claims.end(), [this, learned](const Claim &claim) {
    const double undecided = learned ? static_cast<double>(claim.amount) : 0.0;
    return experience(claim.listener, undecided) >= trusted_experience;
  });
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

// Claims and amounts that are both carried do not meet again, because the previous sample matched
// them.
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

/// Returns the share of the listener's recent claims that was met, but for so many undecided ones.
double CounterSplit::experience(std::uint32_t listener, double undecided) const {
  const Account &account = accounts_[listener];
  const double claimed = std::max(0.0, account.recently_claimed - undecided);
  return std::min(1.0, (account.recently_granted + 1) / (claimed + 1));
}

double CounterSplit::likelihood(const Claim &claim) const {
  double expected = fit_.share(claim.listener).value_or(experience(claim.listener));
  // The emptier the queue, the likelier that something other than drops moved sk_drops. So one more
  // claim counts as unmet.
  if (claim.fullness != Fullness::full) {
    const Account &account = accounts_[claim.listener];
    expected = std::min(expected, (account.recently_granted + 1) / (account.recently_claimed + 2));
  }
  return std::clamp(expected, least_likelihood, 1 - least_likelihood);
}

/// Returns whether the sample has claims that the fit can learn from.
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

// A sample's claims count as experience only when the sample is over. Before that they would count
// as unmet, and a larger claim would seem less likely.
void CounterSplit::learn_claims() {
  for (const Claim &claim : claims_) {
    Account &account = accounts_[claim.listener];
    account.recently_claimed += std::exchange(account.claimed, 0);
  }
}

/// Hands out total to the claims in shares_. Returns how much was handed out.
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

/// Each claim gets what is expected of it. The surplus (total less all that is expected, it may be
/// negative) is spread in proportion to the variances, so that a listener whose claims have always
/// been met gets all of its claims. total must be less than the sum of the claims.
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
  // A claim takes no more than its amount and no less than 0. Claims that reach such a bound come
  // first, because what they cannot take of the surplus goes to the claims after them.
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

/// Rounds the shares to integers by the largest remainder. Remainders of earlier samples count too,
/// so that of several equal claims it is not always the same one that is rounded up. Returns what
/// is left of total.
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

/// Notes the sockets that may have dropped something before they went. Returns the most that they
/// can have dropped: no bound if one of them was full.
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
  // match() takes carried amounts before the sample's own, so that the drops of a socket that has
  // gone may be part of what is carried by now. Hence the sum.
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

/// Hands out amount to sockets that have gone: only to those that were full when they were last
/// seen if there is one, else to all. Returns how much was handed out.
std::uint64_t CounterSplit::give_to_gone(std::uint64_t amount, std::span<const GoneSocket> gone,
                                         std::vector<Claim> &granted) {
  if (amount == 0)
    return 0;
  const bool any_full =
      std::any_of(gone.begin(), gone.end(), [](const GoneSocket &socket) { return socket.full; });
  claims_of_gone_.clear();
  double known = 0; // sum of the weights: what each listener was granted lately
  for (const GoneSocket &socket : gone) {
    if (socket.full != any_full)
      continue;
    if (socket.listener >= accounts_.size())
      accounts_.resize(socket.listener + std::size_t{1});
    known += accounts_[socket.listener].recently_granted + (any_full ? 1 : 0);
    claims_of_gone_.push_back({socket.listener, Fullness::full, 0});
  }
  // The amount is divided by the weights, without the fit: a listener that is served by another
  // socket now says nothing about how much the socket that has gone dropped.
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
  granted.push_back({claim.listener, claim.fullness, amount});
}

void CounterSplit::settle(FunctionRef<bool(std::uint32_t)> was_full, bool keep_claims,
                          std::vector<Claim> &granted) {
  if (single_waits_)
    meet_carried(granted);
  leave_carried({}, granted);
  learn_claims();
  // match() has offered every amount to the claims of queues near full. What is left of them can
  // only be met by the next interval's first amount, so they are kept for it.
  const auto can_be_met = [keep_claims](const Claim &claim) {
    return !keep_claims || !is_near_full(claim);
  };
  for (const Claim &claim : carried_claims_)
    if (can_be_met(claim))
      accounts_[claim.listener].unmatched += claim.amount;
  for (std::uint32_t listener = 0; listener < accounts_.size(); ++listener) {
    const std::uint64_t unmatched = accounts_[listener].unmatched;
    if (unmatched > 0 && was_full(listener))
      claims_.push_back({listener, Fullness::full, unmatched});
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

std::uint64_t CounterSplit::taken(std::uint32_t listener) const {
  return listener < accounts_.size() ? accounts_[listener].taken : 0;
}

std::uint64_t CounterSplit::take_unlisted() {
  std::uint64_t unlisted = 0;
  for (Account &account : accounts_)
    unlisted += account.attributed - std::exchange(account.taken, account.attributed);
  return unlisted;
}

void CounterSplit::clear_attributed() {
  for (Account &account : accounts_) {
    account.attributed = 0;
    account.taken = 0;
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

} // namespace backlog
