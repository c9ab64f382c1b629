#include "event_book.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace backlog {

namespace {

constexpr unsigned readings_until_dead = 2;
constexpr double us_per_s = 1e6;
constexpr std::uint64_t ns_per_s = 1000000000;
// Values of CONFIG_HZ in kernel/Kconfig.hz, and those of other architectures.
constexpr std::array<std::uint32_t, 9> possible_rates{24, 48, 64, 100, 128, 250, 300, 1000, 1024};

/// How much a counter rose. The counter of an entry that was made anew began with 0.
std::uint64_t risen(std::uint64_t before, std::uint64_t now) {
  return now >= before ? now - before : now;
}

/// The quantile in jiffies. Bucket i counts waits of [2^(i-1), 2^i) jiffies, bucket 0 those of [0,
/// 1).
double quantile(const std::array<std::uint64_t, EVENT_WAIT_BUCKETS> &buckets, double share) {
  std::uint64_t all = 0;
  for (const std::uint64_t count : buckets)
    all += count;
  double left = share * static_cast<double>(all);
  for (std::size_t i = 0; i < buckets.size(); ++i) {
    const auto count = static_cast<double>(buckets[i]);
    if (count >= left && count > 0) {
      const double low = i == 0 ? 0 : std::ldexp(1, static_cast<int>(i) - 1);
      const double high = std::ldexp(1, static_cast<int>(i));
      return low + (high - low) * left / count;
    }
    left -= count;
  }
  return 0;
}

} // namespace

std::optional<std::uint32_t> peak_of(const __u64 (&slots)[2], std::uint32_t epoch) {
  const std::uint64_t slot = slots[epoch & 1];
  if (slot >> 32 != epoch)
    return std::nullopt;
  return static_cast<std::uint32_t>(slot);
}

std::optional<Waits> waits_between(const event_waits &before, const event_waits &now,
                                   std::uint32_t rate) {
  Waits waits;
  waits.accepted = risen(before.accepted, now.accepted);
  if (waits.accepted == 0 || rate == 0)
    return std::nullopt;
  std::array<std::uint64_t, EVENT_WAIT_BUCKETS> buckets{};
  for (std::size_t i = 0; i < buckets.size(); ++i)
    buckets[i] = risen(before.buckets[i], now.buckets[i]);
  const double jiffy = 1.0 / rate;
  waits.mean = Waits::Seconds(static_cast<double>(risen(before.jiffies, now.jiffies)) /
                              static_cast<double>(waits.accepted) * jiffy);
  waits.p50 = Waits::Seconds(quantile(buckets, 0.5) * jiffy);
  waits.p99 = Waits::Seconds(quantile(buckets, 0.99) * jiffy);
  return waits;
}

std::optional<std::uint32_t> jiffies_rate(const event_control &control) {
  if (control.first_ns == 0 || control.last_ns < control.first_ns + ns_per_s)
    return std::nullopt;
  const double seconds = static_cast<double>(control.last_ns - control.first_ns) / ns_per_s;
  const double rate = static_cast<double>(control.last_jiffies - control.first_jiffies) / seconds;
  return *std::min_element(possible_rates.begin(), possible_rates.end(),
                           [rate](std::uint32_t a, std::uint32_t b) {
                             return std::fabs(a - rate) < std::fabs(b - rate);
                           });
}

EventReading EventBook::read(const RawEvents &raw) {
  EventReading reading;
  for (std::size_t i = 0; i < raw.counts.cookies.size(); ++i) {
    const event_counts &now = raw.counts.values[i];
    event_counts &before = entries_[raw.counts.cookies[i]].counts;
    SocketEvents &socket = reading.sockets[raw.counts.cookies[i]];
    socket.added = risen(before.added, now.added);
    socket.peak = peak_of(now.peak, raw.epoch);
    socket.group_peak = peak_of(now.group_peak, raw.epoch);
    if (socket.group_peak == 0U)
      socket.group_peak.reset();
    socket.limit = now.limit;
    socket.waited = static_cast<double>(risen(before.waited_us, now.waited_us)) / us_per_s;
    socket.socket = now;
    before = now;
  }
  for (std::size_t i = 0; i < raw.frees.cookies.size(); ++i) {
    const event_frees &now = raw.frees.values[i];
    event_frees &before = entries_[raw.frees.cookies[i]].frees;
    SocketEvents &socket = reading.sockets[raw.frees.cookies[i]];
    socket.freed = risen(before.freed, now.freed);
    socket.overflowed = risen(before.overflowed, now.overflowed);
    before = now;
  }
  for (std::size_t i = 0; i < raw.waits.cookies.size(); ++i) {
    const event_waits &now = raw.waits.values[i];
    event_waits &before = entries_[raw.waits.cookies[i]].waits;
    reading.sockets[raw.waits.cookies[i]].waits =
        waits_between(before, now, raw.jiffies_rate.value_or(0));
    before = now;
  }
  return reading;
}

bool EventBook::would_rise(std::uint64_t cookie, const event_counts &now) const {
  const auto entry = entries_.find(cookie);
  return now.added != (entry == entries_.end() ? 0 : entry->second.counts.added);
}

std::vector<std::uint64_t> EventBook::forget_dead(const EventReading &reading) {
  std::vector<std::uint64_t> dead;
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    const auto read = reading.sockets.find(entry->first);
    const bool known = read != reading.sockets.end() && read->second.known;
    entry->second.unknown_for = known ? 0 : entry->second.unknown_for + 1;
    if (entry->second.unknown_for < readings_until_dead) {
      ++entry;
      continue;
    }
    dead.push_back(entry->first);
    entry = entries_.erase(entry);
  }
  return dead;
}

} // namespace backlog
