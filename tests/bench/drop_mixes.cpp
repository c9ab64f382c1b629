// drop_mixes MIX SECONDS INTERVAL_SECONDS auto|off [DROPS]
//
// Plays for so long, and on until there were so many drops.
//
// Listeners that overflow and others whose sk_drops move without a drop, side by side in one net
// namespace. Prints the share of all drops that the sampler, at its default pace, gave to the
// wrong listener, the share that it gave to none, and the share of which the truth is in doubt.
// Exit status 77: the truth is not known, for the reason printed to stderr.
//
// The truth: local clients all connect from one CPU, so that a handshake over loopback is over
// before the next begins, and give up before they repeat a SYN, since the kernel sends those of
// several clients at once; at a full queue it is then always the SYN that is dropped, once for each
// client that gets no answer: their number is the listener's part in ListenDrops, and its sk_drops
// must be the same, and tell it for each interval; by as many as they differ the truth is in doubt,
// for on a busy machine handshakes overlap, and sk_drops counts a final ACK twice. A scanned
// listener with room in its queue has no part in it. What is left of ListenDrops belongs to the one
// listener of the mix whose sk_drops count other things too (deferred accept, final ACKs). Where
// each has its own count, the sum of the counts has to be ListenDrops.

#include "config.h"
#include "host.h"
#include "net_counters.h"
#include "sampler.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <fcntl.h>
#include <future>
#include <iostream>
#include <linux/if_tun.h>
#include <map>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <optional>
#include <poll.h>
#include <random>
#include <sched.h>
#include <stdexcept>
#include <string>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

namespace {

using namespace bench;
using backlog::UniqueFd;

constexpr Duration tick = std::chrono::milliseconds(1);
constexpr std::uint32_t server_address = 0x0a090002; // 10.9.0.2, as distant clients see it
constexpr std::uint32_t client_address = 0x0a090001;
constexpr std::uint32_t scanner_address = INADDR_LOOPBACK + 8; // no socket of ours
constexpr Duration one_way = std::chrono::milliseconds(10);    // to distant clients
constexpr Duration send_after = std::chrono::milliseconds(5);
constexpr Seconds before_first_repeat{0.9}; // of a SYN
constexpr unsigned told_by_events = 2;      // of SamplerFigures::events
constexpr double count_tolerance = 0.002;
constexpr Duration until_counted = 5 * tick; // the servers' counts are as old as a tick, or two
constexpr int skipped = 77;

enum class Truth { own_count, none, the_rest };

/// A listener, who comes to it, and how it is served.
struct Plan {
  std::uint16_t port = 0;
  int limit = 0;
  Truth truth = Truth::own_count;
  bool deferred_accept = false;
  double accepted_per_second = 0; ///< 0: nobody accepts
  Seconds stall_every{0};         ///< once in so long, at a random moment; 0: never
  Seconds stall_length{0};
  Seconds restart_every{0}; ///< 0: never
  double clients_per_second = 0;
  Seconds client_lifetime = before_first_repeat;
  bool clients_send = false;
  bool clients_distant = false;
  double scans_per_second = 0; ///< SYNs whose answer is reset
};

std::vector<Plan> plans_of(const std::string &mix) {
  constexpr double at_once = 1e6;
  Plan syn_overflow; // full for a twentieth of the time
  syn_overflow.port = first_port;
  syn_overflow.limit = 16;
  syn_overflow.accepted_per_second = at_once;
  syn_overflow.stall_every = Seconds(1.25);
  syn_overflow.stall_length = Seconds(0.15);
  syn_overflow.clients_per_second = 200;

  Plan deferred;
  deferred.port = first_port + 1;
  deferred.limit = 60;
  deferred.truth = Truth::the_rest;
  deferred.deferred_accept = true;
  deferred.accepted_per_second = at_once;
  deferred.stall_every = Seconds(7);
  deferred.stall_length = Seconds(0.25);
  deferred.clients_per_second = 300;
  deferred.client_lifetime = Seconds(2);
  deferred.clients_send = true;

  Plan final_ack = deferred;
  final_ack.deferred_accept = false;
  final_ack.stall_every = Seconds(4);
  final_ack.stall_length = Seconds(0.4);
  final_ack.clients_per_second = 400;
  final_ack.clients_distant = true;

  Plan scanned;
  scanned.port = first_port + 1;
  scanned.limit = 128;
  scanned.truth = Truth::none;
  scanned.accepted_per_second = at_once;
  scanned.clients_per_second = 20;
  scanned.scans_per_second = 1000;

  Plan full;
  full.port = first_port;
  full.limit = 16;
  full.accepted_per_second = 150;
  full.clients_per_second = 250;
  Plan full_larger = full;
  full_larger.port = first_port + 2;
  full_larger.limit = 32;
  full_larger.accepted_per_second = 100;
  full_larger.clients_per_second = 300;
  Plan full_distant = final_ack;
  full_distant.accepted_per_second = 200;
  full_distant.stall_every = Seconds(0);

  if (mix == "deferred")
    return {syn_overflow, deferred};
  if (mix == "final_ack")
    return {syn_overflow, final_ack};
  if (mix == "restarting") {
    syn_overflow.restart_every = Seconds(3);
    return {syn_overflow, deferred};
  }
  if (mix == "scanned")
    return {syn_overflow, scanned};
  if (mix == "full")
    return {full, full_larger, full_distant};
  throw std::invalid_argument("unknown mix " + mix);
}

/// Events that happen at random, so often a second.
class Events {
public:
  explicit Events(double per_second)
      : random_(std::random_device{}()), gap_(std::max(per_second, 1e-6)),
        next_(after(Clock::now())) {}

