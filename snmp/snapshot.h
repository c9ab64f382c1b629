#pragma once

#include "backlog/table_reader.h"

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace backlog {

/// One table as the MIB needs it: immutable, and without the file's padding of short texts.
class Snapshot {
public:
  /// A listener; the snapshot owns the texts.
  struct Listener {
    std::string_view name, owner, path, message, clients;
    std::array<std::uint8_t, 16> address;
    std::uint32_t index; ///< backlogListenerIndex
    std::uint32_t scope, net_namespace, has, members;
    std::uint32_t waits_for; ///< position in listeners(), plus one; 0 for none
    std::uint64_t length, peak, limit, dropped, overflows, syn_length;
    std::uint64_t recent_peak, recent_dropped, recent_overflows;
    std::uint64_t arrivals, accepts, peak_bound, enough;
    std::uint64_t syn_overflows, ack_overflows;
    std::int64_t counted_since_ns;
    double mean, used_percent, full_percent, oldest_wait_seconds;
    double recent_used_percent, wait_mean_seconds, wait_p50_seconds, wait_p99_seconds;
    std::uint16_t port;
    layout::State state;
    layout::Cause cause;
    layout::LimitSource limit_source;
    layout::Severity severity;
    layout::State alarm_state;
    layout::Cause alarm_cause;
    layout::State recent_state;
    layout::Severity recent_severity;
    layout::AddressType address_type;
  };

  /// Reads the table, or says why it is refused.
  static std::pair<std::shared_ptr<const Snapshot>, std::string> read(TableReader reader);

  Snapshot(const Snapshot &) = delete;
  Snapshot &operator=(const Snapshot &) = delete;

  const layout::Header &header() const { return header_; }
  const std::vector<layout::Namespace> &namespaces() const { return namespaces_; }
  const std::vector<Listener> &listeners() const { return listeners_; } ///< sorted by name

  /// (index, position), sorted by index.
  using Order = std::vector<std::pair<std::uint32_t, std::uint32_t>>;
  const Order &listener_order() const { return listener_order_; }
  const Order &namespace_order() const { return namespace_order_; }

  std::uint32_t in_state(layout::State state) const {
    return in_state_[static_cast<std::size_t>(state)];
  }
  /// The listener with the highest used_percent; nullptr if there is none.
  const Listener *worst() const { return worst_; }
  /// Whether it has other listeners or other states than `other`.
  bool differs_from(const Snapshot &other) const;

private:
  Snapshot() = default;
  void add(const layout::Listener &record);
  std::string_view keep(std::string_view text);
  void put_in_order();

  layout::Header header_{};
  std::vector<layout::Namespace> namespaces_;
  std::vector<Listener> listeners_;
  Order listener_order_;
  Order namespace_order_;
  std::array<std::uint32_t, layout::state_names.size()> in_state_{};
  const Listener *worst_ = nullptr;
  std::vector<std::unique_ptr<char[]>> texts_;
  std::size_t text_room_ = 0; ///< bytes left in the last block
};

} // namespace backlog
