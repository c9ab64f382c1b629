#pragma once

#include "function_ref.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace backlog {

/// What one listening socket's sk_drops did between two samples: a superset of the socket's part
/// in ListenDrops. Deferred accepts, half-open scans and retransmitted SYNs move it too, and a
/// final ACK dropped at a full accept queue moves it by 2: once in tcp_listendrop(), once at
/// discard_and_relse of tcp_v4_rcv().
struct DropsMoved {
  std::uint32_t listener = 0; ///< the caller's dense index; the members of a group share it
  std::uint32_t drops = 0;    ///< > 0
  bool full = false;          ///< the socket's queue was, at either end of the sample
  bool half_full = false;     ///< at least, at either end of the sample
};

/// A socket that has gone, and with it its last drops, which no DropsMoved tells.
struct GoneSocket {
  std::uint32_t listener = 0; ///< as in DropsMoved
  bool full = false;          ///< its queue, when it was last seen

  bool operator==(const GoneSocket &) const = default;
};

/// Who has left the dumps.
struct Leaving {
  std::span<const GoneSocket> gone; ///< missing from this dump and the one before
  bool some_missing = false;        ///< from this dump, not yet from two
};

/// ListenDrops, and those of them that the accept queue's limit caused: ListenOverflows.
struct ListenCounters {
  std::uint64_t drops = 0;
  std::uint64_t overflows = 0;
};

/// Where the socket's queue was at either end of the sample: how likely it is that its moved drops
/// are the namespace's.
enum class Suspicion : std::uint8_t { full, half_full, moved };

/// The most that a socket may have of what a counter of its namespace moved by.
struct Claim {
  std::uint32_t listener = 0;
  Suspicion suspicion = Suspicion::moved;
  std::uint64_t amount = 0;
};

/// Which share of a listener's claims is met by the counter's amounts, learnt from whole samples:
/// least squares over the shares, each from 0 to 1, that make an amount of the claims beside it.
/// Recent samples count most.
class ShareFit {
public:
  /// @param amount  > 0
  /// @param prior  the share, as far as the samples do not tell
  void claim(std::uint32_t listener, double amount, double prior);
  /// Ends a sample in which the counter moved by amount.
  void end_sample(double amount);
  /// nullopt: not among those that are fitted.
  std::optional<double> share(std::uint32_t listener) const;
  void forget(std::uint32_t listener);

private:
  /// Those of more listeners at once are taken for what their prior says.
  static constexpr std::size_t most_listeners = 16;

  struct Fitted {
    std::optional<std::uint32_t> listener;
    double claimed = 0; ///< in the sample under way
    double prior = 0;
    double share = 0;
    double amount = 0;                             ///< sum of its claims x amount
    std::array<double, most_listeners> products{}; ///< sums of its claims x those of each
  };

  void take_in(double amount);
  Fitted *place_for(std::uint32_t listener);
  void fit();
  void clear(std::size_t place);

  std::array<Fitted, most_listeners> fitted_;
  double not_fitted_ = 0; ///< expected of the other claims of the sample under way
};

/// Hands out what one counter of a net namespace moved by to the listeners that claim it, first to
/// those at least half full, then to a single other one. A queue that is served is full between the
/// samples, and one or two short of it at them: those come at once. Claims are met as is expected
/// of them, by a ShareFit and by the share of the listener's recent claims that was met, and what
/// is more or less than that where it is the least certain. So the drops of an overflowing queue
/// are not shared with the noise of a deferred accept, nor evenly with final ACKs, of which half is
/// met.
class CounterSplit {
public:
  void claim(const Claim &claim);
  /// Ends a sample in which the counter moved by amount. What is not matched of the amount and of
  /// the claims meets those of the next sample, and no later ones. The parts handed out are
  /// appended to granted.
  /// @param claimants_known  whoever dropped something is among the claims, so that a single
  ///                         claimant has it, and the amount tells how much of the claims is met
  /// @param leaving  those gone have what is left of the amount before: all of it if they were
  /// full,
  ///                 else each at most as much as its listener had lately. While some are missing,
  ///                 the amount before waits one sample more: the counter, which is read after the
  ///                 dump, has told the last drops of a socket that this dump still had.
  /// @param may_claim_waiting  whether the claims may have of that, too: they are of those gone
  void end_sample(std::uint64_t amount, bool claimants_known, const Leaving &leaving,
                  bool may_claim_waiting, std::vector<Claim> &granted);
  /// Hands out what the samples of the interval left, to those of was_full by what is left of
  /// their claims, then to those that have gone in the interval. The rest is nobody's.
  /// @param keep_claims  whether what is left of the last sample's claims meets the first amount of
  ///                     the next interval
  void settle(FunctionRef<bool(std::uint32_t)> was_full, bool keep_claims,
              std::vector<Claim> &granted);

