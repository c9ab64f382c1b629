/* Counts segments that the kernel frees for a listening TCP socket, at the tracepoint kfree_skb
   with its argument rx_sk (Linux 6.11 and later). sk_drops less these frees is the socket's part in
   ListenDrops, because sk_drops counts frees (sk_drops_add(), sock_drop()) as well as dropped
   connections, which are not frees (tcp_listendrop()). Three kinds of frees are not in sk_drops: a
   cookie that is wrong or finds no room (NO_SOCKET), a wrong checksum, and an ACK that is answered
   by a reset (TCP_FLAGS with the ACK bit). */

#include "event_kernel.bpf.h"

#include <bpf/bpf_endian.h>

char dual_license[] SEC("license") = "Dual MIT/GPL";

SOCKET_MAP(frees, struct event_frees);

/* The clients of the latest segments that found an accept queue full, each with the sequence number
   of its first. */
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, EVENT_CLIENTS);
  __type(key, struct event_client);
  __type(value, __u32);
} refused SEC(".maps");

enum {
  IPV4_SOURCE_OFFSET = 12,
  IPV6_SOURCE_OFFSET = 8,
  IPV6_VERSION = 6,
  TCP_NUMBER_OFFSET = 4,
  TCP_FLAGS_OFFSET = 13,
  TCP_FLAG_ACK = 16
};

#define REASON(NAME) (int)bpf_core_enum_value(enum skb_drop_reason, SKB_DROP_REASON_##NAME)

static __always_inline bool has_ack(const struct sk_buff *skb) {
  __u8 flags = 0;
  bpf_probe_read_kernel(&flags, sizeof(flags),
                        skb->head + skb->transport_header + TCP_FLAGS_OFFSET);
  return flags & TCP_FLAG_ACK;
}

static __always_inline bool is_full(const struct sock *sk) {
  return sk->sk_ack_backlog > sk->sk_max_ack_backlog;
}

/* Whether it is the first segment of a client that found the accept queue full. A client that comes
   anew with the same address and port has another initial sequence number. */
static __always_inline bool is_first(const struct sk_buff *skb, __u64 listener) {
  struct event_client client = {.listener = listener};
  const unsigned char *network = skb->head + skb->network_header;
  const unsigned char *transport = skb->head + skb->transport_header;
  __u8 version = 0;
  __be32 number = 0;
  bpf_probe_read_kernel(&version, sizeof(version), network);
  if (version >> 4 == IPV6_VERSION)
    bpf_probe_read_kernel(client.address, sizeof(client.address), network + IPV6_SOURCE_OFFSET);
  else
    bpf_probe_read_kernel(client.address, sizeof(__be32), network + IPV4_SOURCE_OFFSET);
  bpf_probe_read_kernel(&client.port, sizeof(client.port), transport);
  bpf_probe_read_kernel(&number, sizeof(number), transport + TCP_NUMBER_OFFSET);
  __u32 sent = bpf_ntohl(number);
  const __u32 *first = bpf_map_lookup_elem(&refused, &client);
  if (first && sent - *first < EVENT_FIRST_WINDOW)
    return false;
  bpf_map_update_elem(&refused, &client, &sent, BPF_ANY);
  return true;
}

SEC("tp_btf/kfree_skb")
int BPF_PROG(freed, struct sk_buff *skb, void *location, int reason, struct sock *rx_sk) {
  note_seen();
  if (!rx_sk || !is_listening(rx_sk) || rx_sk->sk_protocol != IPPROTO_TCP)
    return 0;
  bool is_cookie = reason == REASON(NO_SOCKET);
  if (is_cookie && !is_full(rx_sk))
    return 0;
  if (reason == REASON(TCP_CSUM))
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
  bool has_overflowed =
      bpf_core_enum_value_exists(enum skb_drop_reason, SKB_DROP_REASON_TCP_LISTEN_OVERFLOW) &&
      reason == REASON(TCP_LISTEN_OVERFLOW);
  if (!is_cookie)
    __sync_fetch_and_add(&entry->freed, 1);
  if (has_overflowed)
    __sync_fetch_and_add(&entry->overflowed, 1);
  if (!is_cookie && !has_overflowed)
    return 0;
  if (is_first(skb, cookie))
    __sync_fetch_and_add(&entry->final_acks, 1);
  else
    __sync_fetch_and_add(&entry->repeated, 1);
  return 0;
}
