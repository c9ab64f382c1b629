#pragma once

#include "function_ref.h"

#include <cstdint>
#include <optional>
#include <span>
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

/// ListenDrops, and those of them that the accept queue's limit caused: ListenOverflows.
struct ListenCounters {
  std::uint64_t drops = 0;
  std::uint64_t overflows = 0;
};

/// How likely it is that a socket's moved drops are the namespace's; the likeliest first.
enum class Suspicion : std::uint8_t { full, half_full, moved };

/// The most that a socket may have of what a counter of its namespace moved by.
struct Claim {
  std::uint32_t listener = 0;
  Suspicion suspicion = Suspicion::moved;
  std::uint64_t amount = 0;
};

/// Hands out what one counter of a net namespace moved by to the listeners that claim it. Claims
/// are met in proportion to what can be expected of them: amount x the share of the listener's
/// recent claims that was met. So the drops of an overflowing queue are not shared with the noise
/// of a deferred accept, nor evenly with final ACKs, of which half can be met.
class CounterSplit {
public:
  void claim(const Claim &claim);
  /// Ends a sample in which the counter moved by amount. What is not matched of the amount and of
  /// the claims meets those of the next sample, and no later ones. The parts handed out are
  /// appended to granted.
  /// @param claimants_known  whoever dropped something is among the claims, so that a single
  ///                         claimant has it
  void end_sample(std::uint64_t amount, bool claimants_known, std::vector<Claim> &granted);
  /// Hands out what the samples of the interval left, to those of was_full by what is left of
  /// their claims. The rest is nobody's.
  void settle(FunctionRef<bool(std::uint32_t)> was_full, std::vector<Claim> &granted);

  bool has_carried_amount() const { return carried_amount_ > 0; }
  std::uint64_t attributed(std::uint32_t listener) const;
  void clear_attributed();
  std::uint64_t unattributed() const { return unattributed_; }
  void forget(std::uint32_t listener);

private:
  struct Account {
    std::uint64_t attributed = 0;
    std::uint64_t unmatched = 0; ///< of the claims of this interval's finished samples
    double claimed = 0;          ///< in the sample under way
    double recently_claimed = 0; ///< halved at each settle()
    double recently_granted = 0;
    double rounding = 0; ///< share that rounding to integers still owes
  };
  /// A claim with its weight while an amount is shared.
  struct Share {
    Claim *claim = nullptr;
    double likelihood = 0;       ///< that a claimed unit is granted
    double weight_from_here = 0; ///< amount x likelihood, of it and of all less likely ones
  };

  bool single_claimant() const;
  void match(Suspicion suspicion, std::vector<Claim> &granted);
  void learn_claims();
  void gather(std::vector<Claim> &claims, Suspicion suspicion);
  std::uint64_t share(std::uint64_t total, std::vector<Claim> &granted);
  std::uint64_t share_by_likelihood(std::uint64_t total, std::vector<Claim> &granted);
  std::uint64_t share_in_proportion(std::span<Share> shares, std::uint64_t total,
                                    std::vector<Claim> &granted);
  void grant(Claim &claim, std::uint64_t amount, std::vector<Claim> &granted);

  std::vector<Account> accounts_; ///< by listener
  std::vector<Claim> claims_;     ///< of the sample under way
  std::vector<Claim> carried_claims_;
  std::vector<Share> shares_; ///< scratch
  std::uint64_t amount_ = 0;  ///< of the sample under way
  std::uint64_t carried_amount_ = 0;
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
  /// @param members_changed  a socket came, or was missing from the dump: what it dropped last is
  ///                         in no DropsMoved
  /// @param counters  absolute, read after the dump; the first ones are the baseline, as are ones
  ///                  that have gone down. nullopt: not needed, or not readable.
  void sample(std::span<const DropsMoved> moved, bool members_changed,
              std::optional<ListenCounters> counters);
  /// The last sample of the interval has been given. Nothing of it is carried into the next one.
  void settle(FunctionRef<bool(std::uint32_t)> was_full);
  /// Since the last clear_interval().
  ListenCounters attributed(std::uint32_t listener) const;
  /// Since the baseline.
  ListenCounters unattributed() const;
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
  bool unread_ = false; ///< the last sample wanted counters in vain
};

} // namespace backlog
