/* Counts segments that the kernel frees for a listening TCP socket, at the tracepoint kfree_skb
   with its argument rx_sk (Linux 6.11 and later). sk_drops less these frees is the socket's part in
   ListenDrops, because sk_drops counts frees (sk_drops_add(), sock_drop()) as well as dropped
   connections, which are not frees (tcp_listendrop()). Three kinds of frees are not in sk_drops: a
   cookie that is wrong or finds no room (NO_SOCKET), a wrong checksum, and an ACK that is answered
   by a reset (TCP_FLAGS with the ACK bit). */

#include "event_kernel.bpf.h"

char dual_license[] SEC("license") = "Dual MIT/GPL";

SOCKET_MAP(frees, struct event_frees);

enum { TCP_FLAGS_OFFSET = 13, TCP_FLAG_ACK = 16 };

#define REASON(NAME) (int)bpf_core_enum_value(enum skb_drop_reason, SKB_DROP_REASON_##NAME)

static __always_inline bool has_ack(const struct sk_buff *skb) {
  __u8 flags = 0;
  bpf_probe_read_kernel(&flags, sizeof(flags),
                        skb->head + skb->transport_header + TCP_FLAGS_OFFSET);
  return flags & TCP_FLAG_ACK;
}

SEC("tp_btf/kfree_skb")
int BPF_PROG(freed, struct sk_buff *skb, void *location, int reason, struct sock *rx_sk) {
  note_seen();
  if (!rx_sk || !is_listening(rx_sk) || rx_sk->sk_protocol != IPPROTO_TCP)
    return 0;
  if (reason == REASON(NO_SOCKET) || reason == REASON(TCP_CSUM))
    return 0;
  if (reason == REASON(TCP_FLAGS) && has_ack(skb))
    return 0;
  __u64 cookie = bpf_get_socket_cookie(rx_sk);
  struct event_frees *entry = bpf_map_lookup_elem(&frees, &cookie);
  if (!entry) {
    struct event_frees fresh = {};
    bpf_map_update_elem(&frees, &cookie, &fresh, BPF_NOEXIST);
    entry = bpf_map_lookup_elem(&frees, &cookie);
  }
  if (!entry) {
    __sync_fetch_and_add(&control.lost, 1);
    return 0;
  }
  __sync_fetch_and_add(&entry->freed, 1);
  if (bpf_core_enum_value_exists(enum skb_drop_reason, SKB_DROP_REASON_TCP_LISTEN_OVERFLOW) &&
      reason == REASON(TCP_LISTEN_OVERFLOW))
    __sync_fetch_and_add(&entry->overflowed, 1);
  return 0;
}
