#pragma once

#include "backlog/table_reader.h"
#include "collector.h"
#include "result.h"

#include <chrono>

namespace backlog {

/// Samples this host without collectd, as the plugin does.
class LiveTable {
public:
  LiveTable();
  LiveTable(const LiveTable &) = delete;
  LiveTable &operator=(const LiveTable &) = delete;
  ~LiveTable();

  /// Begins to sample.
  Failure start();
  /// What happened since the call before, or since the start, which was that time ago. The error
  /// says why no listener can be read.
  Result<TableContents> take(std::chrono::milliseconds time);

private:
  Collector collector_;
};

} // namespace backlog
