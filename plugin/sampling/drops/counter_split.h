#pragma once

#include "function_ref.h"
#include "share_fit.h"

#include <cstdint>
#include <span>
#include <vector>

namespace backlog {

/// A socket that has gone. Its last drops are in the counters, but no dump has shown them.
struct GoneSocket {
  std::uint32_t listener = 0; ///< the caller's dense index, as in Claim
  bool full = false;          ///< its queue was full when it was last seen

  bool operator==(const GoneSocket &) const = default;
};

/// The sockets that are no longer in the dumps.
struct Leaving {
  std::span<const GoneSocket> gone; ///< they are missing from this dump and the one before
  bool some_missing = false;        ///< sockets are missing from this dump for the first time
};

/// How full the socket's queue was at the fuller end of the sample. The fuller it was, the likelier
/// its sk_drops moved because of drops that the namespace's counter has.
enum class Fullness : std::uint8_t { full, half_full, moved };

/// By how much a listener's sk_drops moved. The listener has at most that many of the drops that
/// the namespace's counter moved by.
struct Claim {
  std::uint32_t listener = 0;
  Fullness fullness = Fullness::moved;
  std::uint64_t amount = 0;
};

/// Divides what one counter of a net namespace moved by among the listeners that claim it.
///
/// Claims of queues at least half full come first, all at once: a queue that is served is full
/// between two samples, and one or two below full at each. The rest goes to others only if a single
/// one has a claim, or if all their claims are just as much, since sk_drops counts every drop (few
/// of listeners known for claims that were no drops do not count as that). A single one so known
/// gets the amount with the next sample, if no full queue claims it there: the counter is read
/// after the dump, so it may hold drops that only the next dump shows. Each claim is met by its
/// expected share (ShareFit's, else the share of the listener's recent claims that was met). If the
/// counter moved by more or less than expected, the difference goes where the expectation is least
/// certain. So the noise of a deferred accept takes none of the drops of an overflowing queue, and
/// final ACKs, which move sk_drops by 2 for each drop, get half of their claims.
class CounterSplit {
public:
  void claim(const Claim &claim);
  /// Ends a sample in which the counter moved by amount. The unmatched rest of the amount and of
  /// the claims is carried: it meets the claims and the amount of the next sample, but of no later
  /// one. The parts handed out are appended to granted.
  /// @param claimants_known  every listener that dropped something has a claim. Then a single
  ///                         claimant gets the whole amount, and the fit learns from the sample
  /// @param leaving  the sockets that have gone get what is left of the amount carried before: all
  ///                 of it if one was full, else each at most what its listener was granted lately.
  ///                 While some sockets are missing, that amount waits for one more sample: the
  ///                 counter is read after the dump, so that it may hold the last drops of a socket
  ///                 that this dump still had
  /// @param may_claim_waiting  whether the claims may take of the waiting amount too, because they
  ///                           are those of sockets that have gone
  void end_sample(std::uint64_t amount, bool claimants_known, const Leaving &leaving,
                  bool may_claim_waiting, std::vector<Claim> &granted);
  /// Ends the interval: hands out the amounts that its samples left over. First to the listeners
  /// for which was_full is true, at most the unmet rest of their claims; then to the sockets that
  /// have gone in the interval. What still remains counts as unattributed().
  /// @param keep_claims  whether the unmet claims of the last sample may meet the first amount of
  ///                     the next interval
  void settle(FunctionRef<bool(std::uint32_t)> was_full, bool keep_claims,
              std::vector<Claim> &granted);

  bool has_carried_amount() const { return carried_amount_ > 0 || waiting_amount_ > 0; }
  std::uint64_t attributed(std::uint32_t listener) const;
  std::uint64_t taken(std::uint32_t listener) const;
  /// Returns the attributed drops of all listeners that no earlier call returned.
  std::uint64_t take_unlisted();
  void clear_attributed();
  std::uint64_t unattributed() const { return unattributed_; }
  void forget(std::uint32_t listener);

private:
  struct Account {
    std::uint64_t attributed = 0;
    std::uint64_t taken = 0;     ///< of attributed: those that take_unlisted() returned
    std::uint64_t unmatched = 0; ///< of the claims in finished samples of this interval
    double claimed = 0;          ///< in the current sample
    double recently_claimed = 0; ///< halved at each settle()
    double recently_granted = 0;
    double rounding = 0; ///< share that rounding to integers still owes
  };
  /// A claim while an amount is shared.
  struct Share {
    Claim *claim = nullptr;
    double likelihood = 0; ///< that a claimed unit is granted
    double variance = 0;   ///< of the granted amount
    double exact = 0;      ///< granted amount before it is rounded
  };

  bool single_claimant() const;
  void match(bool near_full, bool may_claim_waiting, std::vector<Claim> &granted);
  double experience(std::uint32_t listener, double undecided = 0) const;
  void meet_carried(std::vector<Claim> &granted);
  bool are_trusted(const std::vector<Claim> &claims, bool learned) const;
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

  std::vector<Account> accounts_; ///< indexed by listener
  std::vector<Claim> claims_;     ///< claims of the current sample
  std::vector<Claim> carried_claims_;
  std::vector<Share> shares_; ///< scratch
  /// Sockets that went in the interval and may have dropped something.
  std::vector<GoneSocket> gone_;
  std::uint64_t most_of_gone_ = 0;    ///< upper bound of what gone_ can get when the interval ends
  std::uint64_t carried_before_ = 0;  ///< amount carried into the current sample
  std::vector<Claim> claims_of_gone_; ///< scratch
  ShareFit fit_;                      ///< for claims of queues at least half full
  std::uint64_t amount_ = 0;          ///< of the current sample
  std::uint64_t carried_amount_ = 0;
  std::uint64_t waiting_amount_ = 0; ///< carried amount older than carried_amount_
  bool carried_claimants_known_ = false;
  bool single_waits_ = false; ///< the carried amount is the only claimant's, if nobody else's
  std::uint64_t left_ = 0;    ///< amounts that two samples did not match
  std::uint64_t unattributed_ = 0;
};

} // namespace backlog
