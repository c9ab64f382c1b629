#ifndef BACKLOG_EVENT_LAYOUT_H
#define BACKLOG_EVENT_LAYOUT_H

/* The data that the BPF programs write and events.cpp reads. Valid in C and C++. */

#include <linux/types.h>

enum {
  EVENT_LISTENERS = 16384, /* entries of each map; an entry takes about 150 bytes while it exists */
  EVENT_NAMESPACES = 1024, /* net namespaces whose queues wake the reader */
  EVENT_WAIT_BUCKETS =
      24, /* bucket i counts waits of less than 2^i jiffies, the last one all longer ones */
  EVENT_WAKE_SHARE = 8,      /* a queue wakes the reader above 1/8 of its limit */
  EVENT_WAKE_LENGTH = 2,     /* ... with at least so many connections, since a limit may be 0 */
  EVENT_STUCK_NS = 20000000, /* ... or if so many wait and nothing is accepted for so long */
  EVENT_CPU_SLOTS = 64       /* counters of tracepoint hits; further CPUs share them */
};

/* A peak is the highest length of an epoch: epoch << 32 | length, in slot epoch & 1, so that the
   programs can raise it by compare-and-swap, and it never needs a reset. */
struct event_counts {
  __u64 added;         /* connections, since the first one seen */
  __u64 peak[2];       /* of the socket */
  __u64 group_peak[2]; /* of the sum over its SO_REUSEPORT group; 0 without a group */
  __u64 net_cookie;    /* of its net namespace */
  __u64 moved_ns;      /* CLOCK_MONOTONIC, when somebody was last known to have been accepted */
  __u64 waited_us;     /* connections x us: those that an addition found had waited since the one
                          before */
  __u64 last_us;       /* CLOCK_MONOTONIC, of the last addition */
  __u32 taken;         /* added - length, as of moved_ns */
  __u32 limit;
  __u8 address[16]; /* TCP: network byte order; IPv4 in the first four */
  __u32 device;     /* TCP: index of the bound device, 0 for none */
  __u16 port;       /* TCP */
  __u8 family;      /* AF_INET, AF_INET6, AF_UNIX */
  __u8 v6only;      /* TCP */
};

/* Segments freed for a listening TCP socket that sk_drops counts. */
struct event_frees {
  __u64 freed;      /* all segments */
  __u64 overflowed; /* final ACKs and data that found the accept queue full; Linux 6.15 and later */
};

/* How long accepted connections had waited. */
struct event_waits {
  __u64 accepted;
  __u64 jiffies; /* sum */
  __u64 buckets[EVENT_WAIT_BUCKETS];
};

struct event_seen {
  __u64 count;
  __u64 padding[7]; /* a cache line of its own */
};

struct event_control {
  __u32 epoch;   /* the reader adds 1 */
  __u32 resting; /* the reader sets it before it sleeps; the program that wakes it clears it */
  __u64 lost;    /* events that found a map full */
  __u64 first_jiffies; /* two moments by both clocks, to convert jiffies */
  __u64 first_ns;
  __u64 last_jiffies;
  __u64 last_ns;
  struct event_seen seen[EVENT_CPU_SLOTS]; /* hits of the tracepoint, for any socket */
};

#endif
