#include "live_table.h"

#include "config.h"
#include "sampler.h"
#include "surveyor.h"
#include "table.h"
#include "table_records.h"

#include <cerrno>
#include <thread>
#include <utility>

namespace backlog {

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::seconds longest_wait{5};
constexpr std::chrono::milliseconds stop_patience{400};

} // namespace

struct LiveTable::Parts {
  Parts() : config(std::make_shared<Config>()), builder(config) {}

  std::shared_ptr<const Config> config;
  Sampler sampler;
  Surveyor surveyor;
  TableBuilder builder;
  std::int64_t began_ns = clock_ns();
  bool started = false;
};

LiveTable::LiveTable() : parts_(std::make_unique<Parts>()) {}

LiveTable::~LiveTable() {
  if (!parts_->started)
    return;
  parts_->sampler.stop(stop_patience);
  parts_->surveyor.stop(stop_patience);
}

Result<TableContents> LiveTable::sample(std::chrono::milliseconds time) {
  Parts &parts = *parts_;
  if (!std::exchange(parts.started, true)) {
    // Longer than any sample's distance: never one sample per interval.
    for (const auto failure : {parts.sampler.start(parts.config, std::chrono::hours(1)),
                               parts.surveyor.start(parts.config)})
      if (failure)
        return Error{*failure, "start a thread"};
    parts.sampler.ask();
    (void)parts.sampler.take_until(Clock::now() + longest_wait);
  }
  std::this_thread::sleep_for(time);
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
  return table_contents(table, *harvest, Config::Seconds(time), parts.began_ns);
}

} // namespace backlog
