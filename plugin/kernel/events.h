#pragma once

#include "bpf.h"
#include "btf.h"
#include "event_book.h"
#include "result.h"
#include "unique_fd.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>

namespace backlog {

/// The cost of the programs in some time, and the events that they missed.
struct EventExpense {
  std::chrono::nanoseconds cost{0}; ///< on all CPUs together
  std::uint64_t seen = 0;           ///< events of any socket
  std::uint64_t missed = 0;         ///< of those, missed (LoadedBpf::missed()); an upper bound
  std::uint64_t lost = 0;           ///< events of listeners that found a map full
};

/// The BPF programs that count what happens to accept queues, and their counts. Only one thread may
/// use it. What it makes in the kernel ends with the object, at the latest with the process.
class Events {
public:
  /// Loads and attaches what this kernel can run. The error says why nothing could be loaded;
  /// refusals() says which parts are missing.
  static Result<std::unique_ptr<Events>> start();
  Events(const Events &) = delete;
  Events &operator=(const Events &) = delete;
  ~Events();

  bool has_unix() const { return by_ == EventPlan::Additions::data_ready; }
  bool has_drops_by_events() const { return frees_.has_value(); }
  bool has_waits() const { return waits_.has_value() || follows_queues_; }
  /// Describes for people which parts are in use.
  std::string summary() const;

  /// Notes who was accepted until now, for the waits where accept() cannot be observed. They are
  /// known as closely as the calls follow each other.
  void look() const;
  /// Ends an interval and reads its counts.
  Result<EventReading> read();
  /// Whether the next reading will have additions to that socket's queue.
  bool has_added(std::uint64_t cookie) const;
  /// Connections accepted from that socket's queue up to its last addition, less a constant; empty
  /// if there was no addition.
  std::optional<std::uint32_t> taken_of(std::uint64_t cookie) const;
  FreedSegments freed_of(std::uint64_t cookie) const;
  /// Call it after the dumps have marked their sockets in the reading.
  void forget_dead(const EventReading &reading);

  /// Becomes readable when a queue in a selected net namespace needs a look since begin_rest(): two
  /// connections or more wait, and the queue is above an eighth of its limit or nothing was
  /// accepted for 20 ms.
  int wake_fd() const;
  /// Starts a rest. The caller then looks at the queues once more, since an addition may have come
  /// just before.
  void begin_rest();
  void end_rest();
  /// When an addition to a queue has ended the rest; empty: none has.
  std::optional<std::chrono::steady_clock::time_point> woken_at() const;
  /// Selects the net namespaces whose queues wake the reader, as net_cookie() identifies them.
  void look_into(const std::set<std::uint64_t> &net_cookies);

  /// Returns the expense since the last call.
  EventExpense take_expense();

private:
  /// A loaded object and the memory that it shares with this process.
  struct Part {
    LoadedBpf bpf;
    struct Unmap {
      void operator()(event_control *control) const;
    };
    std::unique_ptr<event_control, Unmap> control;
    std::uint64_t seen = 0; ///< at the last take_expense(); the next also
    std::uint64_t lost = 0;

    static Result<Part> start(const BpfObject &object);
    std::uint64_t take_seen();
    std::uint64_t take_lost();
  };

  Events() = default;
  Failure open_ring();
  std::optional<Part> start_part(const BpfObject &object, const char *hook);
  void start_at_data_ready();

  EventPlan::Additions by_ = EventPlan::Additions::none;
  std::optional<Part> additions_;
  std::optional<Part> frees_;
  std::optional<Part> waits_;
  bool has_ack_overflows_ = false;
  bool follows_queues_ = false; ///< the additions are those of event_queued.bpf.c
  std::vector<Error> refusals_;
  struct Ring;
  std::unique_ptr<Ring> ring_;
  std::set<std::uint64_t> looked_into_;
  EventBook book_;
  bool has_read_ = false;
  std::chrono::nanoseconds foreign_{0}; ///< cost of an event of any socket in a program
  std::uint64_t missed_ = 0;
  std::uint64_t counted_ = 0; ///< additions and frees since the last take_expense()
  BpfEntries counts_entries_;
  BpfEntries frees_entries_;
  BpfEntries waits_entries_;
  BpfEntries bounds_entries_;
};

/// Identifies the calling thread's net namespace (SO_NETNS_COOKIE, Linux 5.14 and later).
Result<std::uint64_t> net_cookie();

} // namespace backlog
