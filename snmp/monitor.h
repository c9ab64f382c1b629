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

/// Follows the table file, and holds what the SNMP side shows and tells. One thread looks at the
/// file, another asks.
class Monitor {
public:
  /// log: takes a line when the file can no longer, or can again, be used; began_ns: the start of
  /// this process, CLOCK_BOOTTIME.
  Monitor(std::string path, std::function<void(const std::string &)> log,
          std::int64_t began_ns = clock_ns());

  /// Reads the file if it is another one than the last time. Returns whether there is something
  /// to tell or to show anew.
  bool look();

  /// The MIB at this moment.
  MibView view(std::int64_t uptime_zero_ns) const;

  /// As TrapQueue.
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
  OpenTable::Identity identity_; ///< of the file that was looked at last
  std::string fault_reason_;     ///< as it was logged

  mutable std::mutex mutex_; ///< of what follows
  std::shared_ptr<const Snapshot> snapshot_;
  TableStatus fault_ = TableStatus::stale; ///< what the status is when there is no current table
  std::int64_t last_change_ns_ = began_ns_;
  TrapQueue traps_;
  std::uint32_t sent_ = 0;
};

} // namespace backlog
