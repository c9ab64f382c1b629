/* Counts how long accepted connections had waited, at the return of inet_csk_accept(). A connection
   that has sent nothing yet has in lsndtime the jiffies at which it entered the queue
   (tcp_create_openreq_child(), tcp_init_transfer()). Linux 6.10 changed the arguments of the
   function, but not its result. */

#include "event_kernel.bpf.h"

char dual_license[] SEC("license") = "Dual MIT/GPL";

SOCKET_MAP(waits, struct event_waits);

static __always_inline __u32 bucket_of(__u32 jiffies) {
  __u32 bucket = 0;
  for (; bucket < EVENT_WAIT_BUCKETS - 1 && jiffies >= (1U << bucket); bucket++) {
  }
  return bucket;
}

SEC("fexit/inet_csk_accept")
int BPF_PROG(accepted, struct sock *sk) {
  note_seen();
  __u64 child = 0;
  bpf_get_func_ret(ctx, &child);
  if (!child)
    return 0;
  __u32 sent = 0;
  bpf_core_read(&sent, sizeof(sent), &((struct tcp_sock *)child)->lsndtime);
  __u64 now = bpf_jiffies64();
  __u32 waited = (__u32)now - sent;
  __u64 cookie = bpf_get_socket_cookie(sk);
  struct event_waits *entry = bpf_map_lookup_elem(&waits, &cookie);
  if (!entry) {
    struct event_waits fresh;
    __builtin_memset(&fresh, 0, sizeof(fresh));
    bpf_map_update_elem(&waits, &cookie, &fresh, BPF_NOEXIST);
    entry = bpf_map_lookup_elem(&waits, &cookie);
  }
  if (!entry) {
    __sync_fetch_and_add(&control.lost, 1);
    return 0;
  }
  if (!control.first_ns) {
    control.first_jiffies = now;
    control.first_ns = bpf_ktime_get_ns();
  }
  control.last_jiffies = now;
  control.last_ns = bpf_ktime_get_ns();
  __sync_fetch_and_add(&entry->accepted, 1);
  __sync_fetch_and_add(&entry->jiffies, waited);
  __u32 bucket = bucket_of(waited);
  if (bucket < EVENT_WAIT_BUCKETS)
    __sync_fetch_and_add(&entry->buckets[bucket], 1);
  return 0;
}