  bool has_carried_amount() const { return carried_amount_ > 0 || waiting_amount_ > 0; }
  std::uint64_t attributed(std::uint32_t listener) const;
  std::uint64_t told(std::uint32_t listener) const;
  /// Of all attributed: what no call before told.
  std::uint64_t take_untold();
  void clear_attributed();
  std::uint64_t unattributed() const { return unattributed_; }
  void forget(std::uint32_t listener);

private:
  struct Account {
    std::uint64_t attributed = 0;
    std::uint64_t told = 0;      ///< of attributed
    std::uint64_t unmatched = 0; ///< of the claims of this interval's finished samples
    double claimed = 0;          ///< in the sample under way
    double recently_claimed = 0; ///< halved at each settle()
    double recently_granted = 0;
    double rounding = 0; ///< share that rounding to integers still owes
  };
  /// A claim while an amount is shared.
  struct Share {
    Claim *claim = nullptr;
    double likelihood = 0; ///< that a claimed unit is granted
    double variance = 0;   ///< of what is granted
    double exact = 0;      ///< what is granted, before it is rounded
  };

  bool single_claimant() const;
  void match(bool near_full, bool may_claim_waiting, std::vector<Claim> &granted);
  double experience(std::uint32_t listener) const;
  double likelihood(const Claim &claim) const;
  bool claim_shares();
  void learn_claims();
  void gather(std::vector<Claim> &claims, bool near_full);
  std::uint64_t share(std::uint64_t total, std::vector<Claim> &granted);
  void share_as_expected(double total);
  std::uint64_t grant_rounded(std::uint64_t total, std::vector<Claim> &granted);
  std::uint64_t remember_gone(std::span<const GoneSocket> gone);
  void leave_carried(const Leaving &leaving, std::vector<Claim> &granted);
  std::uint64_t give_to_gone(std::uint64_t amount, std::span<const GoneSocket> gone,
                             std::vector<Claim> &granted);
  void grant(Claim &claim, std::uint64_t amount, std::vector<Claim> &granted);

  std::vector<Account> accounts_; ///< by listener
  std::vector<Claim> claims_;     ///< of the sample under way
  std::vector<Claim> carried_claims_;
  std::vector<Share> shares_;         ///< scratch
  std::vector<GoneSocket> gone_;      ///< in the interval, with some likelihood of drops
  std::uint64_t most_of_gone_ = 0;    ///< they can have of what is left at the end
  std::uint64_t carried_before_ = 0;  ///< amounts, when the sample under way ended
  std::vector<Claim> claims_of_gone_; ///< scratch
  ShareFit fit_;                      ///< of claims of queues at least half full
  std::uint64_t amount_ = 0;          ///< of the sample under way
  std::uint64_t carried_amount_ = 0;
  std::uint64_t waiting_amount_ = 0; ///< carried, and older than carried_amount_
  bool carried_claimants_known_ = false;
  std::uint64_t left_ = 0; ///< amounts that two samples did not match
  std::uint64_t unattributed_ = 0;
};

/// Whose drops: the attribution of a net namespace's ListenDrops and ListenOverflows to its
/// listeners. After every settle(), what was attributed in all intervals + unattributed() is what
/// the counters have risen by since the first ones given. An overflow is a drop: a listener's
/// overflows are never more than its drops.
///
/// Order of calls: sample() ..., settle(), attributed() ..., clear_interval(), forget() ...
class DropLedger {
public:
  /// Whether the sample needs the namespace's counters.
  bool wants_counters(bool any_moved, bool members_changed) const;
  /// Whether the counters have told what nobody claims yet.
  bool has_carried() const;
  /// @param members_changed  a socket came, or was missing from the dump: what it dropped last is
  ///                         in no DropsMoved
  /// @param counters  absolute, read after the dump; the first ones are the baseline, as are ones
  ///                  that have gone down. nullopt: not needed, or not readable.
  /// @param leaving  those gone are not among moved
  void sample(std::span<const DropsMoved> moved, bool members_changed,
              std::optional<ListenCounters> counters, const Leaving &leaving = {});
  /// The last sample of the interval has been given. No drops of it are carried into the next one.
  void settle(FunctionRef<bool(std::uint32_t)> was_full);
  /// Since the last clear_interval().
  ListenCounters attributed(std::uint32_t listener) const;
  /// Of all listeners together, as far as no call before told it.
  std::uint64_t take_untold_drops();
  /// Of the listener's attributed drops, those that take_untold_drops() has told.
  std::uint64_t told_drops(std::uint32_t listener) const { return drops_.told(listener); }
  /// Since the baseline.
  ListenCounters unattributed() const;
  /// What ListenDrops has risen by since the last call.
  std::uint64_t take_counted() { return std::exchange(counted_, 0); }
  bool has_baseline() const { return last_.has_value(); }
  void clear_interval();
  /// The index is going to be another listener's.
  void forget(std::uint32_t listener);

private:
  ListenCounters advance(const ListenCounters &counters);
  void claim_overflows();

  CounterSplit drops_;
  CounterSplit overflows_; ///< claims are the drops handed out
  std::vector<Claim> granted_drops_;
  std::vector<Claim> granted_overflows_;
  std::optional<ListenCounters> last_;
  std::uint64_t counted_ = 0;
  bool unread_ = false; ///< the last sample wanted counters in vain
};

} // namespace backlog
