#pragma once

#include "config.h"
#include "harvest.h"
#include "roster.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace backlog {

/// One listener's interval, as every reader gets it.
struct Row {
  std::string name;
  WindowFigures queue;
  std::uint64_t limit = 0;   ///< connections
  std::uint32_t members = 0; ///< sockets; 0: it went during the interval
  bool has_series = false;
};

/// One interval of the host.
struct Table {
  std::chrono::system_clock::time_point taken_at;
  std::vector<Row> rows;
  std::optional<Row> tcp_unstable; ///< all without a series of their own because of their name
  std::optional<NetCounters> counters;
  std::optional<NetLimits> limits;
};

/// Makes the tables, one after the other.
class TableBuilder {
public:
  explicit TableBuilder(std::shared_ptr<const Config> config) : config_(std::move(config)) {}

  /// interval: collectd's.
  Table build(const Harvest &harvest, const std::optional<Survey> &survey,
              std::chrono::duration<double> interval);

private:
  std::shared_ptr<const Config> config_;
  Roster roster_;
};

} // namespace backlog
