#ifndef BACKLOG_EVENT_LAYOUT_H
#define BACKLOG_EVENT_LAYOUT_H

/* What the BPF programs write and events.cpp reads. C, and C++ as well. */

#include <linux/types.h>

enum {
  EVENT_LISTENERS =
      16384, /* entries of each map; an entry costs some 150 bytes while it is there */
  EVENT_NAMESPACES = 1024, /* net namespaces whose queues wake the reader */
  EVENT_WAIT_BUCKETS =
      24, /* waits of less than 2^i jiffies, i = 0 ..; the last one holds all others */
  EVENT_WAKE_SHARE = 8,      /* of its limit that a queue must be above to wake the reader */
  EVENT_WAKE_LENGTH = 2,     /* connections that must wait at least, for a limit may be 0 */
  EVENT_STUCK_NS = 20000000, /* ... and those wake it as well if nobody accepts for so long */
  EVENT_CPU_SLOTS = 64       /* counters of what was seen at all; CPUs beyond share them */
};

/* A peak is the highest length of an epoch: epoch << 32 | length, in slot epoch & 1, so that the
   programs can raise it by compare-and-swap, and nobody ever has to reset it. */
struct event_counts {
  __u64 added;         /* connections, since the first one seen */
  __u64 peak[2];       /* of the socket */
  __u64 group_peak[2]; /* of the sum over its SO_REUSEPORT group; 0: it is in none */
  __u64 net_cookie;    /* of its net namespace */
  __u64 moved_ns;      /* CLOCK_MONOTONIC, when somebody was last known to have been accepted */
  __u64 waited_us;     /* connections x us: those that an addition found had waited since the one
                          before */
  __u64 last_us;       /* CLOCK_MONOTONIC, of the last addition */
  __u32 taken;         /* added - length, as of moved_ns */
  __u32 limit;
  __u8 address[16]; /* TCP: bound to, network byte order; IPv4 in the first four */
  __u32 device;     /* TCP: index of the device bound to, 0: none */
  __u16 port;       /* TCP */
  __u8 family;      /* AF_INET, AF_INET6, AF_UNIX */
  __u8 v6only;      /* TCP */
};

/* What was freed for a listening TCP socket, as far as sk_drops counts it. */
struct event_frees {
  __u64 freed; /* segments, all of them */
  __u64
      overflowed; /* final ACKs and data that found the accept queue full; kernel 6.15 and later */
};

/* What those who were accepted had waited. */
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
  __u32 epoch;         /* the reader adds 1 */
  __u32 resting;       /* the reader sets it and sleeps; the program that wakes it takes it to 0 */
  __u64 lost;          /* events for which the map had no room */
  __u64 first_jiffies; /* of the programs that count in jiffies: two moments by both clocks */
  __u64 first_ns;
  __u64 last_jiffies;
  __u64 last_ns;
  struct event_seen
      seen[EVENT_CPU_SLOTS]; /* times that the tracepoint was hit, for whatever socket */
};

#endif