  bool next_is_due(Clock::time_point now) {
    if (now < next_)
      return false;
    next_ = after(next_);
    return true;
  }

private:
  Clock::time_point after(Clock::time_point time) {
    return time + std::chrono::duration_cast<Duration>(Seconds(gap_(random_)));
  }

  std::mt19937 random_;
  std::exponential_distribution<double> gap_; // seconds
  Clock::time_point next_;
};

/// Calls step(now) each millisecond.
template <class Step> void tick_until(const std::atomic<bool> &stopping, Step step) {
  for (Clock::time_point due = Clock::now(); !stopping; due = std::max(due + tick, Clock::now())) {
    sleep_until(due);
    step(Clock::now());
  }
}

class Server {
public:
  explicit Server(const Plan &plan) : plan_(plan) { open(); }

  void step(Clock::time_point now) {
    if (plan_.restart_every > Seconds(0) && now - opened_ >= plan_.restart_every) {
      stop_listening();
      open();
    }
    may_accept_ += plan_.accepted_per_second * Seconds(now - last_).count();
    may_accept_ = std::min(may_accept_, std::max(1.0, plan_.accepted_per_second / 100));
    last_ = now;
    if (is_stalled(now))
      return;
    while (may_accept_ >= 1 && accept_and_reset(listener_.get()))
      may_accept_ -= 1;
  }
  void count() { drops_ = drops_before_ + socket_drops(listener_.get()); }

  const Plan &plan() const { return plan_; }
  /// As of the last count(), which is another thread's.
  std::uint64_t drops() const { return drops_; }

private:
  void open() {
    listener_ = UniqueFd();
    listener_ = listen_on(plan_.port, plan_.limit,
                          {.deferred_accept = plan_.deferred_accept, .ipv6_any = false});
    opened_ = Clock::now();
  }
  /// From shutdown() on nothing is counted, so that no drop is lost between reading and close().
  void stop_listening() {
    checked(shutdown(listener_.get(), SHUT_RDWR), "shutdown");
    drops_before_ += socket_drops(listener_.get());
  }
  bool is_stalled(Clock::time_point now) {
    if (plan_.stall_every <= Seconds(0))
      return false;
    if (now >= period_end_) {
      std::uniform_real_distribution<double> phase(
          0, (plan_.stall_every - plan_.stall_length).count());
      stall_begin_ = now + std::chrono::duration_cast<Duration>(Seconds(phase(random_)));
      period_end_ = now + std::chrono::duration_cast<Duration>(plan_.stall_every);
    }
    return now >= stall_begin_ && now - stall_begin_ < plan_.stall_length;
  }

