#pragma once

#include "config.h"
#include "harvest.h"
#include "worker.h"

#include <memory>
#include <optional>

namespace backlog {

/// The thread that looks at the queues. It answers with the interval that has passed since the
/// answer before.
class Sampler : public AskedWorker<Harvest> {
public:
  /// The error is that of pthread_create().
  std::optional<int> start(std::shared_ptr<const Config> config);
};

} // namespace backlog
