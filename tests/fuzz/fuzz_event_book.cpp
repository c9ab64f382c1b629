// Any bytes as what the BPF programs have left in their maps, reading after reading: no figure is
// more than the kernel gave, none is negative or no number.

#include "event_book.h"
#include "fuzz_input.h"

#include <cmath>
#include <set>
#include <vector>

using namespace backlog;

namespace {

constexpr int most_readings = 8;
constexpr std::size_t most_entries = 16;

template <class Value> struct Entries {
  std::vector<std::uint64_t> cookies;
  std::vector<Value> values;

  explicit Entries(FuzzInput &input) {
    std::set<std::uint64_t> seen; // a map has each key once
    for (std::size_t left = input.byte() % most_entries; left > 0 && !input.empty(); --left) {
      const std::uint64_t cookie = input.byte() % 8;
      const auto value = input.number<Value>();
      if (!seen.insert(cookie).second)
        continue;
      cookies.push_back(cookie);
      values.push_back(value);
    }
  }
  EventEntries<Value> view() const { return {cookies, values}; }
};

/// Bounds of the same sockets, made of the bytes of their waits.
std::vector<event_bounds> bounds_of(const std::vector<event_waits> &waits) {
  std::vector<event_bounds> all;
  for (const event_waits &from : waits) {
    event_bounds &bounds = all.emplace_back();
    for (std::size_t i = 0; i < EVENT_BOUNDS; ++i) {
      const std::uint64_t bucket = from.buckets[i % EVENT_WAIT_BUCKETS];
      bounds.low[i] = static_cast<std::uint32_t>(bucket);
      bounds.high[i] = static_cast<std::uint32_t>(bucket >> 32);
    }
  }
  return all;
}

event_control read_control(FuzzInput &input) {
  event_control control{};
  control.epoch = input.number<std::uint32_t>();
  control.first_jiffies = input.number<std::uint64_t>();
  control.first_ns = input.number<std::uint64_t>();
  control.last_jiffies = input.number<std::uint64_t>();
  control.last_ns = input.number<std::uint64_t>();
  return control;
}

void check(const Waits &waits) {
  require(waits.accepted > 0);
  for (const double figure : {waits.mean.count(), waits.p50.count(), waits.p99.count()})
    require(std::isfinite(figure) && figure >= 0);
  require(waits.p50 <= waits.p99);
}

void check(const SocketEvents &events) {
  require(events.added <= events.socket.added);
  require(std::isfinite(events.waited) && events.waited >= 0);
  require(events.group_peak != 0U);
  if (events.waits)
    check(*events.waits);
  const auto p50 = told_quantile(events.bounds, 0.5, events.added);
  const auto p99 = told_quantile(events.bounds, 0.99, events.added);
  for (const auto &told : {p50, p99})
    require(!told || (std::isfinite(told->count()) && told->count() > 0));
  require(!p50 || !p99 || *p50 <= *p99);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
  FuzzInput input(data, size);
  EventBook book;
  for (int reading = 0; reading < most_readings && !input.empty(); ++reading) {
    const event_control control = read_control(input);
    const Entries<event_counts> counts(input);
    const Entries<event_frees> frees(input);
    const Entries<event_waits> waits(input);
    const std::vector<event_bounds> bounds = bounds_of(waits.values);
    const auto rate = jiffies_rate(control);
    require(!rate || (*rate >= 24 && *rate <= 1024));
    EventReading events = book.read({.counts = counts.view(),
                                     .frees = frees.view(),
                                     .waits = waits.view(),
                                     .bounds = {waits.cookies, bounds},
                                     .epoch = control.epoch,
                                     .jiffies_rate = rate});
    for (std::size_t i = 0; i < counts.cookies.size(); ++i) {
      require(events.sockets.contains(counts.cookies[i]));
      require(!book.would_rise(counts.cookies[i], counts.values[i]));
    }
    const std::uint8_t known = input.byte();
    for (auto &[cookie, socket] : events.sockets) {
      check(socket);
      socket.known = (known >> cookie & 1) != 0;
    }
    for (const std::uint64_t cookie : book.forget_dead(events))
      require(!events.sockets.contains(cookie) || !events.sockets.at(cookie).known);
  }
  return 0;
}