  Plan plan_;
  UniqueFd listener_;
  std::uint64_t drops_before_ = 0; ///< of sockets closed
  std::atomic<std::uint64_t> drops_{0};
  double may_accept_ = 0;
  Clock::time_point last_ = Clock::now();
  Clock::time_point opened_;
  std::mt19937 random_{std::random_device{}()};
  Clock::time_point stall_begin_;
  Clock::time_point period_end_;
};

int tcp_state(int socket) {
  tcp_info info{};
  socklen_t size = sizeof info;
  checked(getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size), "TCP_INFO");
  return info.tcpi_state;
}

/// The clients of one listener.
class Clients {
public:
  explicit Clients(const Plan &plan) : plan_(plan), arrivals_(plan.clients_per_second) {}

  void step(Clock::time_point now) {
    while (arrivals_.next_is_due(now))
      clients_.push_back(
          {start_connect(plan_.clients_distant ? server_address : INADDR_LOOPBACK, plan_.port), now,
           !plan_.clients_send});
    for (Client &client : clients_)
      if (!client.has_sent && now - client.begin >= send_after)
        client.has_sent = send(client.socket.get(), "x", 1, MSG_NOSIGNAL) == 1 || errno != EAGAIN;
    while (!clients_.empty() && now - clients_.front().begin >= plan_.client_lifetime)
      leave();
  }

  void leave_all() {
    while (!clients_.empty())
      leave();
  }
  const Plan &plan() const { return plan_; }
  /// Clients that left without an answer to their SYN.
  std::uint64_t unanswered() const { return unanswered_; }

private:
  void leave() {
    if (tcp_state(clients_.front().socket.get()) == TCP_SYN_SENT)
      ++unanswered_;
    clients_.pop_front();
  }

  struct Client {
    UniqueFd socket;
    Clock::time_point begin;
    bool has_sent;
  };

  Plan plan_;
  Events arrivals_;
  std::deque<Client> clients_;
  std::uint64_t unanswered_ = 0;
};

/// Sends SYNs from an address without sockets, so that the kernel resets each answer.
class Scanner {
public:
  explicit Scanner(const Plan &plan)
      : plan_(plan), scans_(plan.scans_per_second),
        socket_(checked(socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW), "raw socket")) {}

  void step(Clock::time_point now) {
    while (scans_.next_is_due(now))
      send_syn();
  }

private:
  struct Packet {
    iphdr ip;
    tcphdr tcp;
  };

  void send_syn() {
    Packet packet{};
    packet.ip.version = 4;
    packet.ip.ihl = sizeof packet.ip / 4;
    packet.ip.ttl = 64;
    packet.ip.protocol = IPPROTO_TCP;
    packet.ip.saddr = htonl(scanner_address);
    packet.ip.daddr = htonl(INADDR_LOOPBACK);
    packet.tcp.source = htons(++source_port_ < 1024 ? source_port_ = 1024 : source_port_);
    packet.tcp.dest = htons(plan_.port);
    packet.tcp.seq = htonl(sequence_ += 100000);
    packet.tcp.doff = sizeof packet.tcp / 4;
    packet.tcp.syn = 1;
    packet.tcp.window = htons(65535);
    packet.tcp.check = checksum(packet);
    sockaddr_in target{};
    target.sin_family = AF_INET;
    target.sin_addr.s_addr = packet.ip.daddr;
    checked(static_cast<int>(sendto(socket_.get(), &packet, sizeof packet, 0,
                                    reinterpret_cast<const sockaddr *>(&target), sizeof target)),
            "send a SYN");
  }

  static std::uint16_t checksum(const Packet &packet) {
    std::array<std::uint16_t, sizeof(tcphdr) / 2> words{};
    std::memcpy(words.data(), &packet.tcp, sizeof packet.tcp);
    std::uint32_t sum = htons(IPPROTO_TCP) + htons(sizeof packet.tcp);
    for (const std::uint32_t address : {packet.ip.saddr, packet.ip.daddr})
      sum += (address & 0xffff) + (address >> 16U);
    for (const std::uint16_t word : words)
      sum += word;
    while (sum > 0xffff)
      sum = (sum & 0xffff) + (sum >> 16U);
    return static_cast<std::uint16_t>(~sum);
  }

  Plan plan_;
  Events scans_;
  UniqueFd socket_;
  std::uint16_t source_port_ = 1024;
  std::uint32_t sequence_ = 0;
};

