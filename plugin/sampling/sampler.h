#pragma once

#include "config.h"
#include "harvest.h"
#include "request_thread.h"
#include "survey_board.h"

#include <chrono>
#include <memory>
#include <optional>

namespace backlog {

/// The thread that looks at the queues, at its own pace. It answers with the interval that has
/// passed since the answer before.
class Sampler : public RequestThread<Harvest> {
public:
  /// interval: collectd's; a SampleInterval that is not shorter means one sample per interval.
  /// board: tells of the other namespaces to sample. The error is that of pthread_create(). The
  /// thread ends by itself when it cannot return from another namespace, or is out of memory.
  std::optional<int> start(const std::shared_ptr<const Config> &config,
                           std::chrono::duration<double> interval,
                           const std::shared_ptr<SurveyBoard> &board);
};

} // namespace backlog
