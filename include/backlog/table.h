#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

/// The table file: one interval of the host, as the plugin publishes it for other processes.
///
///   Header, Header::namespaces times Namespace, Header::listeners times Listener
///
/// and nothing after that, in host byte order. The first namespace is the plugin's own, `self`. The
/// other namespaces and all listeners are sorted by name, and each name occurs once. The plugin
/// never changes the file: it renames a new one over it, so an open file always holds one whole
/// interval.
namespace backlog::layout {

constexpr std::array<char, 8> magic{'B', 'A', 'C', 'K', 'L', 'O', 'G', '\n'};
constexpr std::uint32_t version = 2;

constexpr std::uint32_t max_namespaces = 4096;
constexpr std::uint32_t max_listeners = 100000;
/// A table is stale when it is older than this many intervals.
constexpr int stale_intervals = 3;

/// The recent figures cover at least this long.
constexpr std::int64_t recent_ns = 300LL * 1'000'000'000;

constexpr std::string_view own_namespace = "self";

/// Text of printable ASCII, filled up with NULs, at least one. Any other byte is written as \xHH, a
/// backslash as \\.
template <std::size_t size> using Text = std::array<char, size>;

/// How a listener is. The number is collectd's gauge-state; a higher one is worse.
enum class State : std::uint8_t { ok, high, overflow, stalled, missing };
constexpr std::array<std::string_view, 5> state_names{"ok", "high", "overflow", "stalled",
                                                      "missing"};
static_assert(state_names[static_cast<std::size_t>(State::missing)] == "missing");

/// Why the listener is in its state. The causes of the SYN queue go with state `ok`, because a
/// connection refused for lack of room there is not an accept queue overflow.
enum class Cause : std::uint8_t {
  none,
  burst,          ///< the queue emptied before clients sent their SYN again (1 s)
  slow_accept,    ///< it did not: connections arrive faster than the application accepts
  skew,           ///< one member is full while the others are idle
  syn_flood,      ///< the SYN queue is at its limit, and cookies are sent instead
  syn_queue_full, ///< the SYN queue is at its limit, and cookies are off
  not_accepting,
  pause, ///< full for a second or more, mostly without an accept(), then drained
};
constexpr std::array<std::string_view, 8> cause_names{
    "none",      "burst",          "slow_accept",   "skew",
    "syn_flood", "syn_queue_full", "not_accepting", "pause"};
static_assert(cause_names[static_cast<std::size_t>(Cause::pause)] == "pause");

/// The origin of the limit in force.
enum class LimitSource : std::uint8_t {
  unknown, ///< the limit was set before collectd began, there is no listener, or somaxconn is
           ///< unreadable
  application,
  somaxconn,
  stale, ///< an earlier value of somaxconn
  zero,
};
constexpr std::array<std::string_view, 5> limit_source_names{"unknown", "application", "somaxconn",
                                                             "stale", "zero"};
static_assert(limit_source_names[static_cast<std::size_t>(LimitSource::zero)] == "zero");

/// Severity of a notification. An alarm keeps it until OKAY has been sent.
enum class Severity : std::uint8_t { okay, warning, failure };
constexpr std::array<std::string_view, 3> severity_names{"okay", "warning", "failure"};
static_assert(severity_names[static_cast<std::size_t>(Severity::failure)] == "failure");

constexpr std::string_view name_of(State state) {
  return state_names[static_cast<std::size_t>(state)];
}
constexpr std::string_view name_of(Cause cause) {
  return cause_names[static_cast<std::size_t>(cause)];
}
constexpr std::string_view name_of(LimitSource source) {
  return limit_source_names[static_cast<std::size_t>(source)];
}
constexpr std::string_view name_of(Severity severity) {
  return severity_names[static_cast<std::size_t>(severity)];
}

/// Kinds of figures that the kernel counts for us event by event, instead of our sampling them.
enum class Events : std::uint8_t { off, peaks, drops, waits }; ///< each includes those before it
constexpr std::array<std::string_view, 4> events_names{"off", "peaks", "drops", "waits"};
static_assert(events_names[static_cast<std::size_t>(Events::waits)] == "waits");
constexpr std::string_view name_of(Events events) {
  return events_names[static_cast<std::size_t>(events)];
}

enum class AddressType : std::uint8_t { none, ipv4, ipv6 }; ///< none: a Unix listener

/// Whether a byte read from a file is a value of the enumeration.
constexpr bool is_known(State state) {
  return static_cast<std::size_t>(state) < state_names.size();
}
constexpr bool is_known(Cause cause) {
  return static_cast<std::size_t>(cause) < cause_names.size();
}
constexpr bool is_known(LimitSource source) {
  return static_cast<std::size_t>(source) < limit_source_names.size();
}
constexpr bool is_known(Severity severity) {
  return static_cast<std::size_t>(severity) < severity_names.size();
}
constexpr bool is_known(Events events) {
  return static_cast<std::size_t>(events) < events_names.size();
}
constexpr bool is_known(AddressType type) { return type <= AddressType::ipv6; }

/// How many connections wait when all queues of a group are full. Each queue holds one more than
/// its limit, because the kernel tests with > (sk_acceptq_is_full()).
constexpr std::uint64_t group_capacity(std::uint64_t limit, std::uint32_t members) {
  return limit + members;
}

/// Listener::wait_counts[i] counts the waits known to be at most this long, in seconds; the last
/// one counts all.
constexpr std::array<double, 11> wait_bounds{0.001, 0.005, 0.025, 0.1, 0.25, 0.5,
                                             1,     2.5,   5,     10,  30};

/// Bits of Listener::has: which values are known, and properties of the listener.
enum ListenerValue : std::uint32_t {
  has_queue = 1U << 0,   ///< length, peak, peak_capacity, limit, mean, used, full, members
  has_dropped = 1U << 1, ///< dropped, overflows
  has_syn_length = 1U << 2,
  has_oldest_wait = 1U << 3,
  has_recent = 1U << 4,         ///< recent_peak, recent_peak_capacity, recent_used_percent
  has_recent_dropped = 1U << 5, ///< recent_dropped, recent_overflows
  has_arrivals = 1U << 6,
  has_accepts = 1U << 7,
  has_wait_mean = 1U << 8,
  has_wait_quantiles = 1U << 9, ///< wait_p50_seconds, wait_p99_seconds
  has_peak_bound = 1U << 10,
  has_enough = 1U << 11,
  is_expected = 1U << 12, ///< a Watch block expects it
  is_stable = 1U << 13,   ///< same name after a restart; only such listeners have series
  has_day_peak = 1U << 14,
  has_overflow_kinds = 1U << 15, ///< syn_overflows, ack_overflows
  has_wait_counts = 1U << 16,    ///< wait_counts, wait_seconds
  listener_values = (1U << 17) - 1
};

/// One listener in one interval.
struct Listener {
  Text<104> name;
  Text<128> owner;   ///< "" if unknown
  Text<256> path;    ///< of a Unix listener; begins with @ where the name is abstract
  Text<256> message; ///< "" if there is nothing to say
  /// The clients that most wait, the most frequent first, and how many connections were looked at:
  /// "31 of 40 from 10.0.0.7, 5 from 10.0.0.8 (nginx.service)". "" if unknown.
  Text<128> clients;
  Text<104> address_name; ///< the name by its address; "" unless a Watch block gives another
  std::array<std::uint8_t, 16> address; ///< network order; IPv4 uses the first four
  std::uint32_t scope;                  ///< index of the device of a link-local address, or 0
  std::uint32_t net_namespace;          ///< position of its namespace in the file
  std::uint32_t has;                    ///< bits of ListenerValue
  std::uint32_t members;                ///< sockets
  std::uint64_t length;                 ///< connections waiting at the end of the interval
  std::uint64_t peak;                   ///< connections
  std::uint64_t peak_capacity;          ///< connections that fitted when peak was seen
  std::uint64_t limit;                  ///< connections
  std::uint64_t dropped;                ///< segments, since counted_since
  std::uint64_t overflows;              ///< the part of dropped that found the queue full
  std::uint64_t syn_length;             ///< half-open connections
  std::int64_t counted_since_ns;        ///< CLOCK_BOOTTIME
  std::uint64_t recent_peak; ///< connections; this and the next three cover the last recent_ns
  std::uint64_t recent_peak_capacity; ///< as peak_capacity
  std::uint64_t recent_dropped;       ///< segments
  std::uint64_t recent_overflows;     ///< the part of recent_dropped that found the queue full
  std::uint64_t arrivals;             ///< connections, in the interval
  std::uint64_t accepts;              ///< connections, in the interval
  std::uint64_t peak_bound;           ///< connections; never longer, not even between samples
  std::uint64_t day_peak;             ///< connections, over the last day
  std::uint64_t enough; ///< the limit of each member that would have held the day's worst burst
  std::uint64_t syn_overflows; ///< the part of overflows known to be SYNs
  std::uint64_t ack_overflows; ///< the part known to end a handshake: ACKs, also with data
  /// Connections accepted since the plugin began, by how long they had waited.
  std::array<std::uint64_t, wait_bounds.size() + 1> wait_counts;
  double mean;         ///< connections
  double used_percent; ///< 0 to 100
  double full_percent; ///< 0 to 100
  double oldest_wait_seconds;
  double recent_used_percent; ///< 0 to 100
  double wait_mean_seconds;   ///< of the connections accepted in the interval; the next two also
  double wait_p50_seconds;
  double wait_p99_seconds;
  double wait_seconds; ///< sum of the waits in wait_counts
  std::uint16_t port;  ///< host order; 0 for a Unix listener
  State state;
  Cause cause;
  LimitSource limit_source;
  Severity severity; ///< of the alarm that is active; the next two also
  State alarm_state; ///< ok if there is no alarm
  Cause alarm_cause;
  State recent_state;       ///< the worst state in the last recent_ns
  Severity recent_severity; ///< the worst severity of an alarm in the last recent_ns
  AddressType address_type;
  std::array<std::uint8_t, 1> reserved;
  /// Position in the file, plus one, of the listener in whose queue its owner waits; 0 for none.
  std::uint32_t waits_for;
};

/// Counters of the kernel about listening, per net namespace: events since its creation. The names
/// are the kernel's own (snmp4_net_list and snmp4_tcp_list in net/ipv4/proc.c).
enum class Counter : std::uint8_t {
  ListenOverflows,
  ListenDrops,
  TCPReqQFullDrop,
  TCPReqQFullDoCookies,
  SyncookiesSent,
  SyncookiesRecv,
  SyncookiesFailed,
  EmbryonicRsts,
  TCPDeferAcceptDrop,
  TCPFastOpenListenOverflow,
  TCPSynRetrans,
  TCPTimeouts,
  RetransSegs,
  PassiveOpens,
  AttemptFails,
};
constexpr std::array<std::string_view, 15> counter_names{
    "ListenOverflows",    "ListenDrops",
    "TCPReqQFullDrop",    "TCPReqQFullDoCookies",
    "SyncookiesSent",     "SyncookiesRecv",
    "SyncookiesFailed",   "EmbryonicRsts",
    "TCPDeferAcceptDrop", "TCPFastOpenListenOverflow",
    "TCPSynRetrans",      "TCPTimeouts",
    "RetransSegs",        "PassiveOpens",
    "AttemptFails"};
static_assert(counter_names[static_cast<std::size_t>(Counter::AttemptFails)] == "AttemptFails");

constexpr std::string_view name_of(Counter counter) {
  return counter_names[static_cast<std::size_t>(counter)];
}

/// Bits of Namespace::has: which values are known, and what failed. The counters have their own
/// bits in Namespace::has_counter.
enum NamespaceValue : std::uint32_t {
  has_somaxconn = 1U << 0,
  has_tcp_max_syn_backlog = 1U << 1,
  has_tcp_syncookies = 1U << 2,
  has_tcp_abort_on_overflow = 1U << 3,
  has_unattributed = 1U << 4,
  has_syn_total = 1U << 5,
  tcp_unread = 1U << 6, ///< its TCP listeners could not be read and are missing from the table
  unix_unread = 1U << 7,
  namespace_values = (1U << 8) - 1
};

/// One net namespace in one interval.
struct Namespace {
  Text<104> name;
  std::uint32_t has;         ///< bits of NamespaceValue
  std::uint32_t has_counter; ///< bit i is set if counters[i] is known
  std::int64_t somaxconn;    ///< this and the next three are sysctls
  std::int64_t tcp_max_syn_backlog;
  std::int64_t tcp_syncookies;
  std::int64_t tcp_abort_on_overflow;
  std::uint64_t
      unattributed;        ///< segments of ListenDrops that could not be attributed to a listener
  std::uint64_t syn_total; ///< half-open connections
  std::int64_t counted_since_ns; ///< start of unattributed, CLOCK_BOOTTIME
  std::array<std::uint64_t, counter_names.size()>
      counters; ///< indexed by Counter: events since the namespace was created
};

/// Bits of Header::has.
enum HeaderValue : std::uint32_t {
  is_complete = 1U << 0, ///< all listeners could be read; otherwise some are missing from the table
  has_period = 1U << 1,  ///< period_seconds
  has_host = 1U << 2,    ///< unreported
  has_host_dropped = 1U << 3,
  has_cpu = 1U << 4, ///< cpu_percent
  header_values = (1U << 5) - 1
};

struct Header {
  std::array<char, 8> magic;
  std::uint32_t version;
  std::uint32_t header_bytes;
  std::uint32_t namespace_bytes;
  std::uint32_t listener_bytes;
  std::uint32_t namespaces;
  std::uint32_t listeners;
  std::int64_t taken_at_ns; ///< CLOCK_REALTIME
  std::int64_t
      taken_at_boot_ns;     ///< CLOCK_BOOTTIME, so that the age does not depend on the time of day
  std::int64_t interval_ns; ///< time between two tables
  std::int64_t measured_ns; ///< time that the windows of this table cover
  std::int64_t counted_since_ns; ///< start of dropped, CLOCK_BOOTTIME
  std::uint64_t dropped;         ///< segments: of all listeners, and those attributed to none
  double period_seconds;         ///< mean time between samples
  double cpu_percent;            ///< percent of one CPU that the sampling thread took
  std::uint32_t unreported;      ///< listeners that have no series because of MaxListeners
  std::uint32_t has;             ///< bits of HeaderValue
  Events events;
  std::array<std::uint8_t, 7> reserved;
};

template <class Record> constexpr bool is_plain() {
  return std::is_trivially_copyable_v<Record> && std::is_standard_layout_v<Record>;
}
static_assert(is_plain<Header>() && is_plain<Namespace>() && is_plain<Listener>());
static_assert(sizeof(Header) == 112 && sizeof(Namespace) == 288 && sizeof(Listener) == 1344);
static_assert(offsetof(Listener, clients) == 744 && offsetof(Listener, address) == 976 &&
              offsetof(Listener, members) == 1004 && offsetof(Listener, length) == 1008 &&
              offsetof(Listener, recent_peak) == 1072 && offsetof(Listener, mean) == 1256 &&
              offsetof(Listener, port) == 1328 && offsetof(Listener, reserved) == 1339 &&
              offsetof(Listener, waits_for) == 1340);
static_assert(offsetof(Namespace, has) == 104 && offsetof(Namespace, somaxconn) == 112 &&
              offsetof(Namespace, counters) == 168);
static_assert(offsetof(Header, taken_at_ns) == 32 && offsetof(Header, unreported) == 96 &&
              offsetof(Header, events) == 104);
static_assert(sizeof(double) == 8);

/// How many connections fit. A Unix listener has one queue, whatever else is bound to its path.
constexpr std::uint64_t capacity(const Listener &listener) {
  return group_capacity(listener.limit, listener.address_type == AddressType::none
                                            ? 1U
                                            : std::max(listener.members, 1U));
}

template <std::size_t size> constexpr std::string_view text_of(const Text<size> &field) {
  return {field.data(),
          static_cast<std::size_t>(std::find(field.begin(), field.end(), '\0') - field.begin())};
}

/// One byte as Text shows it.
class ByteAsText {
public:
  constexpr explicit ByteAsText(char c) : text_{c} {
    constexpr std::string_view hex = "0123456789abcdef";
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\\') {
      text_[1] = '\\';
      length_ = 2;
    } else if (byte < ' ' || byte > '~') {
      text_ = {'\\', 'x', hex[byte >> 4U], hex[byte & 15U]};
      length_ = 4;
    }
  }

