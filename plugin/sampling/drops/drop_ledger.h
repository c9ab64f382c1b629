#pragma once

#include "counter_split.h"
#include "function_ref.h"

#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace backlog {

/// How one listening socket's sk_drops moved between two samples. It moves for more than the
/// socket's part in ListenDrops: also for deferred accepts, half-open scans and retransmitted SYNs;
/// and a final ACK dropped at a full accept queue moves it by 2, once in tcp_listendrop() and once
/// at discard_and_relse of tcp_v4_rcv().
struct DropsMoved {
  std::uint32_t listener = 0; ///< the caller's dense index; the members of a group share it
  std::uint32_t drops = 0;    ///< > 0
  bool full = false;          ///< the socket's queue was full at either end of the sample
  bool half_full = false;     ///< it was at least half full at either end of the sample
  std::uint32_t member = 0;   ///< the caller's index of the socket, which the ledger does not use
};

/// ListenDrops, and the part of it that a full accept queue caused: ListenOverflows.
struct ListenCounters {
  std::uint64_t drops = 0;
  std::uint64_t overflows = 0;
};

/// Attributes a net namespace's ListenDrops and ListenOverflows to its listeners. After every
/// settle(), the attributed amounts of all intervals + unattributed() equal the rise of the
/// counters since the first ones given. An overflow is a drop, so a listener never has more
/// overflows than drops.
///
/// Order of calls: sample() ..., settle(), attributed() ..., clear_interval(), forget() ...
class DropLedger {
public:
  /// Whether the sample needs the namespace's counters.
  bool wants_counters(bool any_moved, bool members_changed) const;
  /// Whether the counters have moved by something that no listener has claimed yet.
  bool has_carried() const;
  /// a socket came, or was missing from the dump, so that its drops are in no DropsMoved
  /// absolute values, read after the dump. The first ones are the baseline, as are values that have
  /// gone down. nullopt: not needed, or not readable
  /// @param leaving  sockets that have gone; none of them is among moved
  void sample(std::span<const DropsMoved> moved, bool members_changed,
              std::optional<ListenCounters> counters, const Leaving &leaving = {});
  /// Ends the interval after its last sample. Drops are not carried into the next one.
  void settle(FunctionRef<bool(std::uint32_t)> was_full);
  /// The listener's attributed drops and overflows since the last clear_interval().
  ListenCounters attributed(std::uint32_t listener) const;
  /// Returns the drops attributed to all listeners together since the last call.
  std::uint64_t take_unlisted_drops();
  /// The part of the listener's attributed drops that take_unlisted_drops() returned.
  std::uint64_t taken_drops(std::uint32_t listener) const { return drops_.taken(listener); }
  /// Drops and overflows attributed to no listener since the baseline.
  ListenCounters unattributed() const;
  /// Returns the rise of ListenDrops since the last call.
  std::uint64_t take_counted() { return std::exchange(counted_, 0); }
  bool has_baseline() const { return last_.has_value(); }
  void clear_interval();
  /// Forgets the listener, because another one will get its index.
  void forget(std::uint32_t listener);

private:
  ListenCounters advance(const ListenCounters &counters);
  void claim_overflows();

  CounterSplit drops_;
  CounterSplit overflows_; ///< its claims are the drops that drops_ attributed
  std::vector<Claim> granted_drops_;
  std::vector<Claim> granted_overflows_;
  std::optional<ListenCounters> last_;
  std::uint64_t counted_ = 0;
  bool unread_ = false; ///< the last sample needed counters but could not read them
};

} // namespace backlog
