#pragma once

/* Finds out how long accepted connections had waited where accept() itself cannot be observed. Each
   addition has a number and a time. The queue is first in, first out, so additions less length is
   the number of the latest connection that has been accepted. Between two moments at which this is
   known, some were accepted: each of them at the earlier moment or later, and at the later one at
   the latest. So each wait has two bounds, and they are as far apart as the moments. The moments
   are the additions, and those at which the reader runs the program look. */

#include "event_kernel.bpf.h"

#define QUEUE_MAP(NAME, VALUE)                                                                     \
  struct {                                                                                         \
    __uint(type, BPF_MAP_TYPE_HASH);                                                               \
    __uint(map_flags, BPF_F_NO_PREALLOC);                                                          \
    __uint(max_entries, EVENT_QUEUES);                                                             \
    __type(key, __u64);                                                                            \
    __type(value, VALUE);                                                                          \
  } NAME SEC(".maps")

QUEUE_MAP(queues, struct event_queue);
QUEUE_MAP(bounds_of, struct event_bounds);

enum { SCRATCH_SLOTS = 2 };

/* New entries are made here, since they are too large for the stack. An interrupt can begin the
   second program while the first one runs, so each has its own. */
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, SCRATCH_SLOTS);
  __type(key, __u32);
  __type(value, struct event_queue);
} fresh_queue SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct event_bounds);
} no_bounds SEC(".maps");

enum {
  MOST_STRIDE = 20,
  MOST_STEPS = EVENT_LATEST + EVENT_MARKS, /* of one account */
  MOST_TRIES = 8,
  /* An addition of another CPU may lie in the queue and not be counted yet. It is soon counted, and
     then it is known how many were accepted. */
  SETTLED_US = 200,
};

static __always_inline __u64 time_of(__u32 number, __u64 us) {
  return (__u64)(number & EVENT_NUMBER_MASK) << EVENT_TIME_BITS | (us & EVENT_TIME_MASK);
}

static __always_inline bool is_time_of(__u64 time, __u32 number) {
  return time >> EVENT_TIME_BITS == (number & EVENT_NUMBER_MASK) && time != 0;
}

/* us from the time until then; 0 if it is later. */
static __always_inline __u64 us_until(__u64 time, __u64 us) {
  __u64 waited = (us - time) & EVENT_TIME_MASK;
  return waited >> (EVENT_TIME_BITS - 1) ? 0 : waited;
}

/* Not static, so that the verifier walks its many paths once and not at each call. */
__noinline __u32 bound_of(__u64 us) { return event_bound_of(us); }

struct account {
  struct event_queue *queue;
  struct event_bounds *bounds;
  __u64 waiting_us;
  __u64 now_us;
  __u32 next; /* number of the first that is not accounted for */
  __u32 last;
};

static __always_inline void add_bounds(struct event_bounds *bounds, __u32 low, __u32 high,
                                       __u32 count) {
  if (low < EVENT_BOUNDS)
    __sync_fetch_and_add(&bounds->low[low], count);
  if (high < EVENT_BOUNDS)
    __sync_fetch_and_add(&bounds->high[high], count);
}

/* Accounts for the next one, or for those up to the next mark. */
static long account_next(__u32 step, struct account *account) {
  __u32 next = account->next;
  __u32 left = account->last - next;
  if ((__s32)left < 0)
    return 1;
  struct event_queue *queue = account->queue;
  __u64 time = queue->latest[next % EVENT_LATEST];
  if (is_time_of(time, next)) {
    add_bounds(account->bounds, bound_of(us_until(time, account->waiting_us)),
               bound_of(us_until(time, account->now_us)), 1);
    account->next = next + 1;
    return 0;
  }
  __u32 stride = queue->stride & 31;
  __u32 mark = next >> stride;
  __u32 count = ((mark + 1) << stride) - next;
  if (count > left + 1)
    count = left + 1;
  __u64 before = queue->marks[mark % EVENT_MARKS];
  __u64 after = queue->marks[(mark + 1) % EVENT_MARKS];
  __u32 low = 0;
  __u32 high = EVENT_BOUNDS - 1;
  if (is_time_of(before, mark << stride))
    high = bound_of(us_until(before, account->now_us));
  if (is_time_of(after, (mark + 1) << stride))
    low = bound_of(us_until(after, account->waiting_us));
  add_bounds(account->bounds, low, high, count);
  account->next = next + count;
  return 0;
}

