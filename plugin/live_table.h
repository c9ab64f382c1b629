#pragma once

#include "backlog/table_reader.h"
#include "result.h"

#include <chrono>
#include <memory>

namespace backlog {

/// Samples this host without collectd, as the plugin does: one table per call, of what happened
/// since the call before.
class LiveTable {
public:
  LiveTable();
  LiveTable(const LiveTable &) = delete;
  LiveTable &operator=(const LiveTable &) = delete;
  ~LiveTable();

  /// The error says why no listener can be read.
  Result<TableContents> sample(std::chrono::milliseconds time);

private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

} // namespace backlog
