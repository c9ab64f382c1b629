#pragma once

#include "backlog/table_reader.h"
#include "mib_view.h"
#include "snapshot.h"
#include "traps.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

namespace backlog {

/// Follows the table file and holds what SNMP shows and sends. One thread looks at the file,
/// another asks.
class Monitor {
public:
  /// log: gets a line when the file becomes unusable or usable again. began_ns: start of this
  /// process, CLOCK_BOOTTIME.
  Monitor(std::string path, std::function<void(const std::string &)> log,
          std::int64_t began_ns = clock_ns());

  /// Reads the file if it has been replaced. Returns whether there is something new to send or
  /// show.
  bool look();

  /// The MIB at this moment.
  MibView view(std::int64_t uptime_zero_ns) const;

  /// See TrapQueue.
  void connected();
  std::optional<Trap> next_trap();
  void sent();
  void answered(std::uint64_t number);
  void failed(std::uint64_t number);
  bool notifications_wait() const;

private:
  bool take_over(const OpenTable &table);
  void note_fault(TableStatus fault, const std::string &reason);
  TableStatus status(std::int64_t now_ns) const;

  const std::string path_;
  const std::function<void(const std::string &)> log_;
  const std::int64_t began_ns_;
  OpenTable::Identity identity_; ///< of the file that was last looked at
  std::string fault_reason_;     ///< as it was logged

  mutable std::mutex mutex_; ///< guards the following members
  std::shared_ptr<const Snapshot> snapshot_;
  TableStatus fault_ = TableStatus::stale; ///< status without a current table
  std::int64_t last_change_ns_ = began_ns_;
  TrapQueue traps_;
  std::uint32_t sent_ = 0;
};

} // namespace backlog
