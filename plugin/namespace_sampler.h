#pragma once

#include "config.h"
#include "drops.h"
#include "harvest.h"
#include "listener_set.h"
#include "net_counters.h"
#include "net_limits.h"
#include "sock_diag.h"

#include <memory>
#include <optional>
#include <vector>

namespace backlog {

/// Samples the listeners of the net namespace of the calling thread, and finds out whose its
/// drops were. One thread uses it.
class NamespaceSampler {
public:
  using TimePoint = ListenerSet::TimePoint;
  using Duration = ListenerSet::Duration;

  explicit NamespaceSampler(std::shared_ptr<const Config> config);

  /// max_weight: as in ListenerSet::end_sample().
  void sample(Duration max_weight);
  /// Samples once more and ends the interval.
  NamespaceHarvest harvest(Duration max_weight, std::vector<Fault> &faults);

private:
  bool dump_tcp();
  void hand_out_drops(bool at_harvest);
  ListenerIdentity identify(const TcpListener &listener) const;
  void read_port_range();
  std::vector<ListenerHarvest> with_drops(std::vector<ListenerInterval> intervals,
                                          ListenerHarvest &fold) const;

  std::shared_ptr<const Config> config_;
  std::optional<SockDiag> sock_diag_;
  NetCountersReader counters_reader_;
  NetLimitsReader limits_reader_;
  std::optional<PortRange> port_range_;
  ListenerSet tcp_;
  DropLedger drops_;
  std::optional<NetCounters> counters_; ///< as of the last harvest
  Failure tcp_failure_;                 ///< of the last sample
  Failure counters_failure_;            ///< of the last harvest
};

} // namespace backlog
