/* Counts additions as event_ready.bpf.c does, and finds out how long connections waited. */

#define FOLLOWS_QUEUES
#include "event_ready.bpf.c"

/* The length of the queue, unless its socket is gone. */
static __always_inline bool read_length(const struct sock *sk, __u64 cookie, __u32 *length) {
  __u64 is_cookie = BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);
  __u32 now = BPF_CORE_READ(sk, __sk_common.skc_family) == AF_UNIX
                  ? BPF_CORE_READ(sk, sk_receive_queue.qlen)
                  : BPF_CORE_READ(sk, sk_ack_backlog);
  if (is_cookie != cookie || BPF_CORE_READ(sk, __sk_common.skc_state) != TCP_LISTEN ||
      (__u64)BPF_CORE_READ(sk, __sk_common.skc_cookie.counter) != cookie)
    return false;
  *length = now;
  return true;
}

struct bpf_map;

static long look_at(struct bpf_map *map, __u64 *key, struct event_queue *queue, void *context) {
  if (queue->added == queue->taken)
    return 0;
  __u64 cookie = *key;
  struct event_counts *entry = bpf_map_lookup_elem(&listeners, &cookie);
  if (!entry)
    return 0;
  __u64 now_us = bpf_ktime_get_ns() / 1000;
  __u32 length = 0;
  __u32 added = *(volatile __u64 *)&entry->added; /* before the length, as at an addition */
  if (read_length((const struct sock *)queue->sock, cookie, &length))
    account_for(cookie, queue, added - length, now_us);
  return 0;
}

/* Not attached, though a tracepoint has to be named: the reader runs it. */
SEC("raw_tp/look")
int look(void *context) {
  bpf_for_each_map_elem(&queues, look_at, 0, 0);
  return 0;
}
