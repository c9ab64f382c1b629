#include "monitor.h"

#include <utility>

namespace backlog {

namespace {

// Three of collectd's default intervals, because collectd may start later than this program.
constexpr std::int64_t start_grace_ns = 30LL * 1'000'000'000;

} // namespace

Monitor::Monitor(std::string path, std::function<void(const std::string &)> log,
                 std::int64_t began_ns)
    : path_(std::move(path)), log_(std::move(log)), began_ns_(began_ns) {}

bool Monitor::look() {
  const OpenTable table(path_);
  bool fresh = false;
  if (!table.refusal().empty()) {
    note_fault(table.absent() ? TableStatus::absent : TableStatus::refused, table.refusal());
    identity_ = {};
  } else if (table.identity() != identity_) {
    fresh = take_over(table);
    identity_ = table.identity(); // a file for which memory was short is read again
  }

  const std::int64_t now_ns = clock_ns();
  const std::lock_guard lock(mutex_);
  const bool current = status(now_ns) == TableStatus::current;
  if (current || snapshot_ || now_ns - began_ns_ >= start_grace_ns)
    traps_.note_status(current);
  return fresh || traps_.waiting();
}

bool Monitor::take_over(const OpenTable &table) {
  auto [snapshot, refusal] = Snapshot::read(table.reader());
  if (!snapshot) {
    note_fault(TableStatus::refused, refusal);
    return false;
  }
  note_fault(TableStatus::stale, "");
  const std::int64_t now_ns = clock_ns();
  std::shared_ptr<const Snapshot> old; // freed after the lock is released
  const std::lock_guard lock(mutex_);
  if (!snapshot_ || snapshot->differs_from(*snapshot_))
    last_change_ns_ = now_ns;
  old = std::exchange(snapshot_, std::move(snapshot));
  if (status(now_ns) == TableStatus::current)
    traps_.note_table(*snapshot_);
  return true;
}

void Monitor::note_fault(TableStatus fault, const std::string &reason) {
  {
    const std::lock_guard lock(mutex_);
    fault_ = fault;
  }
  if (reason == fault_reason_)
    return;
  log_(reason.empty() ? "table " + path_ + " can be read again"
                      : "no table: " + path_ + ": " + reason);
  fault_reason_ = reason;
}

TableStatus Monitor::status(std::int64_t now_ns) const {
  if (snapshot_ && !is_stale(snapshot_->header(), now_ns))
    return TableStatus::current;
  return fault_;
}

MibView Monitor::view(std::int64_t uptime_zero_ns) const {
  const std::int64_t now_ns = clock_ns();
  const std::lock_guard lock(mutex_);
  return {snapshot_,
          {.status = status(now_ns),
           .now_ns = now_ns,
           .uptime_zero_ns = uptime_zero_ns,
           .last_change_ns = last_change_ns_,
           .began_ns = began_ns_,
           .notifications_sent = sent_,
           .notifications_superseded = traps_.superseded()}};
}

void Monitor::connected() {
  const std::lock_guard lock(mutex_);
  traps_.connected();
}

std::optional<Trap> Monitor::next_trap() {
  const std::lock_guard lock(mutex_);
  return traps_.next();
}

void Monitor::sent() {
  const std::lock_guard lock(mutex_);
  ++sent_;
}

void Monitor::answered(std::uint64_t number) {
  const std::lock_guard lock(mutex_);
  traps_.answered(number);
}

void Monitor::failed(std::uint64_t number) {
  const std::lock_guard lock(mutex_);
  traps_.failed(number);
}

bool Monitor::notifications_wait() const {
  const std::lock_guard lock(mutex_);
  return traps_.waiting();
}

} // namespace backlog
