#pragma once

#include "counter_split.h"
#include "function_ref.h"

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
  bool full = false;          ///< the socket's queue was full at either end of the sample
  bool half_full = false;     ///< it was at least half full at either end of the sample
};

/// ListenDrops, and those of them that a full accept queue caused: ListenOverflows.
struct ListenCounters {
  std::uint64_t drops = 0;
  std::uint64_t overflows = 0;
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
  /// Whether the counters have moved by something that no listener has claimed yet.
  bool has_carried() const;
  /// @param members_changed  a socket came, or was missing from the dump, so that what it dropped
  ///                         is in no DropsMoved
  /// @param counters  absolute, read after the dump; the first ones are the baseline, as are ones
  ///                  that have gone down. nullopt: not needed, or not readable.
  /// @param leaving  sockets that have gone; none of them is among moved
  void sample(std::span<const DropsMoved> moved, bool members_changed,
              std::optional<ListenCounters> counters, const Leaving &leaving = {});
  /// Ends the interval after its last sample. Drops are not carried into the next one.
  void settle(FunctionRef<bool(std::uint32_t)> was_full);
  /// Since the last clear_interval().
  ListenCounters attributed(std::uint32_t listener) const;
  /// Returns the drops attributed to all listeners together since the last call.
  std::uint64_t take_unlisted_drops();
  /// Of the listener's attributed drops, those that take_unlisted_drops() has told.
  std::uint64_t told_drops(std::uint32_t listener) const { return drops_.told(listener); }
  /// Since the baseline.
  ListenCounters unattributed() const;
  /// What ListenDrops has risen by since the last call.
  std::uint64_t take_counted() { return std::exchange(counted_, 0); }
  bool has_baseline() const { return last_.has_value(); }
  void clear_interval();
  /// Forgets the listener, because another one will get its index.
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
