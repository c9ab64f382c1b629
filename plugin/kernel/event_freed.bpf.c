/* Counts segments that the kernel frees for a listening TCP socket, at the tracepoint kfree_skb
   with its argument rx_sk (Linux 6.11 and later). sk_drops less these frees is the socket's part in
   ListenDrops, because sk_drops counts frees (sk_drops_add(), sock_drop()) as well as dropped
   connections, which are not frees (tcp_listendrop()). Three kinds of frees are not in sk_drops: a
   cookie that is wrong or finds no room (NO_SOCKET), a wrong checksum, and an ACK that is answered
   by a reset (TCP_FLAGS with the ACK bit). */

#include "event_kernel.bpf.h"

char dual_license[] SEC("license") = "Dual MIT/GPL";

SOCKET_MAP(frees, struct event_frees);

enum { TCP_OFFSET_OFFSET = 12, TCP_FLAGS_OFFSET = 13, TCP_FLAG_FIN = 1, TCP_FLAG_ACK = 16 };

#define REASON(NAME) (int)bpf_core_enum_value(enum skb_drop_reason, SKB_DROP_REASON_##NAME)

static __always_inline __u8 header_byte(const struct sk_buff *skb, int offset) {
  __u8 byte = 0;
  bpf_probe_read_kernel(&byte, sizeof(byte), skb->head + skb->transport_header + offset);
  return byte;
}

static __always_inline bool has_ack(const struct sk_buff *skb) {
  return header_byte(skb, TCP_FLAGS_OFFSET) & TCP_FLAG_ACK;
}

/* Whether it is data or a FIN: tcp_v4_rcv() has taken off what is before the TCP header. */
static __always_inline bool follows_final_ack(const struct sk_buff *skb) {
  __u32 header = (header_byte(skb, TCP_OFFSET_OFFSET) >> 4) * 4;
  return skb->len > header || header_byte(skb, TCP_FLAGS_OFFSET) & TCP_FLAG_FIN;
}

static __always_inline bool is_full(const struct sock *sk) {
  return sk->sk_ack_backlog > sk->sk_max_ack_backlog;
}

/* Then the final ACK is dropped though there is room (tcp_check_req()), and data ends a handshake.
 */
static __always_inline bool defers_accept(struct sock *sk) {
  __u8 seconds = 0;
  bpf_core_read(&seconds, sizeof(seconds),
                &((struct inet_connection_sock *)sk)->icsk_accept_queue.rskq_defer_accept);
  return seconds != 0;
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
  if (follows_final_ack(skb) && (is_cookie || !defers_accept(rx_sk)))
    __sync_fetch_and_add(&entry->repeated, 1);
  else
    __sync_fetch_and_add(&entry->final_acks, 1);
  return 0;
}
