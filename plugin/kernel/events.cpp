#include "events.h"

#include "event_programs.h"
#include "foreign_event.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <fcntl.h>
#include <linux/bpf.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

namespace backlog {

namespace {

constexpr const char *btf_path = "/sys/kernel/btf/vmlinux";
constexpr int so_netns_cookie = 71; // defined in asm-generic/socket.h
// The measured cost of an event, apart from being traced.
constexpr std::chrono::nanoseconds counted_event{250};
constexpr std::chrono::nanoseconds followed_addition{250}; // more than that
// The cost of an event of any socket: mostly the kernel's call of a program, 15 to 70 ns depending
// on the processor and its mitigations against Spectre. It is measured at the start; less than this
// is noise.
constexpr std::chrono::nanoseconds least_foreign{15};
constexpr std::chrono::nanoseconds most_foreign{1000};
constexpr int programs_of_an_addition = 2;        // event_ready.bpf.c
constexpr std::string_view look_program = "look"; // event_queued.bpf.c

Result<std::vector<std::byte>> read_btf() {
  const UniqueFd file(::open(btf_path, O_RDONLY | O_CLOEXEC));
  if (!file)
    return Error{errno, std::string("open ") + btf_path};
  const off_t size = lseek(file.get(), 0, SEEK_END);
  if (size <= 0)
    return Error{EINVAL, std::string("size of ") + btf_path};
  std::vector<std::byte> bytes(static_cast<std::size_t>(size));
  std::size_t have = 0;
  while (have < bytes.size()) {
    const ssize_t got =
        pread(file.get(), bytes.data() + have, bytes.size() - have, static_cast<off_t>(have));
    if (got < 0 && errno == EINTR)
      continue;
    if (got <= 0)
      return Error{got < 0 ? errno : EIO, std::string("read ") + btf_path};
    have += static_cast<std::size_t>(got);
  }
  return bytes;
}

template <class Value> std::span<const Value> values_of(const BpfEntries &entries) {
  return {reinterpret_cast<const Value *>(entries.values.data()), entries.keys.size()};
}

std::size_t page_size() { return static_cast<std::size_t>(sysconf(_SC_PAGESIZE)); }

std::size_t control_bytes() {
  const std::size_t page = page_size();
  return (sizeof(event_control) + page - 1) / page * page;
}

} // namespace

void Events::Part::Unmap::operator()(event_control *control) const {
  munmap(control, control_bytes());
}

Result<Events::Part> Events::Part::start(const BpfObject &object) {
  Result<LoadedBpf> loaded = LoadedBpf::load(object);
  if (!loaded)
    return loaded.error();
  void *memory =
      mmap(nullptr, control_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, loaded->map("bss"), 0);
  if (memory == MAP_FAILED)
    return Error{errno, "map a BPF map into memory"};
  Part part{.bpf = std::move(*loaded),
            .control = decltype(Part::control)(static_cast<event_control *>(memory))};
  if (Failure failure = part.bpf.attach(look_program))
    return *failure;
  return part;
}

std::uint64_t Events::Part::take_seen() {
  std::uint64_t sum = 0;
  for (const event_seen &slot : control->seen)
    sum += slot.count;
  return sum - std::exchange(seen, sum);
}

std::uint64_t Events::Part::take_lost() {
  const std::uint64_t now = control->lost;
  return now - std::exchange(lost, now);
}

/// A BPF_MAP_TYPE_RINGBUF of one page: the reader's position, then the writer's and the data.
struct Events::Ring {
  Ring(const Ring &) = delete;
  Ring &operator=(const Ring &) = delete;
  Ring(unsigned long *consumer, const unsigned long *producer)
      : consumer_(consumer), producer_(producer) {}
  ~Ring() {
    munmap(consumer_, page_size());
    munmap(const_cast<unsigned long *>(producer_), mapped_size());
  }
  /// The writer's position, and the data that follows.
  static std::size_t mapped_size() { return 2 * page_size(); }

  void drain() {
    std::atomic_ref<unsigned long>(*consumer_).store(written(), std::memory_order_release);
  }

  /// The oldest record that is not drained, of one number; empty: there is none.
  std::optional<std::uint64_t> oldest() const {
    const unsigned long read = std::atomic_ref<unsigned long>(*consumer_).load();
    if (read == written())
      return std::nullopt;
    const auto *data = reinterpret_cast<const std::byte *>(producer_) + page_size();
    const auto *record = reinterpret_cast<const std::uint32_t *>(data + read % page_size());
    const std::uint32_t length =
        std::atomic_ref<std::uint32_t>(const_cast<std::uint32_t &>(*record))
            .load(std::memory_order_acquire);
    std::uint64_t value = 0;
    if (length != sizeof(value)) // it is being written
      return std::nullopt;
    std::memcpy(&value, record + BPF_RINGBUF_HDR_SZ / sizeof(*record), sizeof(value));
    return value;
  }

private:
  unsigned long written() const {
    return std::atomic_ref<unsigned long>(*const_cast<unsigned long *>(producer_))
        .load(std::memory_order_acquire);
  }

