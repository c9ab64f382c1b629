#include "event_book.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <iterator>
#include <numeric>

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

/// The step in which the connection at a share of all lies.
std::size_t step_at(const std::vector<std::uint32_t> &steps, double share) {
  const std::uint64_t all = std::accumulate(steps.begin(), steps.end(), std::uint64_t{0});
  const auto wanted = static_cast<std::uint64_t>(std::ceil(share * static_cast<double>(all)));
  std::uint64_t count = 0;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    count += steps[i];
    if (count >= wanted)
      return i;
  }
  return steps.size() - 1;
}

} // namespace

std::chrono::microseconds begin_of_bound(std::size_t step) {
  constexpr std::chrono::microseconds unit{16};
  constexpr std::size_t parts = 4; // of a power of two
  const std::size_t units = step < parts ? step : (parts + step % parts) << (step / parts - 1);
  return unit * static_cast<std::chrono::microseconds::rep>(units);
}

void WaitBounds::add(const WaitBounds &more) {
  const auto sum = [](std::vector<std::uint32_t> &to, const std::vector<std::uint32_t> &from) {
    to.resize(std::max(to.size(), from.size()));
    std::transform(from.begin(), from.end(), to.begin(), to.begin(), std::plus<>());
  };
  sum(low, more.low);
  sum(high, more.high);
}

std::uint64_t WaitBounds::accepted() const {
  return std::accumulate(high.begin(), high.end(), std::uint64_t{0});
}

WaitBounds bounds_between(const event_bounds *before, const event_bounds &now) {
  WaitBounds bounds;
  const auto difference = [](const __u32 *then, const __u32(&steps)[EVENT_BOUNDS]) {
    std::vector<std::uint32_t> result(std::begin(steps), std::end(steps));
    for (std::size_t i = 0; then != nullptr && i < result.size(); ++i)
      result[i] = static_cast<std::uint32_t>(risen(then[i], result[i]));
    if (std::all_of(result.begin(), result.end(), [](std::uint32_t count) { return count == 0; }))
      result.clear();
    return result;
  };
  bounds.low = difference(before != nullptr ? before->low : nullptr, now.low);
  bounds.high = difference(before != nullptr ? before->high : nullptr, now.high);
  return bounds;
}

std::optional<Waits::Seconds> told_quantile(const WaitBounds &bounds, double share,
                                            std::uint64_t accepted) {
  constexpr std::uint64_t counted_later = 2; // between the reading and the dump
  constexpr std::uint64_t unknown_share = 10;
  const std::uint64_t known = bounds.accepted();
  if (bounds.low.empty() || known == 0 ||
      known + counted_later + accepted / unknown_share < accepted)
    return std::nullopt;
  const std::size_t high = step_at(bounds.high, share);
  if (high + 1 >= bounds.high.size())
    return std::nullopt;
  const std::chrono::microseconds most = begin_of_bound(high + 1);
  const std::chrono::microseconds least = begin_of_bound(step_at(bounds.low, share));
  if (most > shortest_told_wait && most > 2 * least)
    return std::nullopt;
  return Waits::Seconds(most);
}

std::uint64_t waits_within(const WaitBounds &bounds, std::chrono::duration<double> longest) {
  std::uint64_t count = 0;
  for (std::size_t i = 0; i + 1 < bounds.high.size() && begin_of_bound(i + 1) <= longest; ++i)
    count += bounds.high[i];
  return count;
}

WaitBounds bounds_of_jiffies(const event_waits &before, const event_waits &now,
                             std::uint32_t rate) {
  WaitBounds bounds;
  if (rate == 0)
    return bounds;
  const auto us_of = [rate](std::uint64_t jiffies) { return jiffies * 1'000'000 / rate; };
  for (std::size_t i = 0; i < EVENT_WAIT_BUCKETS; ++i) {
    const auto count = static_cast<std::uint32_t>(risen(before.buckets[i], now.buckets[i]));
    if (count == 0)
      continue;
    bounds.low.resize(EVENT_BOUNDS);
    bounds.high.resize(EVENT_BOUNDS);
    const bool is_last = i + 1 == EVENT_WAIT_BUCKETS;
    bounds.low[event_bound_of(i == 0 ? 0 : us_of(1ULL << (i - 1)))] += count;
    bounds.high[is_last ? EVENT_BOUNDS - 1 : event_bound_of(us_of(1ULL << i) - 1)] += count;
  }
  return bounds;
}

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
    SocketEvents &socket = reading.sockets[raw.waits.cookies[i]];
    socket.waits = waits_between(before, now, raw.jiffies_rate.value_or(0));
    socket.bounds = bounds_of_jiffies(before, now, raw.jiffies_rate.value_or(0));
    before = now;
  }
  for (std::size_t i = 0; i < raw.bounds.cookies.size(); ++i) {
    const event_bounds &now = raw.bounds.values[i];
    std::unique_ptr<event_bounds> &before = entries_[raw.bounds.cookies[i]].bounds;
    reading.sockets[raw.bounds.cookies[i]].bounds = bounds_between(before.get(), now);
    if (before)
      *before = now;
    else
      before = std::make_unique<event_bounds>(now);
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
