#pragma once

/* Counts an addition to a listener's accept queue, whichever hook reports it. */

#include "event_kernel.bpf.h"

SOCKET_MAP(listeners, struct event_counts);

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, EVENT_NAMESPACES);
  __type(key, __u64); /* cookie of a net namespace that the reader samples */
  __type(value, __u8);
} namespaces SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 4096);
} wake SEC(".maps");

/* The listener whose addition the first of two programs has counted on this CPU. There are two
   programs because the kernel skips a program that an interrupt finds running (prog->active); then
   the other one counts the addition. */
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u64);
} counted SEC(".maps");

enum { MOST_RAISES = 8, MOST_GROUP_MEMBERS = 64 };

static __always_inline void raise(__u64 *peak, __u32 epoch, __u32 length) {
  __u64 wanted = (__u64)epoch << 32 | length;
  __u64 *slot = &peak[epoch & 1];
  __u64 seen = *slot;
  for (int i = 0; i < MOST_RAISES && seen < wanted; i++) {
    __u64 before = __sync_val_compare_and_swap(slot, seen, wanted);
    if (before == seen)
      break;
    seen = before;
  }
}

/* The connections that wait at all members of the socket's SO_REUSEPORT group; 0 if it has no
   group, or the group is too large to be read here. */
static __always_inline __u32 group_length(struct sock *sk) {
  struct sock_reuseport *group = sk->sk_reuseport_cb;
  if (!group)
    return 0;
  __u32 members = BPF_CORE_READ(group, num_socks);
  if (members < 2 || members > MOST_GROUP_MEMBERS)
    return 0;
  __u32 sum = 0;
  struct sock **socks = (void *)group + bpf_core_field_offset(group->socks);
  for (__u32 i = 0; i < MOST_GROUP_MEMBERS && i < members; i++) {
    struct sock *member = 0;
    __u32 length = 0;
    bpf_probe_read_kernel(&member, sizeof(member), &socks[i]);
    bpf_core_read(&length, sizeof(length), &member->sk_ack_backlog);
    sum += length;
  }
  return sum;
}

static __always_inline void note_address(struct sock *sk, struct event_counts *entry) {
  entry->family = sk->__sk_common.skc_family;
  if (entry->family == AF_UNIX)
    return;
  entry->port = sk->__sk_common.skc_num;
  entry->device = sk->__sk_common.skc_bound_dev_if;
  entry->v6only = BPF_CORE_READ_BITFIELD_PROBED(&sk->__sk_common, skc_ipv6only);
  if (entry->family == AF_INET)
    bpf_core_read(entry->address, 4, &sk->__sk_common.skc_rcv_saddr);
  else
    bpf_core_read(entry->address, 16, &sk->__sk_common.skc_v6_rcv_saddr);
}

static __always_inline struct event_counts *entry_of(struct sock *sk) {
  __u64 cookie = bpf_get_socket_cookie(sk);
  struct event_counts *entry = bpf_map_lookup_elem(&listeners, &cookie);
  if (entry)
    return entry;
  struct event_counts fresh;
  __builtin_memset(&fresh, 0, sizeof(fresh));
  note_address(sk, &fresh);
  fresh.net_cookie = sk->__sk_common.skc_net.net->net_cookie;
  bpf_map_update_elem(&listeners, &cookie, &fresh, BPF_NOEXIST);
  entry = bpf_map_lookup_elem(&listeners, &cookie);
  if (!entry)
    __sync_fetch_and_add(&control.lost, 1);
  return entry;
}

/* Since the addition before, the queue has not been shorter than what this one found in it. */
static __always_inline void add_waits(struct event_counts *entry, __u64 now_ns, __u32 length) {
  __u64 now_us = now_ns / 1000;
  __u64 before_us = __sync_lock_test_and_set(&entry->last_us, now_us);
  if (before_us != 0 && now_us > before_us)
    __sync_fetch_and_add(&entry->waited_us, (now_us - before_us) * (length - 1));
}