/* taken: number of the latest that has been accepted, as of looked_us at the earliest. */
static __noinline void account_for(__u64 cookie, struct event_queue *queue, __u32 taken,
                                   __u64 looked_us) {
  if (looked_us > queue->looked_us + SETTLED_US) {
    queue->waiting_us = queue->looked_us;
    queue->looked_us = looked_us;
  }
  __u64 waiting_us = queue->waiting_us;
  __u32 before = queue->taken;
  for (int i = 0; i < MOST_TRIES; i++) {
    if ((__s32)(taken - before) <= 0)
      return;
    __u32 seen = __sync_val_compare_and_swap(&queue->taken, before, taken);
    if (seen == before)
      break;
    before = seen;
    if (i == MOST_TRIES - 1)
      return;
  }
  struct event_bounds *bounds = bpf_map_lookup_elem(&bounds_of, &cookie);
  if (!bounds)
    return;
  struct account account = {.queue = queue,
                            .bounds = bounds,
                            .waiting_us = waiting_us,
                            .now_us = bpf_ktime_get_ns() / 1000 + 1,
                            .next = before + 1,
                            .last = taken};
  bpf_loop(MOST_STEPS, account_next, &account, 0);
  __u32 left = account.last - account.next + 1;
  if ((__s32)left > 0)
    add_bounds(bounds, 0, EVENT_BOUNDS - 1, left);
}

/* Those of other net namespaces would take the room. */
static __always_inline struct event_queue *begin_queue(struct sock *sk, struct event_counts *entry,
                                                       __u64 cookie,
                                                       const struct addition *addition) {
  __u64 net_cookie = entry->net_cookie;
  if (!bpf_map_lookup_elem(&namespaces, &net_cookie))
    return 0;
  __u32 zero = 0;
  __u32 slot = addition->slot;
  struct event_bounds *none = bpf_map_lookup_elem(&no_bounds, &zero);
  struct event_queue *fresh = bpf_map_lookup_elem(&fresh_queue, &slot);
  if (!none || !fresh)
    return 0;
  fresh->sock = (__u64)sk;
  fresh->waiting_us = addition->now_us;
  fresh->looked_us = addition->now_us;
  fresh->added = addition->number;
  fresh->taken = addition->number - 1;
  fresh->stride = 0;
  for (int i = 0; i < MOST_STRIDE && entry->limit >> fresh->stride >= EVENT_MARKS / 2; i++)
    fresh->stride++;
  bpf_map_update_elem(&bounds_of, &cookie, none, BPF_NOEXIST);
  bpf_map_update_elem(&queues, &cookie, fresh, BPF_NOEXIST);
  struct event_queue *queue = bpf_map_lookup_elem(&queues, &cookie);
  if (queue) {
    /* Nobody who is followed came before now. */
    __u32 mark = addition->number >> (queue->stride & 31);
    queue->marks[mark % EVENT_MARKS] = time_of(mark << (queue->stride & 31), addition->now_us);
  }
  return queue;
}

static __noinline void follow_queue(struct sock *sk, struct event_counts *entry,
                                    const struct addition *addition) {
  __u32 added = addition->number;
  __u64 now_us = addition->now_us;
  __u64 cookie = bpf_get_socket_cookie(sk);
  struct event_queue *queue = bpf_map_lookup_elem(&queues, &cookie);
  if (!queue)
    queue = begin_queue(sk, entry, cookie, addition);
  if (!queue)
    return;
  queue->latest[added % EVENT_LATEST] = time_of(added, now_us);
  __u32 stride = queue->stride & 31;
  if ((added & ((1U << stride) - 1)) == 0)
    queue->marks[(added >> stride) % EVENT_MARKS] = time_of(added, now_us);
  queue->added = added;
  account_for(cookie, queue, added - addition->length, now_us);
}
