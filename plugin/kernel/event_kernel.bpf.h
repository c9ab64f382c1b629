#pragma once

/* The members of the kernel's types that the programs read. The kernel relocates each by its name,
   so their order and size here do not matter. */

#include "event_layout.h"

#include <linux/bpf.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include <stdbool.h>

#define RELOCATED __attribute__((preserve_access_index))

/* A map of listening sockets, keyed by socket cookie. */
#define SOCKET_MAP(NAME, VALUE)                                                                    \
  struct {                                                                                         \
    __uint(type, BPF_MAP_TYPE_HASH);                                                               \
    __uint(map_flags, BPF_F_NO_PREALLOC);                                                          \
    __uint(max_entries, EVENT_LISTENERS);                                                          \
    __type(key, __u64);                                                                            \
    __type(value, VALUE);                                                                          \
  } NAME SEC(".maps")

enum { TCP_LISTEN = 10, AF_UNIX = 1, AF_INET = 2, IPPROTO_TCP = 6 };

struct net {
  __u64 net_cookie;
} RELOCATED;

typedef struct {
  struct net *net;
} possible_net_t;

typedef struct {
  __s64 counter;
} atomic64_t;

struct in6_addr {
  __u8 in6_u[16];
} RELOCATED;

struct sock_common {
  __be32 skc_rcv_saddr;
  __u16 skc_num;
  __u16 skc_family;
  volatile unsigned char skc_state;
  unsigned char skc_ipv6only : 1;
  int skc_bound_dev_if;
  possible_net_t skc_net;
  atomic64_t skc_cookie;
  struct in6_addr skc_v6_rcv_saddr;
} RELOCATED;

struct sk_buff_head {
  __u32 qlen;
} RELOCATED;

struct sock_reuseport {
  __u16 num_socks;
  struct sock *socks[];
} RELOCATED;

struct sock {
  struct sock_common __sk_common;
  struct sk_buff_head sk_receive_queue;
  __u16 sk_protocol;
  __u32 sk_ack_backlog;
  __u32 sk_max_ack_backlog;
  struct sock_reuseport *sk_reuseport_cb;
} RELOCATED;

struct tcp_sock {
  __u32 lsndtime;
} RELOCATED;

struct sk_buff {
  unsigned char *head;
  __u16 network_header;
  __u16 transport_header;
} RELOCATED;

/* The numbers differ between kernels; each kernel puts in its own. */
enum skb_drop_reason {
  SKB_DROP_REASON_NO_SOCKET = 3,
  SKB_DROP_REASON_TCP_CSUM = 5,
  SKB_DROP_REASON_TCP_FLAGS = 30,
  SKB_DROP_REASON_TCP_LISTEN_OVERFLOW = 99,
};

struct event_control control;

/* Needs no atomic add: the program runs alone on its CPU, and the kernel skips it in an interrupt.
 */
static __always_inline void note_seen(void) {
  ++control.seen[bpf_get_smp_processor_id() % EVENT_CPU_SLOTS].count;
}

static __always_inline bool is_listening(const struct sock *sk) {
  return sk->__sk_common.skc_state == TCP_LISTEN;
}