  constexpr std::string_view view() const { return {text_.data(), length_}; }

private:
  std::array<char, 4> text_;
  std::size_t length_ = 1;
};

/// In a printable text backslashes begin escapes already.
enum class TextForm : std::uint8_t { raw, printable };

/// Copies text into a field, escaped as Text requires and cut to fit.
template <std::size_t size>
constexpr void set_text(Text<size> &field, std::string_view text, TextForm form = TextForm::raw) {
  field = {};
  std::size_t length = 0;
  for (const char c : text) {
    const ByteAsText byte(c);
    const std::string_view shown = c == '\\' && form == TextForm::printable ? "\\" : byte.view();
    if (length + shown.size() >= size)
      return;
    for (const char of_shown : shown)
      field[length++] = of_shown;
  }
}

/// The integer index of a listener or namespace in SNMP: the CRC-32 (IEEE 802.3) of its name
/// without the top bit, and 1 in place of 0. name_indexes() resolves collisions.
constexpr std::uint32_t name_index(std::string_view name) {
  constexpr auto table = [] {
    std::array<std::uint32_t, 256> steps{};
    for (std::uint32_t byte = 0; byte < steps.size(); ++byte) {
      steps[byte] = byte;
      for (int bit = 0; bit < 8; ++bit)
        steps[byte] = (steps[byte] >> 1U) ^ (0xedb88320U & (0U - (steps[byte] & 1U)));
    }
    return steps;
  }();
  std::uint32_t crc = ~0U;
  for (const char c : name)
    crc = (crc >> 8U) ^ table[(crc ^ static_cast<unsigned char>(c)) & 0xffU];
  const std::uint32_t index = ~crc & 0x7fffffffU;
  return index == 0 ? 1 : index;
}
constexpr std::uint32_t max_name_index = 0x7fffffff;
static_assert(name_index("123456789") == (0xcbf43926U & 0x7fffffffU));

} // namespace backlog::layout
