#pragma once

#include "config.h"
#include "harvest.h"
#include "request_thread.h"
#include "survey_board.h"

#include <chrono>
#include <memory>
#include <optional>

namespace backlog {

/// The thread that samples the queues at its own pace. Each answer covers the time since the
/// previous one.
class Sampler : public RequestThread<Harvest> {
public:
  /// interval: collectd's; if SampleInterval is not shorter, there is one sample per interval.
  /// board: lists the other namespaces. The error is that of pthread_create(). The thread ends when
  /// it cannot leave another namespace, or runs out of memory.
  std::optional<int> start(const std::shared_ptr<const Config> &config,
                           std::chrono::duration<double> interval,
                           const std::shared_ptr<SurveyBoard> &board);
};

} // namespace backlog
