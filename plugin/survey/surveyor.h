#pragma once

#include "config.h"
#include "request_thread.h"
#include "survey.h"
#include "survey_board.h"

#include <chrono>
#include <memory>
#include <optional>

namespace backlog {

/// The thread that reads what is needed once an interval.
class Surveyor : public RequestThread<Survey> {
public:
  /// See Sampler::start(). The surveyor posts the other namespaces on the board.
  std::optional<int> start(const std::shared_ptr<const Config> &config,
                           std::chrono::duration<double> interval,
                           const std::shared_ptr<SurveyBoard> &board);
};

} // namespace backlog
