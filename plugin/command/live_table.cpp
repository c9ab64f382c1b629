#include "live_table.h"

#include "alarms.h"
#include "config.h"
#include "sampler.h"
#include "survey_board.h"
#include "surveyor.h"
#include "table.h"
#include "table_records.h"

#include <cerrno>

namespace backlog {

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::seconds longest_wait{5};
constexpr std::chrono::milliseconds stop_patience{400};

} // namespace

struct LiveTable::Parts {
  Parts() : config(std::make_shared<Config>()), builder(config), alarms(config->notify) {}

  std::shared_ptr<const Config> config;
  std::shared_ptr<SurveyBoard> board = std::make_shared<SurveyBoard>();
  Sampler sampler;
  Surveyor surveyor;
  TableBuilder builder;
  Alarms alarms;
  std::int64_t began_ns = clock_ns();
  TableMemory memory;
  bool started = false;
};

LiveTable::LiveTable() : parts_(std::make_unique<Parts>()) {}

LiveTable::~LiveTable() {
  if (!parts_->started)
    return;
  parts_->sampler.stop(stop_patience);
  parts_->surveyor.stop(stop_patience);
}

Failure LiveTable::start() {
  Parts &parts = *parts_;
  parts.started = true;
  // Longer than any sample's distance: never one sample per interval.
  constexpr std::chrono::hours longest_distance{1};
  for (const auto failure : {parts.sampler.start(parts.config, longest_distance, parts.board),
                             parts.surveyor.start(parts.config, longest_distance, parts.board)})
    if (failure)
      return Error{*failure, "start a thread"};
  parts.sampler.ask();
  (void)parts.sampler.take_until(Clock::now() + longest_wait);
  return std::nullopt;
}

Result<TableContents> LiveTable::take(std::chrono::milliseconds time) {
  Parts &parts = *parts_;
  parts.sampler.ask();
  parts.surveyor.ask();
  const Clock::time_point deadline = Clock::now() + longest_wait;
  const std::optional<Harvest> harvest = parts.sampler.take_until(deadline);
  if (!harvest)
    return Error{ETIMEDOUT, "read listeners"};
  if (!harvest->own.tcp.read)
    return Error{EPROTONOSUPPORT,
                 harvest->faults.empty() ? "read listeners" : harvest->faults.front().reason};
  const Table table =
      parts.builder.build(*harvest, parts.surveyor.take_until(deadline), Config::Seconds(time));
  (void)parts.alarms.update(alarm_inputs(table), table.measured);
  return table_contents(table, *harvest, Config::Seconds(time), parts.alarms, parts.began_ns,
                        parts.memory);
}

} // namespace backlog
