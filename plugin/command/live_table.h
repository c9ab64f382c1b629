#pragma once

#include "backlog/table_reader.h"
#include "collector.h"
#include "result.h"

#include <chrono>

namespace backlog {

/// Samples this host without collectd, the way the plugin does.
class LiveTable {
public:
  LiveTable();
  LiveTable(const LiveTable &) = delete;
  LiveTable &operator=(const LiveTable &) = delete;
  ~LiveTable();

  /// Starts sampling.
  Failure start();
  /// Returns the table since the previous call or the start, which was `time` ago. The error says
  /// why no listener can be read.
  Result<TableContents> take(std::chrono::milliseconds time);

private:
  Collector collector_;
};

} // namespace backlog
