#pragma once

#include "family.h"
#include "harvest.h"
#include "survey.h"

#include <chrono>
#include <cstdint>
#include <optional>

namespace backlog {

/// What a survey says of the listeners of one net namespace in an interval. Without a survey it
/// says nothing.
struct SurveyView {
  const Survey *survey = nullptr;
  const NamespaceSurvey *net_namespace = nullptr;
  std::chrono::steady_clock::time_point ended_at; ///< end of the interval

  static SurveyView of_own(const Survey *survey, const Harvest &harvest);
  static SurveyView of_other(const Survey *survey, const Harvest &harvest,
                             const NetNamespaceId &other);

  /// A survey of an earlier interval says nothing of newer connections. It counts only if the queue
  /// has not been seen to shrink since then.
  bool is_outdated(const ListenerInterval &listener) const;
  /// Half-open connections.
  std::optional<std::uint64_t> syn_length(const ListenerInterval &listener, Family family) const;
  /// Likewise nullptr if unknown, as all below.
  const Owner *owner(const ListenerInterval &listener) const;
  const TcpWaits *tcp_waits(const ListenerInterval &listener) const;
  /// Of several Unix sockets of one path, those of the fullest queue.
  const WaitingClients *clients(const ListenerInterval &listener, Family family) const;
  bool is_unreachable(const ListenerInterval &listener) const;
};

} // namespace backlog
