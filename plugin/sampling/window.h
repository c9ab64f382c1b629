#pragma once

#include "backlog/table.h"

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace backlog {

/// Percent of a queue that is used. Its capacity is limit + 1, because sk_acceptq_is_full()
/// (include/net/sock.h) tests length > limit. Racing connects can exceed even that, and collectd's
/// type `percent` would turn more than 100 % into nan.
constexpr double used_percent(std::uint64_t length, std::uint64_t limit) {
  return std::min(100.0, 100.0 * static_cast<double>(length) / (static_cast<double>(limit) + 1));
}

constexpr bool is_full(std::uint64_t length, std::uint64_t limit) { return length > limit; }

constexpr bool is_half_full(std::uint64_t length, std::uint64_t limit) {
  return 2 * length >= limit + 1;
}

/// An accept queue during an interval. Samples of an empty queue are not added one by one: the
/// set's clock goes on, and figures_of() accounts for them.
struct Window {
  using Weight = std::chrono::nanoseconds;

  /// The queues of a listener together.
  struct Queues {
    std::uint64_t limit = 0;   ///< sum, connections
    std::uint32_t members = 0; ///< sockets

    std::uint64_t capacity() const { return layout::group_capacity(limit, members); }
  };

  std::uint64_t peak = 0;     ///< connections, highest sample
  Queues peak_queues;         ///< when the peak was seen
  double used_percent = 0;    ///< highest over samples and members
  double length_x_weight = 0; ///< connections x ns
  Weight full_weight{0};      ///< time of the samples in which a member was full
  std::uint64_t samples_not_empty = 0;

  void add(std::uint64_t length, bool full, const Queues &queues, Weight weight) {
    if (length > peak) {
      peak = length;
      peak_queues = queues;
    }
    length_x_weight += static_cast<double>(length) * static_cast<double>(weight.count());
    if (full)
      full_weight += weight;
    ++samples_not_empty;
  }
};

/// A finished window, including its empty samples.
struct WindowFigures {
  std::uint64_t last = 0; ///< connections waiting at the end
  std::uint64_t peak = 0;
  Window::Queues peak_queues; ///< those that had this peak, or without a peak those at the end
  double mean = 0;            ///< weighted by time
  double full_percent = 0;    ///< share of the time that its samples stand for
  double used_percent = 0;
};

/// elapsed: length of the interval, or the time since the listener appeared in it.
WindowFigures figures_of(const Window &window, std::uint64_t last, Window::Weight elapsed);

} // namespace backlog
