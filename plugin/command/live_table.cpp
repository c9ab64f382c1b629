#include "live_table.h"

#include <cerrno>
#include <utility>

namespace backlog {

namespace {

constexpr std::chrono::seconds longest_wait{5};
constexpr std::chrono::milliseconds stop_patience{400};

} // namespace

LiveTable::LiveTable() : collector_(std::make_shared<Config>()) {}

LiveTable::~LiveTable() { collector_.stop(stop_patience); }

Failure LiveTable::start() {
  // Longer than any sampling interval, so that sampling is never reduced to one sample per read.
  constexpr std::chrono::hours longest_distance{1};
  if (!collector_.start(longest_distance).empty())
    return Error{EAGAIN, "start a thread"};
  (void)collector_.read(longest_distance, longest_wait); // begins the interval
  return std::nullopt;
}

Result<TableContents> LiveTable::take(std::chrono::milliseconds time) {
  Collector::Reading reading = collector_.read(Config::Seconds(time), longest_wait);
  if (reading.reports.empty())
    return Error{ETIMEDOUT, "read listeners"};
  Report &report = reading.reports.back();
  if (!report.harvest.own.tcp.read)
    return Error{EPROTONOSUPPORT, report.harvest.faults.empty()
                                      ? "read listeners"
                                      : report.harvest.faults.front().reason};
  if (!report.contents) // the first interval was late
    return Error{ETIMEDOUT, "read listeners"};
  return std::move(*report.contents);
}

} // namespace backlog
