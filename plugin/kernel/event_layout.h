#ifndef BACKLOG_EVENT_LAYOUT_H
#define BACKLOG_EVENT_LAYOUT_H

/* The data that the BPF programs write and events.cpp reads. Valid in C and C++. */

#include <linux/types.h>

enum {
  EVENT_LISTENERS = 16384, /* entries of each map; an entry takes about 150 bytes while it exists */
  EVENT_CLIENTS = 8192,    /* refused clients that are known again; all together take 0.8 MB */
  EVENT_FIRST_WINDOW = 1 << 20, /* bytes that a client may send before it is accepted */
  EVENT_NAMESPACES = 1024,      /* net namespaces whose queues wake the reader */
  EVENT_WAIT_BUCKETS =
      24, /* bucket i counts waits of less than 2^i jiffies, the last one all longer ones */
  EVENT_WAKE_SHARE = 8,      /* a queue wakes the reader above 1/8 of its limit */
  EVENT_WAKE_LENGTH = 2,     /* ... with at least so many connections, since a limit may be 0 */
  EVENT_STUCK_NS = 20000000, /* ... or if so many wait and nothing is accepted for so long */
  EVENT_CPU_SLOTS = 64,      /* counters of tracepoint hits; further CPUs share them */
  EVENT_QUEUES = 128,        /* queues that are followed; each takes 4 kB */
  EVENT_LATEST = 256,        /* latest additions to a queue, each with its time */
  EVENT_MARKS = 128,         /* times of earlier ones, of each 2^stride-th */
  EVENT_BOUNDS = 101         /* see event_bounds */
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

/* Segments freed for a listening TCP socket. */
struct event_frees {
  __u64 freed;      /* all segments that sk_drops counts */
  __u64 overflowed; /* final ACKs and data that found the accept queue full; Linux 6.15 and later */
  /* The next two are of segments that found the accept queue full, cookies included. */
  __u64 final_acks; /* the first one of each client; it ends the handshake */
  __u64 repeated;   /* that the same clients sent afterwards: data, FIN, ACKs of further SYN-ACKs */
};

/* A client of a listening socket. */
struct event_client {
  __u64 listener;   /* its cookie */
  __u8 address[16]; /* network byte order; IPv4 in the first four */
  __u16 port;       /* network byte order */
  __u16 padding[3];
};

/* How long accepted connections had waited. */
struct event_waits {
  __u64 accepted;
  __u64 jiffies; /* sum */
  __u64 buckets[EVENT_WAIT_BUCKETS];
};

/* A time of an addition: the low 24 bits of its number (event_counts.added), then 40 bits of
   CLOCK_MONOTONIC in us. */
#define EVENT_TIME_BITS 40
#define EVENT_TIME_MASK ((1ULL << EVENT_TIME_BITS) - 1)
#define EVENT_NUMBER_MASK 0xffffffU

/* A queue whose additions have times. It is first in, first out, so that its length at a later
   moment tells which of them have been accepted until then. */
struct event_queue {
  __u64 sock;       /* its struct sock in the kernel, which may be gone */
  __u64 waiting_us; /* whoever is not accepted yet was still waiting at this moment; later
                       than 0.2 ms ago it may be known better */
  __u64 looked_us;  /* the moment that becomes waiting_us next */
  __u32 added;      /* number of the latest addition, or of one just before */
  __u32 taken;      /* number of the latest that is known to be accepted */
  __u32 stride;     /* see EVENT_MARKS */
  __u32 padding;
  __u64 latest[EVENT_LATEST];
  __u64 marks[EVENT_MARKS];
};

/* How many accepted connections had waited for at least (low) and at most (high) how long, counted
   by event_bound_of(). */
struct event_bounds {
  __u32 low[EVENT_BOUNDS];
  __u32 high[EVENT_BOUNDS];
};

/* Steps of a quarter of a power of two, the first four of 16 us; the last one is for waits of 18
   minutes and more, and for those that are not known. */
static inline __attribute__((always_inline)) __u32 event_bound_of(__u64 us) {
  __u64 units = us >> 4;
  if (units < 4)
    return (__u32)units;
  if (units >> 26)
    return EVENT_BOUNDS - 1;
  __u32 rest = (__u32)units;
  __u32 power = 0;
  for (__u32 bits = 16; bits > 0; bits /= 2) {
    if (rest >> bits) {
      power += bits;
      rest >>= bits;
    }
  }
  return 4 * (power - 1) + ((__u32)(units >> (power - 2)) & 3);
}

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
