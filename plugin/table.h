#pragma once

#include "config.h"
#include "drop_totals.h"
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
  bool has_queue = true; ///< false: it went during the interval, and only its counter is told
  WindowFigures queue;
  std::uint64_t limit = 0;                 ///< connections
  std::uint32_t members = 0;               ///< sockets
  bool is_tcp = true;                      ///< Unix listeners have neither of the next two
  std::optional<std::uint64_t> dropped;    ///< segments, ever
  std::optional<std::uint64_t> syn_length; ///< half-open connections
  bool has_series = false;
  /// A listener of its own; nullptr for the sums of several. Valid as long as the harvest.
  const ListenerIdentity *identity = nullptr;
  std::optional<DropTotals::Standing> drops;     ///< also without a series; segments
  std::optional<DropTotals::Standing> overflows; ///< those of them that found the queue full
};

/// Figures of all listeners together.
struct HostFigures {
  double worst_used_percent = 0;
  std::uint64_t listeners = 0;
  std::uint64_t unreported = 0; ///< listeners without a series for want of a place
  std::uint64_t dropped = 0;    ///< segments, ever
};

/// One interval of the host.
struct Table {
  std::chrono::system_clock::time_point taken_at;
  std::vector<Row> rows; ///< also the sums of those that have no series of their own
  std::optional<HostFigures> host;
  std::optional<NetCounters> counters;
  std::optional<std::uint64_t> drops_unattributed; ///< segments since the plugin's baseline
  std::optional<std::uint64_t> syn_total;          ///< half-open connections
  std::optional<NetLimits> limits;
  SamplerFigures sampler;
};

/// Makes the tables, one after the other.
class TableBuilder {
public:
  explicit TableBuilder(std::shared_ptr<const Config> config) : config_(std::move(config)) {}

  /// interval: collectd's.
  Table build(const Harvest &harvest, const std::optional<Survey> &survey,
              std::chrono::duration<double> interval);

private:
  /// The rows of one interval while they are made.
  struct Draft;

  void add_kind(const KindHarvest &kind, bool is_tcp, Draft &draft);
  void add_fold(const KindHarvest &kind, const char *name, bool is_tcp, Draft &draft);
  void add_row(const ListenerHarvest &listener, const std::string &name, bool is_tcp, Draft &draft);
  void give_places(Draft &draft, std::chrono::duration<double> interval);

  std::shared_ptr<const Config> config_;
  Roster roster_;
  DropTotals drop_totals_;
  DropTotals overflow_totals_;
  std::uint64_t dropped_ = 0; ///< segments, by all listeners ever
  std::optional<std::uint64_t> unattributed_;
};

} // namespace backlog
