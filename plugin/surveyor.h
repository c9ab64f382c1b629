#pragma once

#include "harvest.h"
#include "worker.h"

#include <optional>

namespace backlog {

/// The thread that reads what is read once an interval.
class Surveyor : public AskedWorker<Survey> {
public:
  /// The error is that of pthread_create().
  std::optional<int> start();
};

} // namespace backlog