  unsigned long *consumer_;
  const unsigned long *producer_;
};

Events::~Events() = default;

std::optional<Events::Part> Events::start_part(const BpfObject &object, const char *hook) {
  Result<Part> part = Part::start(object);
  if (part)
    return std::move(*part);
  refusals_.push_back({part.error().code, std::string(hook) + ": " + part.error().what});
  return std::nullopt;
}

Result<std::unique_ptr<Events>> Events::start() {
  if constexpr (std::endian::native != std::endian::little)
    return Error{ENOTSUP, "BPF programs of this byte order"};
  const Result<std::vector<std::byte>> btf = read_btf();
  if (!btf)
    return btf.error();
  const EventPlan plan = plan_events(find_event_hooks(*btf));
  std::unique_ptr<Events> events(new Events);
  events->by_ = plan.additions;
  if (plan.waits)
    events->waits_ = events->start_part(accepted_object, "inet_csk_accept");
  const std::chrono::nanoseconds untraced = time_foreign_event();
  switch (plan.additions) {
  case EventPlan::Additions::none:
    return Error{ENOENT, "tracepoint sk_data_ready"};
  case EventPlan::Additions::data_ready:
    events->start_at_data_ready();
    events->foreign_ = (time_foreign_event() - untraced) / programs_of_an_addition;
    break;
  case EventPlan::Additions::hashdance:
    events->additions_ = events->start_part(dance_object, "inet_csk_complete_hashdance");
    break;
  }
  if (!events->additions_)
    return events->refusals_.back();
  events->foreign_ = std::clamp(events->foreign_, least_foreign, most_foreign);
  if (Failure failure = events->open_ring())
    return *failure;
  if (plan.frees)
    events->frees_ = events->start_part(freed_object, "kfree_skb");
  events->has_ack_overflows_ = plan.overflows && events->frees_;
  return events;
}

/// Where accept() can be observed, nothing has to be found out about it.
void Events::start_at_data_ready() {
  if (!waits_) {
    additions_ = start_part(queued_object, "waits by sk_data_ready");
    follows_queues_ = additions_.has_value();
  }
  if (!additions_)
    additions_ = start_part(ready_object, "sk_data_ready");
}

void Events::look() const {
  // If it fails, the next addition tells the same, later.
  if (follows_queues_)
    (void)additions_->bpf.run(look_program);
}

Failure Events::open_ring() {
  const int map = wake_fd();
  void *consumer = mmap(nullptr, page_size(), PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);
  if (consumer == MAP_FAILED)
    return Error{errno, "map a BPF ring into memory"};
  void *producer = mmap(nullptr, Ring::mapped_size(), PROT_READ, MAP_SHARED, map,
                        static_cast<off_t>(page_size()));
  if (producer == MAP_FAILED) {
    const int code = errno;
    munmap(consumer, page_size());
    return Error{code, "map a BPF ring into memory"};
  }
  ring_ = std::make_unique<Ring>(static_cast<unsigned long *>(consumer),
                                 static_cast<const unsigned long *>(producer));
  return std::nullopt;
}

std::string Events::summary() const {
  std::string text =
      has_unix() ? "peaks by sk_data_ready" : "peaks by inet_csk_complete_hashdance, TCP only";
  if (frees_)
    text += ", drops by kfree_skb";
  if (waits_)
    text += ", waits by inet_csk_accept";
  if (follows_queues_)
    text += ", waits by sk_data_ready";
  for (const Error &refusal : refusals_)
    text += "; not " + refusal.message();
  return text;
}

Result<EventReading> Events::read() {
  RawEvents raw;
  look();
  raw.epoch = additions_->control->epoch;
  std::atomic_ref<std::uint32_t>(additions_->control->epoch).store(raw.epoch + 1);
  if (Failure failure =
          read_bpf_map(additions_->bpf.map("listeners"), sizeof(event_counts), counts_entries_))
    return *failure;
  raw.counts = {counts_entries_.keys, values_of<event_counts>(counts_entries_)};
  if (frees_) {
    if (Failure failure =
            read_bpf_map(frees_->bpf.map("frees"), sizeof(event_frees), frees_entries_))
      return *failure;
    raw.frees = {frees_entries_.keys, values_of<event_frees>(frees_entries_)};
  }
  if (waits_) {
    if (Failure failure =
            read_bpf_map(waits_->bpf.map("waits"), sizeof(event_waits), waits_entries_))
      return *failure;
    raw.waits = {waits_entries_.keys, values_of<event_waits>(waits_entries_)};
    raw.jiffies_rate = jiffies_rate(*waits_->control);
  }
  if (follows_queues_) {
    if (Failure failure =
            read_bpf_map(additions_->bpf.map("bounds_of"), sizeof(event_bounds), bounds_entries_))
      return *failure;
    raw.bounds = {bounds_entries_.keys, values_of<event_bounds>(bounds_entries_)};
  }
  EventReading reading = book_.read(raw);
  reading.has_unix = has_unix();
  reading.has_drops_by_events = has_drops_by_events();
  reading.has_ack_overflows = has_ack_overflows_;
  reading.is_whole = std::exchange(has_read_, true);
  for (const auto &[cookie, socket] : reading.sockets)
    counted_ += socket.added + socket.freed;
  return reading;
}

bool Events::has_added(std::uint64_t cookie) const {
  event_counts counts{};
  return look_up_bpf_map(additions_->bpf.map("listeners"), &cookie, &counts) &&
         book_.would_rise(cookie, counts);
}

std::optional<std::uint32_t> Events::taken_of(std::uint64_t cookie) const {
  event_counts counts{};
  if (!look_up_bpf_map(additions_->bpf.map("listeners"), &cookie, &counts))
    return std::nullopt;
  return counts.taken;
}

FreedSegments Events::freed_of(std::uint64_t cookie) const {
  event_frees frees{};
  if (!frees_ || !look_up_bpf_map(frees_->bpf.map("frees"), &cookie, &frees))
    return {};
  return {.freed = frees.freed, .final_acks = frees.final_acks, .repeated = frees.repeated};
}

void Events::forget_dead(const EventReading &reading) {
  for (const std::uint64_t cookie : book_.forget_dead(reading)) {
    // If the deletion fails, the next reading finds the entry again.
    (void)delete_from_bpf_map(additions_->bpf.map("listeners"), &cookie);
    for (const char *map : {"queues", "bounds_of"})
      if (follows_queues_)
        (void)delete_from_bpf_map(additions_->bpf.map(map), &cookie);
    if (frees_)
      (void)delete_from_bpf_map(frees_->bpf.map("frees"), &cookie);
    if (waits_)
      (void)delete_from_bpf_map(waits_->bpf.map("waits"), &cookie);
  }
}

int Events::wake_fd() const { return additions_->bpf.map("wake"); }

void Events::begin_rest() {
  ring_->drain();
  std::atomic_ref<std::uint32_t>(additions_->control->resting).store(1);
}

void Events::end_rest() {
  std::atomic_ref<std::uint32_t>(additions_->control->resting).store(0);
  ring_->drain();
}

std::optional<std::chrono::steady_clock::time_point> Events::woken_at() const {
  const std::optional<std::uint64_t> monotonic_ns = ring_->oldest();
  if (!monotonic_ns)
    return std::nullopt;
  return std::chrono::steady_clock::time_point(std::chrono::nanoseconds(*monotonic_ns));
}

void Events::look_into(const std::set<std::uint64_t> &net_cookies) {
  const int map = additions_->bpf.map("namespaces");
  const std::uint8_t value = 1;
  for (const std::uint64_t cookie : looked_into_)
    if (!net_cookies.contains(cookie))
      (void)delete_from_bpf_map(map, &cookie);
  // If the map is full, that namespace wakes nobody, and only the harvests look at it.
  for (const std::uint64_t cookie : net_cookies)
    if (!looked_into_.contains(cookie))
      (void)update_bpf_map(map, &cookie, &value);
  looked_into_ = net_cookies;
}

EventExpense Events::take_expense() {
  const auto times = [](std::chrono::nanoseconds cost, std::uint64_t count) {
    return cost * static_cast<std::chrono::nanoseconds::rep>(count);
  };
  EventExpense expense;
  expense.seen = additions_->take_seen();
  expense.cost = times(programs_of_an_addition * foreign_, expense.seen) +
                 times(follows_queues_ ? counted_event + followed_addition : counted_event,
                       std::exchange(counted_, 0));
  if (frees_)
    expense.cost += times(foreign_, frees_->take_seen());
  if (waits_)
    expense.cost += times(counted_event, waits_->take_seen());
  for (std::optional<Part> *part : {&additions_, &frees_, &waits_})
    if (*part)
      expense.lost += (*part)->take_lost();
  const std::uint64_t missed = additions_->bpf.missed();
  expense.missed = missed - std::exchange(missed_, missed);
  return expense;
}

Result<std::uint64_t> net_cookie() {
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket)
    return Error{errno, "open a socket"};
  std::uint64_t cookie = 0;
  socklen_t length = sizeof(cookie);
  if (getsockopt(socket.get(), SOL_SOCKET, so_netns_cookie, &cookie, &length) != 0)
    return Error{errno, "read SO_NETNS_COOKIE"};
  return cookie;
}

} // namespace backlog
