#pragma once

#include "config.h"
#include "harvest.h"
#include "worker.h"

#include <memory>
#include <optional>

namespace backlog {

/// The thread that reads what is read once an interval.
class Surveyor : public AskedWorker<Survey> {
public:
  /// The error is that of pthread_create().
  std::optional<int> start(const std::shared_ptr<const Config> &config);
};

} // namespace backlog
