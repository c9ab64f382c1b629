#pragma once

#include <cstddef>
#include <span>

namespace backlog {

/// Hooks for the events programs that a kernel has, according to its BTF (/sys/kernel/btf/vmlinux).
struct EventHooks {
  bool sk_data_ready = false;   ///< tracepoint; 6.3 and later
  bool kfree_skb_rx_sk = false; ///< tracepoint kfree_skb with the receiving socket; 6.11 and later
  bool complete_hashdance = false; ///< function inet_csk_complete_hashdance()
  bool reqsk_queue_add = false;    ///< function inet_csk_reqsk_queue_add()
  bool inet_csk_accept = false;    ///< function
  bool listen_overflow = false;    ///< SKB_DROP_REASON_TCP_LISTEN_OVERFLOW; 6.15 and later
  bool drop_reasons = false; ///< SKB_DROP_REASON_NO_SOCKET, _TCP_CSUM and _TCP_FLAGS all exist

  bool operator==(const EventHooks &) const = default;
};

/// Returns no hooks if the BTF is damaged.
EventHooks find_event_hooks(std::span<const std::byte> btf);

/// The programs to load.
struct EventPlan {
  enum class Additions { none, data_ready, hashdance };

  Additions additions = Additions::none;
  bool frees = false;
  bool overflows = false; ///< told by frees
  bool waits = false;

  bool operator==(const EventPlan &) const = default;
};
EventPlan plan_events(const EventHooks &hooks);

} // namespace backlog