/// A point-to-point device of the calling thread's net namespace, as a file of packets.
UniqueFd open_tunnel(std::uint32_t address) {
  UniqueFd tunnel(checked(open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC), "/dev/net/tun"));
  ifreq request{};
  std::strncpy(request.ifr_name, "distance", IFNAMSIZ - 1);
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  checked(ioctl(tunnel.get(), TUNSETIFF, &request), "TUNSETIFF");
  const UniqueFd socket(checked(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket"));
  const auto set_address = [&](unsigned long what, std::uint32_t value) {
    sockaddr_in ipv4{};
    ipv4.sin_family = AF_INET;
    ipv4.sin_addr.s_addr = htonl(value);
    std::memcpy(&request.ifr_addr, &ipv4, sizeof ipv4);
    checked(ioctl(socket.get(), what, &request), "set address");
  };
  set_address(SIOCSIFADDR, address);
  set_address(SIOCSIFNETMASK, 0xfffffffc);
  bring_up(request.ifr_name);
  return tunnel;
}

/// Carries packets between two tunnels, each way with a delay.
class Relay {
public:
  Relay(UniqueFd one, UniqueFd other) : ends_{std::move(one), std::move(other)} {}

  void run(const std::atomic<bool> &stopping) {
    while (!stopping) {
      std::array<pollfd, 2> readable{{{.fd = ends_[0].get(), .events = POLLIN, .revents = 0},
                                      {.fd = ends_[1].get(), .events = POLLIN, .revents = 0}}};
      poll(readable.data(), readable.size(), 1);
      for (std::size_t from = 0; from < 2; ++from)
        carry(ends_[from].get(), ends_[1 - from].get(), ways_[from]);
    }
  }

private:
  struct Way {
    std::deque<Clock::time_point> due;
    std::deque<std::vector<char>> packets;
  };

  static void carry(int from, int to, Way &way) {
    const Clock::time_point now = Clock::now();
    std::array<char, 2048> packet{};
    for (ssize_t length = 0; (length = read(from, packet.data(), packet.size())) > 0;) {
      way.packets.emplace_back(packet.data(), packet.data() + length);
      way.due.push_back(now + one_way);
    }
    while (!way.due.empty() && way.due.front() <= now) {
      checked(static_cast<int>(write(to, way.packets.front().data(), way.packets.front().size())),
              "write to a tunnel");
      way.packets.pop_front();
      way.due.pop_front();
    }
  }

  std::array<UniqueFd, 2> ends_;
  std::array<Way, 2> ways_;
};

/// A thread that works until it is told to stop. What it throws comes out of stop().
class Thread {
public:
  template <class Body>
  explicit Thread(Body body)
      : done_(std::async(std::launch::async, [this, body = std::move(body)]() mutable {
          body(std::as_const(stopping_));
        })) {}
  Thread(const Thread &) = delete;
  Thread &operator=(const Thread &) = delete;
  ~Thread() { stopping_ = true; }

  void stop() {
    stopping_ = true;
    done_.get();
  }

private:
  std::atomic<bool> stopping_{false};
  std::future<void> done_;
};

using CountByPort = std::map<std::uint16_t, std::uint64_t>;

std::uint64_t count_at(const CountByPort &counts, std::uint16_t port) {
  const auto found = counts.find(port);
  return found == counts.end() ? 0 : found->second;
}

/// Returns how many clients had no answer.
CountByPort run_clients(const std::vector<Plan> &plans, bool distant,
                        const std::atomic<bool> &stopping) {
  std::deque<Clients> clients;
  std::deque<Scanner> scanners;
  for (const Plan &plan : plans) {
    if (plan.clients_distant == distant)
      clients.emplace_back(plan);
    if (plan.scans_per_second > 0 && !distant)
      scanners.emplace_back(plan);
  }
  pin_to_cpu(sched_getcpu());
  tick_until(stopping, [&](Clock::time_point now) {
    for (Clients &of_one : clients)
      of_one.step(now);
    for (Scanner &scanner : scanners)
      scanner.step(now);
  });
  CountByPort unanswered;
  for (Clients &of_one : clients) {
    of_one.leave_all();
    unanswered[of_one.plan().port] = of_one.unanswered();
  }
  return unanswered;
}

std::uint64_t listen_drops() {
  const auto counters = backlog::NetCountersReader().read();
  if (!counters || !(*counters)[backlog::Counter::ListenDrops])
    throw std::runtime_error("the kernel does not tell ListenDrops");
  return *(*counters)[backlog::Counter::ListenDrops];
}

/// The truth is not to be had here.
class Unknown : public std::runtime_error {
public:
  using runtime_error::runtime_error;
};

/// The threads that play a mix.
class Play {
public:
  explicit Play(const std::vector<Plan> &plans)
      : plans_(plans), servers_(plans.begin(), plans.end()) {}

  void begin() {
    if (std::any_of(plans_.begin(), plans_.end(),
                    [](const Plan &plan) { return plan.clients_distant; }))
      begin_at_a_distance();
    others_.emplace_back([this](const std::atomic<bool> &stopping) {
      tick_until(stopping, [this](Clock::time_point now) {
        for (Server &server : servers_) {
          server.step(now);
          server.count();
        }
      });
      for (Server &server : servers_)
        server.count();
    });
    clients_.emplace_back([this](const std::atomic<bool> &stopping) {
      unanswered_ = run_clients(plans_, false, stopping);
    });
  }

  void end() {
    for (Thread &thread : clients_)
      thread.stop();
    sleep_until(Clock::now() + 10 * one_way); // what is under way
    for (Thread &thread : others_)
      thread.stop();
  }

  const std::deque<Server> &servers() const { return servers_; }
  /// Of the local clients.
  const CountByPort &unanswered() const { return unanswered_; }

private:
  void begin_at_a_distance() {
    if (access("/dev/net/tun", R_OK | W_OK) != 0)
      throw Unknown("no /dev/net/tun to make a round trip of 20 ms");
    std::promise<UniqueFd> far_end;
    std::future<UniqueFd> opened = far_end.get_future();
    clients_.emplace_back(
        [this, end = std::move(far_end)](const std::atomic<bool> &stopping) mutable {
          enter_new_net_namespace();
          end.set_value(open_tunnel(client_address));
          run_clients(plans_, true, stopping);
        });
    auto relay = std::make_shared<Relay>(open_tunnel(server_address), opened.get());
    others_.emplace_back([relay](const std::atomic<bool> &stopping) { relay->run(stopping); });
  }

  std::vector<Plan> plans_;
  std::deque<Server> servers_;
  CountByPort unanswered_;
  std::deque<Thread> clients_;
  std::deque<Thread> others_;
};

bool differ(std::uint64_t one, std::uint64_t other) {
  const auto most = static_cast<double>(std::max(one, other));
  return static_cast<double>(std::max(one, other) - std::min(one, other)) > count_tolerance * most;
}

/// The sockets' own counts, where these are the truth.
CountByPort own_counts(const Play &play) {
  CountByPort counts;
  for (const Server &server : play.servers())
    if (server.plan().truth == Truth::own_count)
      counts[server.plan().port] = server.drops();
  return counts;
}

/// Whose the drops were since the begin; the rest's are what is left.
CountByPort drops_by_port(const Play &play, const CountByPort &own, std::uint64_t all) {
  CountByPort drops;
  const Server *rest = nullptr;
  for (const Server &server : play.servers()) {
    std::uint64_t &of_server = drops[server.plan().port];
    if (server.plan().truth == Truth::the_rest)
      rest = &server;
    if (server.plan().truth != Truth::own_count)
      continue;
    of_server = count_at(own, server.plan().port);
    all -= std::min(all, of_server);
  }
  if (rest != nullptr)
    drops[rest->plan().port] = all;
  return drops;
}

/// The same, where the clients agree.
CountByPort true_drops(const Play &play, std::uint64_t all) {
  std::uint64_t counted = 0;
  bool has_rest = false;
  for (const Server &server : play.servers()) {
    has_rest = has_rest || server.plan().truth == Truth::the_rest;
    if (server.plan().truth != Truth::own_count)
      continue;
    const std::uint64_t unanswered = play.unanswered().at(server.plan().port);
    if (differ(unanswered, server.drops()))
      throw Unknown(std::to_string(unanswered) + " clients had no answer, but sk_drops is " +
                    std::to_string(server.drops()));
    counted += unanswered;
  }
  if (!has_rest && differ(counted, all))
    throw Unknown(std::to_string(counted) + " clients had no answer, but ListenDrops is " +
                  std::to_string(all));
  return drops_by_port(play, own_counts(play), all);
}

/// By how many drops the two counts of clients without an answer differ.
std::uint64_t doubtful_drops(const Play &play) {
  std::uint64_t sum = 0;
  for (const auto &[port, drops] : own_counts(play)) {
    const std::uint64_t unanswered = count_at(play.unanswered(), port);
    sum += std::max(unanswered, drops) - std::min(unanswered, drops);
  }
  return sum;
}

/// Compares what the sampler hands out with the truth, interval by interval. The truth is read
/// before and after the sampler: a drop in between may belong to either interval.
class Verdict {
public:
  explicit Verdict(const Play &play) : play_(play) {}

  void harvest(backlog::Sampler &sampler) {
    const CountByPort own_before = own_counts(play_);
    const std::uint64_t all_before = all();
    sampler.ask();
    const auto harvest = sampler.take_until(Clock::now() + std::chrono::seconds(5));
    if (!harvest || !harvest->own.tcp.read || !harvest->own.drops_known)
      throw std::runtime_error("the sampler gave no harvest");
    if (!bounds_.high.empty() && harvest->sampler.events.value_or(0) < told_by_events)
      ++without_events_;
    to_none_ += harvest->own.drops_counted - harvest->own.tcp.unlisted_drops;
    const std::uint64_t all_after = all();
    sleep_until(Clock::now() + until_counted);
    const CountByPort own_after = own_counts(play_);
    const Bounds begin =
        std::exchange(bounds_, bounds(own_before, own_after, all_before, all_after));
    CountByPort given;
    for (const backlog::ListenerHarvest &listener : harvest->own.tcp.listeners)
      given[listener.interval.identity.port] += listener.dropped.drops;
    for (const auto &[port, drops] : given)
      to_none_ -= drops;
    for (const auto &[port, drops] : given) {
      given_[port] += drops;
      const std::uint64_t at_most =
          count_at(bounds_.high, port) -
          std::min(count_at(bounds_.high, port), count_at(begin.low, port));
      wrong_ += drops - std::min(drops, at_most);
    }
  }
  std::uint64_t given(std::uint16_t port) const { return count_at(given_, port); }
  /// Given to a listener beyond what it had in an interval.
  std::uint64_t wrong() const { return wrong_; }
  std::uint64_t to_none() const { return to_none_; }
  /// Harvests whose drops were not told by events.
  unsigned without_events() const { return without_events_; }
  /// ListenDrops since the begin.
  std::uint64_t all() const { return listen_drops() - begin_; }

private:
  /// Of each listener's drops at a harvest.
  struct Bounds {
    CountByPort low;
    CountByPort high;
  };
  /// Own counts come late, never early.
  Bounds bounds(const CountByPort &own_before, const CountByPort &own_after,
                std::uint64_t all_before, std::uint64_t all_after) const {
    Bounds bounds{.low = drops_by_port(play_, own_after, all_before),
                  .high = drops_by_port(play_, own_before, all_after)};
    for (const auto &[port, drops] : own_before)
      bounds.low[port] = drops;
    for (const auto &[port, drops] : own_after)
      bounds.high[port] = drops;
    return bounds;
  }

  const Play &play_;
  std::uint64_t begin_ = listen_drops();
  Bounds bounds_;
  CountByPort given_;
  std::uint64_t wrong_ = 0;
  std::uint64_t to_none_ = 0;
  unsigned without_events_ = 0;
};

void judge(const Verdict &verdict, const CountByPort &truth, std::uint64_t all,
           std::uint64_t doubtful) {
  std::uint64_t handed_out = verdict.to_none();
  for (const auto &[port, drops] : truth) {
    const std::uint64_t given = verdict.given(port);
    print_figure("given_" + std::to_string(port), static_cast<double>(given));
    print_figure("true_" + std::to_string(port), static_cast<double>(drops));
    handed_out += given;
  }
  if (handed_out != all)
    throw std::runtime_error("handed out and unattributed drops, " + std::to_string(handed_out) +
                             ", are not the kernel's, " + std::to_string(all));
  const auto percent = [all](std::uint64_t drops) {
    return 100 * static_cast<double>(drops) / static_cast<double>(std::max<std::uint64_t>(1, all));
  };
  print_figure("wrong_percent", percent(verdict.wrong()));
  print_figure("none_percent", percent(verdict.to_none()));
  print_figure("doubtful_percent", percent(doubtful));
  print_figure("drops", static_cast<double>(all));
  print_figure("without_events", verdict.without_events());
}

int play(const std::vector<Plan> &plans, Seconds length, Seconds interval, backlog::EventUse events,
         std::uint64_t drops) {
  Play play(plans);
  backlog::Sampler sampler;
  backlog::Config config;
  config.events = events;
  if (sampler.start(std::make_shared<const backlog::Config>(std::move(config)), interval,
                    std::make_shared<backlog::SurveyBoard>()))
    throw std::runtime_error("cannot start the sampler");
  Verdict verdict(play);
  verdict.harvest(sampler);

  play.begin();
  const Clock::time_point begin = Clock::now();
  for (Seconds passed = interval; passed <= length || verdict.all() < drops; passed += interval) {
    sleep_until(begin + std::chrono::duration_cast<Duration>(passed));
    verdict.harvest(sampler);
  }
  play.end();
  verdict.harvest(sampler);
  const std::uint64_t all = verdict.all();
  sampler.stop(std::chrono::seconds(1));
  judge(verdict, true_drops(play, all), all, doubtful_drops(play));
  return 0;
}

int body(int argc, char **argv) {
  if (argc != 5 && argc != 6)
    throw std::invalid_argument("usage: drop_mixes MIX SECONDS INTERVAL_SECONDS auto|off [DROPS]");
  raise_file_limit();
  enter_new_net_namespace();
  try {
    return play(plans_of(argv[1]), Seconds(std::atof(argv[2])), Seconds(std::atof(argv[3])),
                std::string_view(argv[4]) == "off" ? backlog::EventUse::off
                                                   : backlog::EventUse::automatic,
                argc > 5 ? std::strtoull(argv[5], nullptr, 10) : 0);
  } catch (const Unknown &reason) {
    std::cerr << reason.what() << '\n';
    return skipped;
  }
}

} // namespace

int main(int argc, char **argv) { return run_program(body, argc, argv); }