/* Whether the reader should look: many connections wait, or nothing is accepted any more. */
static __always_inline bool asks_for_a_look(struct event_counts *entry, __u64 added, __u32 length,
                                            __u32 limit, __u64 now_ns) {
  __u32 taken = (__u32)added - length;
  if (length < EVENT_WAKE_LENGTH || taken != entry->taken) {
    entry->taken = taken;
    entry->moved_ns = now_ns;
  }
  return length >= EVENT_WAKE_LENGTH &&
         ((__u64)length * EVENT_WAKE_SHARE > limit || now_ns - entry->moved_ns > EVENT_STUCK_NS);
}

struct addition {
  __u64 now_us;
  __u32 number;
  __u32 length; /* of the queue after it */
  __u32 slot;   /* which of the programs counts it */
};

#ifdef FOLLOWS_QUEUES
#include "event_queue.bpf.h"
#else
static __always_inline void follow_queue(struct sock *sk, struct event_counts *entry,
                                         const struct addition *addition) {}
#endif

static __always_inline void wake_reader(struct event_counts *entry, __u64 now_ns) {
  __u64 net_cookie = entry->net_cookie;
  if (!bpf_map_lookup_elem(&namespaces, &net_cookie))
    return;
  if (__sync_val_compare_and_swap(&control.resting, 1, 0) == 1)
    bpf_ringbuf_output(&wake, &now_ns, sizeof(now_ns), BPF_RB_FORCE_WAKEUP);
}

/* A listener's queue has just become longer. An MPTCP socket uses the queue of its TCP listener. */
static __always_inline int count_addition(struct sock *sk, __u32 slot) {
  bool is_unix = sk->__sk_common.skc_family == AF_UNIX;
  if (!is_unix && sk->sk_protocol != IPPROTO_TCP)
    return 0;
  struct event_counts *entry = entry_of(sk);
  if (!entry)
    return 0;
  __u64 now_ns = bpf_ktime_get_ns();
  /* Before the length is read: what is added meanwhile then lies in the queue and is not in added,
     so that fewer seem to be accepted than are, and never more. */
  __u64 added = __sync_fetch_and_add(&entry->added, 1) + 1;
  __u32 length = is_unix ? *(volatile __u32 *)&sk->sk_receive_queue.qlen
                         : *(volatile __u32 *)&sk->sk_ack_backlog;
  __u32 limit = sk->sk_max_ack_backlog;
  __u32 epoch = *(volatile __u32 *)&control.epoch;
  entry->limit = limit;
  raise(entry->peak, epoch, length);
  if (!is_unix)
    raise(entry->group_peak, epoch, group_length(sk));
  if (length > 0)
    add_waits(entry, now_ns, length);
  struct addition addition = {
      .now_us = now_ns / 1000, .number = added, .length = length, .slot = slot};
  follow_queue(sk, entry, &addition);
  if (asks_for_a_look(entry, added, length, limit, now_ns) && *(volatile __u32 *)&control.resting)
    wake_reader(entry, now_ns);
  return 0;
}

static __always_inline int count_first(struct sock *sk) {
  __u32 zero = 0;
  __u64 *mark = bpf_map_lookup_elem(&counted, &zero);
  count_addition(sk, 0);
  if (mark)
    *mark = (__u64)sk;
  return 0;
}

static __always_inline int forget_counted(void) {
  __u32 zero = 0;
  __u64 *mark = bpf_map_lookup_elem(&counted, &zero);
  if (mark)
    *mark = 0;
  return 0;
}

static __always_inline int count_unless_counted(struct sock *sk) {
  __u32 zero = 0;
  __u64 *mark = bpf_map_lookup_elem(&counted, &zero);
  if (mark && *mark == (__u64)sk) {
    *mark = 0;
    return 0;
  }
  return count_addition(sk, 1);
}
