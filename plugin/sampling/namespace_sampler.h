#pragma once

#include "config.h"
#include "drop_ledger.h"
#include "harvest.h"
#include "listener_room.h"
#include "listener_set.h"
#include "net_counters.h"
#include "net_limits.h"
#include "peak_bound.h"
#include "progress.h"
#include "sock_diag.h"
#include "unix_members.h"

#include <chrono>
#include <memory>
#include <optional>
#include <vector>

namespace backlog {

/// See ListenerSet. All is empty without events.
struct EventQuestions {
  ListenerSet::HasEvents has_added;
  ListenerSet::TakenOf taken_of;
  bool of_unix = false; ///< also of Unix listeners
};

/// Samples the listeners of the calling thread's net namespace, which must be the same at each
/// call, and attributes its drops. Only one thread may use it, and it cannot move, because its sets
/// refer to it. It keeps nothing open of a namespace other than collectd's own.
class NamespaceSampler {
public:
  using Duration = ListenerSet::Duration;

  /// rooms: limit its listeners. progress: nullptr if nobody asks for it.
  NamespaceSampler(std::shared_ptr<const Config> config, NamespaceLabel label,
                   const ListenerRooms &rooms = ListenerRooms::of_own_namespace(),
                   Progress *progress = nullptr);
  NamespaceSampler(const NamespaceSampler &) = delete;
  NamespaceSampler &operator=(const NamespaceSampler &) = delete;

  /// max_weight: see ListenerSet::end_sample(). Where the kernel lacks the module for these
  /// listeners, only harvests try again, because each request makes the kernel run modprobe.
  void sample_tcp(Duration max_weight);
  void sample_unix(Duration max_weight);
  /// Takes over where the Unix listeners are; those without a known place are not sampled. looks:
  /// how often the surveyor has looked.
  void follow(const std::shared_ptr<const UnixPlaces> &places, std::uint64_t looks);
  bool has_unplaced() const { return unix_members_.has_waiting(); }
  /// Returns the Unix listeners without a known place that came since the last call.
  std::vector<UnixFile> take_unplaced() { return unix_members_.take_unplaced(); }
  bool tcp_filling() const { return tcp_.filling(); }
  bool unix_filling() const { return unix_.filling(); }
  /// See ListenerSet; for all listeners.
  void pass_rest(std::chrono::steady_clock::time_point now);
  bool is_stuck(Duration time) const { return tcp_.is_stuck(time) || unix_.is_stuck(time); }
  /// How busy the queues were in the last sample.
  QueueActivity tcp_activity() const { return tcp_.activity(); }
  QueueActivity unix_activity() const { return unix_.activity(); }
  /// Whether the last sample failed.
  bool tcp_failed() const { return tcp_failure_.has_value(); }
  bool unix_failed() const { return unix_failure_.has_value(); }
  /// See NamespaceHarvest.
  BootClock::time_point counted_since() const { return began_; }

  void ask_events(const EventQuestions &events);
  /// See ListenerSet.
  void ask_frees(const ListenerSet::FreesOf &frees_of) { tcp_.ask_frees(frees_of); }
  /// Identifies the namespace in events; empty if that is not available.
  std::optional<std::uint64_t> net_cookie() const { return net_cookie_; }

  /// Takes one more sample and ends the interval. events: nullptr without events.
  NamespaceHarvest harvest(Duration tcp_max_weight, Duration unix_max_weight, EventReading *events,
                           std::vector<Fault> &faults);
  /// CPU time of the Unix listeners in the last harvest.
  Duration unix_harvest_cost() const { return unix_harvest_cost_; }
  /// Reports the interval of a namespace that is gone since the last harvest, from whatever
  /// namespace the thread is in: what the samples saw, with all listeners closed.
  NamespaceHarvest harvest_ended(EventReading *events);

private:
  template <class Dump> Failure with_sock_diag(Dump dump);
  void dump_tcp();
  void dump_unix();
  std::optional<ListenCounters> listen_counters() const;
  bool drops_known() const { return drops_.has_baseline() && listen_counters().has_value(); }
  // A dump that fails at a harvest is tried once more, because a whole interval depends on it; not
  // if a module is missing.
  void take_tcp_sample(Duration max_weight, bool at_harvest);
  /// Uses the counters that were read before the dump.
  void take_tcp_dump(Duration max_weight);
  void take_unix_sample(Duration max_weight, bool at_harvest);
  void harvest_unix_samples(Duration max_weight);
  void forget_gone_tcp();
  void bound_peak(ListenerInterval &listener, std::optional<std::uint64_t> most_arrivals) const;
  std::optional<ListenerIdentity> identify(const UnixListener &listener);
  ListenerIdentity identify_at(const UnixPlace &place) const;
  bool is_named(const UnixListener &listener) const;
  bool is_unstable(const ListenerIdentity &identity, Duration listening_for) const;
  bool is_named(const ListenerIdentity &identity) const;
  void read_local_ports();
  void note_refused(bool at_harvest);
  FamilyHarvest harvest_tcp();
  FamilyHarvest harvest_unix();

  void note_step(const char *step) const noexcept {
    if (progress_ != nullptr)
      progress_->note(step);
  }

  std::shared_ptr<const Config> config_;
  NamespaceLabel label_;
  ListenerRooms rooms_;
  Progress *progress_;
  std::optional<SockDiag> sock_diag_;
  NetlinkSocket::Buffer buffer_; ///< from the previous SockDiag
  NetCountersReader counters_reader_;
  NetLimitsReader limits_reader_;
  std::optional<LocalPorts> local_ports_;
  std::optional<std::uint64_t> net_cookie_;
  ListenerSet tcp_;
  ListenerSet unix_;
  UnixMembers unix_members_;
  std::uint64_t unix_looks_ = 0; ///< looks of the surveyor
  DropLedger drops_;
  bool has_events_ = false;
  GapArrivals gap_arrivals_;         ///< without events
  ListenCounters unlisted_;          ///< drops in this interval of listeners that it does not list
  ListenCounters unlisted_unstable_; ///< the part of unlisted_ that belongs to the aggregate
  ListenerSet::Risen risen_before_;  ///< the counters, as they were last noted
  ListenerSet::Risen risen_until_harvest_; ///< the last one
  BootClock::time_point began_ = BootClock::now();
  std::optional<NetCounters> counters_; ///< from the last sample of a harvest
  Duration unix_harvest_cost_{0};
  Failure tcp_failure_;      ///< from the last sample
  Failure unix_failure_;     ///< from the last sample
  Failure counters_failure_; ///< from the last reading
};

} // namespace backlog
