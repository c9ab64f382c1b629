#include "oldest_wait.h"
#include "test_program.h"
#include "unique_fd.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <cstring>
#include <functional>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string>
#include <sys/socket.h>
#include <sys/stat.h>
#include <utility>
#include <vector>

using namespace backlog;
using namespace std::chrono_literals;

namespace {

constexpr std::uint32_t eth0 = 2;

/// An address as the field writes it: IPv6 where it has a colon.
TcpAddress address(const std::string &text, std::uint16_t port = 80, std::uint32_t device = 0) {
  TcpAddress result;
  result.ipv6 = text.find(':') != std::string::npos;
  result.port = port;
  result.device = device;
  ck_assert_int_eq(inet_pton(result.ipv6 ? AF_INET6 : AF_INET, text.c_str(), result.bytes.data()),
                   1);
  return result;
}

TcpAddress v6only(TcpAddress address) {
  address.v6only = true;
  return address;
}

using Age = std::optional<std::chrono::milliseconds>;

struct Case {
  const char *name = nullptr;
  std::vector<TcpAddress> listeners;
  std::vector<WaitingConnection> waiting;
  std::vector<Age> ages; ///< by address, in the order of the listeners
};

std::vector<Case> cases() {
  return {
      {.name = "the oldest of several",
       .listeners = {address("0.0.0.0")},
       .waiting = {{address("10.0.0.1"), 20ms},
                   {address("10.0.0.1"), 700ms},
                   {address("10.0.0.2"), 30ms}},
       .ages = {700ms}},
      {.name = "none is visible",
       .listeners = {address("0.0.0.0")},
       .waiting = {},
       .ages = {std::nullopt}},
      {.name = "one that has just come",
       .listeners = {address("0.0.0.0")},
       .waiting = {{address("10.0.0.1"), 0ms}},
       .ages = {0ms}},
      {.name = "exact before wildcard, whatever the order of the dump",
       .listeners = {address("0.0.0.0"), address("127.0.0.1")},
       .waiting = {{address("127.0.0.1"), 5s},
                   {address("127.0.0.2"), 1s},
                   {address("127.0.0.1"), 2s}},
       .ages = {1s, 5s}},
      {.name = "exact before wildcard, IPv6",
       .listeners = {address("2001:db8::1"), address("::")},
       .waiting = {{address("2001:db8::2"), 1s}, {address("2001:db8::1"), 2s}},
       .ages = {2s, 1s}},
      {.name = "another port, another family",
       .listeners = {address("0.0.0.0", 80), address("0.0.0.0", 81), address("::", 80)},
       .waiting = {{address("127.0.0.1", 81), 1s}, {address("::1", 80), 2s}},
       .ages = {std::nullopt, 1s, 2s}},
      {.name = "IPv4 clients of a dual-stack listener",
       .listeners = {address("::"), address("0.0.0.0")},
       .waiting = {{address("::ffff:127.0.0.1"), 3s}, {address("127.0.0.1"), 4s}},
       .ages = {3s, 4s}},
      {.name = "IPv4 clients are none of a v6only listener",
       .listeners = {v6only(address("::")), address("::")},
       .waiting = {{address("::ffff:127.0.0.1"), 3s}, {address("::1"), 4s}},
       .ages = {4s, 3s}},
      {.name = "bound device before any device",
       .listeners = {address("0.0.0.0"), address("0.0.0.0", 80, eth0)},
       .waiting = {{address("10.0.0.1", 80, eth0), 3s}, {address("10.0.0.1"), 4s}},
       .ages = {4s, 3s}},
      {.name = "bound device before any device on one address",
       .listeners = {address("10.0.0.1"), address("10.0.0.1", 80, eth0)},
       .waiting = {{address("10.0.0.1", 80, eth0), 3s}, {address("10.0.0.1"), 4s}},
       .ages = {4s, 3s}},
      {.name = "link-local client of an unbound wildcard",
       .listeners = {address("::")},
       .waiting = {{address("fe80::1", 80, eth0), 3s}},
       .ages = {3s}},
      {.name = "the members of a SO_REUSEPORT group share one",
       .listeners = {address("0.0.0.0"), address("0.0.0.0")},
       .waiting = {{address("10.0.0.1"), 1s}, {address("10.0.0.1"), 2s}},
       .ages = {2s}},
      {.name = "no listener",
       .listeners = {address("127.0.0.1")},
       .waiting = {{address("127.0.0.2"), 9s}},
       .ages = {std::nullopt}},
      {.name = "no listeners at all",
       .listeners = {},
       .waiting = {{address("127.0.0.1"), 9s}},
       .ages = {}},
  };
}

/// One entry of a dump, as inet_sk_diag_fill() writes it, up to what parse_waiting() reads.
class Entry {
public:
  Entry() {
    auto *entry = static_cast<inet_diag_msg *>(
        mnl_nlmsg_put_extra_header(mnl_nlmsg_put_header(bytes_.data()), sizeof(inet_diag_msg)));
    entry->idiag_family = AF_INET;
    entry->idiag_state = TCP_ESTABLISHED;
    entry->id.idiag_sport = htons(80);
    entry->id.idiag_src[0] = htonl(INADDR_LOOPBACK);
  }
  Entry &in_state(std::uint8_t state) {
    static_cast<inet_diag_msg *>(mnl_nlmsg_get_payload(header()))->idiag_state = state;
    return *this;
  }
  Entry &accepted() {
    static_cast<inet_diag_msg *>(mnl_nlmsg_get_payload(header()))->idiag_inode = 7;
    return *this;
  }
  Entry &with_attribute(std::uint16_t type, std::size_t length) {
    mnl_attr_put(header(), type, length, payload_.data());
    return *this;
  }
  Entry &with_age(std::uint32_t age_ms, std::size_t length = sizeof(tcp_info)) {
    std::memcpy(payload_.data() + offsetof(tcp_info, tcpi_last_data_sent), &age_ms, sizeof age_ms);
    return with_attribute(INET_DIAG_INFO, length);
  }
  Entry &cut_to(std::uint32_t length) {
    header()->nlmsg_len = length;
    return *this;
  }
  nlmsghdr *header() { return reinterpret_cast<nlmsghdr *>(bytes_.data()); }

private:
  alignas(nlmsghdr) std::array<char, 1024> bytes_{};
  std::array<char, 300> payload_{}; ///< struct tcp_info has grown beyond what it once was
};

// For what happens on loopback at once.
constexpr std::chrono::seconds patience{20};
// A jiffy of the slowest kernels, and one that the kernel may be behind.
constexpr std::chrono::milliseconds clock_step{20};

using Clock = std::chrono::steady_clock;

sockaddr_in loopback(std::uint8_t last_byte, std::uint16_t port) {
  sockaddr_in result{};
  result.sin_family = AF_INET;
  result.sin_addr.s_addr = htonl(0x7f000000U + last_byte);
  result.sin_port = htons(port);
  return result;
}

TcpAddress mapped(std::uint8_t last_byte, std::uint16_t port) {
  return address("::ffff:127.0.0." + std::to_string(last_byte), port);
}

/// A dual-stack or IPv4 listener on a port that the kernel chooses.
class LiveListener {
public:
  explicit LiveListener(int family) : socket_(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    // Both families have the port at one place.
    sockaddr_in6 any{};
    any.sin6_family = static_cast<sa_family_t>(family);
    socklen_t length = family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
    usable_ = socket_ && bind(socket_.get(), reinterpret_cast<sockaddr *>(&any), length) == 0 &&
              listen(socket_.get(), 16) == 0 &&
              getsockname(socket_.get(), reinterpret_cast<sockaddr *>(&any), &length) == 0;
    port_ = ntohs(any.sin6_port);
  }
  bool usable() const { return usable_; }
  std::uint16_t port() const { return port_; }
  UniqueFd accept() const {
    return UniqueFd(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  }
  /// A client of 127.0.0.x.
  UniqueFd connect(std::uint8_t last_byte) const {
    UniqueFd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_in to = loopback(last_byte, port_);
    ck_assert_int_eq(::connect(client.get(), reinterpret_cast<const sockaddr *>(&to), sizeof to),
                     0);
    return client;
  }

private:
  UniqueFd socket_;
  bool usable_ = false;
  std::uint16_t port_ = 0;
};

void reset(UniqueFd client) {
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  ck_assert_int_eq(setsockopt(client.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
}

std::vector<WaitingConnection> dump(SockDiag &diag, std::vector<std::uint16_t> ports) {
  std::vector<WaitingConnection> result;
  const Failure failure = diag.dump_waiting(
      ports, [&](const WaitingConnection &connection) { result.push_back(connection); });
  ck_assert_msg(!failure, "%s", failure ? failure->message().c_str() : "");
  return result;
}

Age age_of(const std::vector<WaitingConnection> &waiting, const TcpAddress &local) {
  for (const WaitingConnection &connection : waiting)
    if (connection.local == local)
      return connection.age;
  return std::nullopt;
}

void wait_until(const char *what, const std::function<bool()> &holds) {
  const Clock::time_point deadline = Clock::now() + patience;
  while (!holds()) {
    ck_assert_msg(Clock::now() < deadline, "never: %s", what);
    poll(nullptr, 0, 1);
  }
}

Age oldest_age(const TcpWaits &waits) {
  return waits.ages.empty() ? std::nullopt : Age(waits.ages.front());
}

Age oldest_of(SockDiag &diag, std::uint16_t port) {
  OldestWaitFinder waits;
  if (Failure failure = diag.dump_tcp_listeners([&](const TcpListener &listener) {
        waits.add_listener(listener.address, listener.queue_length);
      }))
    ck_abort_msg("%s", failure->message().c_str());
  for (const WaitingConnection &connection : dump(diag, {port}))
    waits.add_waiting(connection);
  for (const OldestWaitFinder::Oldest &oldest : std::move(waits).oldest())
    if (oldest.listener.port == port)
      return oldest_age(oldest.waits);
  ck_abort_msg("no listener at port %u", port);
}

std::uint32_t queue_length(SockDiag &diag, std::uint16_t port) {
  std::uint32_t length = 0;
  const Failure failure = diag.dump_tcp_listeners([&](const TcpListener &listener) {
    if (listener.address.port == port)
      length = listener.queue_length;
  });
  ck_assert(!failure);
  return length;
}

} // namespace

START_TEST(waiting_connections_find_their_listener) {
  for (const Case &c : cases()) {
    OldestWaitFinder waits;
    for (const TcpAddress &listener : c.listeners)
      waits.add_listener(listener, 0);
    for (const WaitingConnection &connection : c.waiting)
      waits.add_waiting(connection);
    const auto oldest = std::move(waits).oldest();
    ck_assert_msg(oldest.size() == c.ages.size(), "%s: %zu", c.name, oldest.size());
    for (std::size_t i = 0; i < c.ages.size(); ++i) {
      ck_assert_msg(oldest[i].listener == c.listeners[i], "%s: listener %zu", c.name, i);
      ck_assert_msg(oldest_age(oldest[i].waits) == c.ages[i], "%s: age %zu", c.name, i);
    }
  }
}
END_TEST

START_TEST(who_waits_is_in_order_and_who_is_not_seen_is_counted) {
  OldestWaitFinder waits;
  waits.add_listener(address("0.0.0.0"), 2);
  waits.add_listener(address("0.0.0.0"), 3);
  waits.add_listener(address("::"), 1);
  for (const auto &[age, cookie] :
       {std::pair{1s, 5}, std::pair{3s, 9}, std::pair{3s, 7}, std::pair{2s, 1}})
    waits.add_waiting({address("10.0.0.1"), age, static_cast<std::uint64_t>(cookie)});
  for (int i = 0; i < 2; ++i) // one has come since the queues were read
    waits.add_waiting({address("::1"), 4s, 11});
  auto found = std::move(waits).oldest();
  ck_assert_uint_eq(found.size(), 2);
  TcpWaits &ipv4 = found[0].waits;
  ck_assert(ipv4.ages == (std::vector<std::chrono::milliseconds>{3s, 3s, 2s, 1s}));
  ck_assert_uint_eq(ipv4.oldest_cookie, 7);
  ck_assert_uint_eq(ipv4.invisible, 1);
  ck_assert_uint_eq(found[1].waits.invisible, 0);

  ipv4.add({.ages = {2500ms}, .oldest_cookie = 20, .invisible = 2});
  ck_assert(ipv4.ages == (std::vector<std::chrono::milliseconds>{3s, 3s, 2500ms, 2s, 1s}));
  ck_assert_uint_eq(ipv4.oldest_cookie, 7);
  ck_assert_uint_eq(ipv4.invisible, 3);
  ipv4.add({.ages = {3s}, .oldest_cookie = 21, .invisible = 0}); // as old as the oldest
  ck_assert_uint_eq(ipv4.oldest_cookie, 7);
  ipv4.add(std::move(found[1].waits));
  ck_assert_uint_eq(ipv4.oldest_cookie, 11);
}
END_TEST

START_TEST(members_whose_queue_is_not_empty) {
  OldestWaitFinder waits;
  waits.add_listener(address("0.0.0.0"), 0, {.cookie = 1, .inode = 11});
  waits.add_listener(address("0.0.0.0"), 1, {.cookie = 2, .inode = 12});
  waits.add_listener(address("0.0.0.0"), 5, {.cookie = 3, .inode = 13});
  const auto found = std::move(waits).oldest();
  ck_assert_uint_eq(found.size(), 1);
  ck_assert_uint_eq(found[0].sockets.size(), 2);
  ck_assert_uint_eq(found[0].sockets[0].cookie, 2);
  ck_assert_uint_eq(found[0].sockets[1].inode, 13);
}
END_TEST

START_TEST(clients_of_a_very_long_queue) {
  OldestWaitFinder waits;
  waits.add_listener(address("0.0.0.0"), 5000);
  for (std::size_t i = 0; i <= TcpQueueLook::most_clients; ++i)
    waits.add_waiting({address("10.0.0.1"), 1s, i});
  auto found = std::move(waits).oldest();
  ck_assert_uint_eq(found[0].waits.ages.size(), TcpQueueLook::most_clients + 1);
  ck_assert_uint_eq(found[0].clients.size(), TcpQueueLook::most_clients);
  TcpQueueLook more = found[0];
  found[0].add(std::move(more));
  ck_assert_uint_eq(found[0].clients.size(), TcpQueueLook::most_clients);
}
END_TEST

START_TEST(entries_tell_their_age) {
  const auto waiting = parse_waiting(*Entry().with_age(3708).header());
  ck_assert(waiting && *waiting);
  ck_assert((*waiting)->age == 3708ms);
  ck_assert((*waiting)->local == address("127.0.0.1"));

  Entry longer;
  longer.with_attribute(INET_DIAG_SHUTDOWN, 1).with_age(~0U, 280).with_attribute(15, 4);
  ck_assert((*parse_waiting(*longer.header()))->age == 4294967295ms);

  // Up to the age and no farther.
  ck_assert((*parse_waiting(*Entry().with_age(1, 48).header()))->age == 1ms);
}
END_TEST

START_TEST(live_clients_are_found_by_their_ends) {
  const LiveListener listener(AF_INET6);
  auto diag = SockDiag::open();
  if (!listener.usable() || !diag)
    return;
  UniqueFd first = listener.connect(1);
  UniqueFd second = listener.connect(2);
  const auto end_at = [&](std::uint8_t last_byte) -> std::optional<std::uint32_t> {
    for (const WaitingConnection &connection : dump(*diag, {listener.port()})) {
      if (connection.local != mapped(last_byte, listener.port()))
        continue;
      ck_assert(connection.remote.is_ipv4_mapped());
      const auto inode = diag->find_tcp_end(connection.remote, connection.local);
      ck_assert(static_cast<bool>(inode));
      return *inode;
    }
    return std::nullopt;
  };
  wait_until("both wait", [&] { return end_at(1) && end_at(2); });
  for (const auto &[last_byte, client] : {std::pair{1, &first}, std::pair{2, &second}}) {
    struct stat status {};
    ck_assert_int_eq(fstat(client->get(), &status), 0);
    ck_assert_uint_eq(*end_at(static_cast<std::uint8_t>(last_byte)), status.st_ino);
  }
  // Closed: the connection waits on, and no process has its end.
  second = UniqueFd();
  wait_until("the end is nobody's", [&] { return end_at(2) == 0U; });

  // There is no such connection; and a listener is none.
  const auto none = diag->find_tcp_end(mapped(1, listener.port()), address("127.0.0.1", 1));
  ck_assert(none && !*none);
}
END_TEST

START_TEST(ends_of_connections) {
  const TcpAddress local = address("127.0.0.1");
  const TcpAddress remote = address("0.0.0.0", 0);
  const auto found = [&](std::uint8_t state, TcpEnd what) {
    const auto inode = parse_tcp_end(*Entry().in_state(state).header(), local, remote, what);
    return inode && *inode;
  };
  for (const std::uint8_t state : {TCP_ESTABLISHED, TCP_FIN_WAIT1, TCP_FIN_WAIT2}) {
    ck_assert(found(state, TcpEnd::waiting_client));
    ck_assert(found(state, TcpEnd::any));
  }
  // A client that has sent nothing but a SYN, or whose server has closed.
  for (const std::uint8_t state : {TCP_SYN_SENT, TCP_CLOSE_WAIT, TCP_LAST_ACK, TCP_TIME_WAIT}) {
    ck_assert(!found(state, TcpEnd::waiting_client));
    ck_assert(found(state, TcpEnd::any));
  }
  ck_assert(!found(TCP_LISTEN, TcpEnd::any));
}
END_TEST

START_TEST(accepted_connections_are_passed_over) {
  const auto with_age = parse_waiting(*Entry().accepted().with_age(9).header());
  ck_assert(with_age && !*with_age);
  const auto without_age = parse_waiting(*Entry().accepted().header());
  ck_assert(without_age && !*without_age);
}
END_TEST

START_TEST(entries_without_age_are_damaged) {
  const auto code = [](Entry &entry) {
    const auto result = parse_waiting(*entry.header());
    return result ? 0 : result.error().code;
  };
  ck_assert_int_eq(code(Entry().with_attribute(INET_DIAG_SHUTDOWN, 1)), EBADMSG);
  ck_assert_int_eq(code(Entry().with_age(1, 47)), EBADMSG);
  ck_assert_int_eq(code(Entry().cut_to(MNL_NLMSG_HDRLEN + sizeof(inet_diag_msg) - 4)), EBADMSG);
  Entry whole;
  whole.with_age(1);
  for (std::uint32_t length = MNL_NLMSG_HDRLEN; length < whole.header()->nlmsg_len; length += 4) {
    Entry cut = whole;
    ck_assert_int_eq(code(cut.cut_to(length)), EBADMSG);
  }
}
END_TEST

START_TEST(live_ages_are_in_the_order_of_the_clients) {
  auto diag = SockDiag::open();
  const LiveListener listener(AF_INET);
  if (!diag || !listener.usable())
    return;
  constexpr std::uint8_t count = 4;
  const auto local = [&](std::uint8_t i) {
    return address("127.0.0." + std::to_string(i), listener.port());
  };
  std::vector<UniqueFd> clients;
  Clock::time_point first_came;
  for (std::uint8_t i = 1; i <= count; ++i) {
    clients.push_back(listener.connect(i));
    wait_until("a waiting client is seen",
               [&] { return age_of(dump(*diag, {listener.port()}), local(i)).has_value(); });
    if (i == 1)
      first_came = Clock::now();
    wait_until("it ages", [&] {
      return age_of(dump(*diag, {listener.port()}), local(i)) >= Age(2 * clock_step);
    });
    // Data of the client makes the connection no younger.
    ck_assert_int_eq(send(clients.back().get(), "x", 1, MSG_NOSIGNAL), 1);
  }

  const Clock::duration waited = Clock::now() - first_came;
  const auto waiting = dump(*diag, {listener.port()});
  ck_assert_uint_eq(waiting.size(), count);
  for (std::uint8_t i = 2; i <= count; ++i)
    ck_assert(*age_of(waiting, local(i - 1)) > *age_of(waiting, local(i)));
  ck_assert(*age_of(waiting, local(1)) >= waited - clock_step);
  ck_assert(*oldest_of(*diag, listener.port()) >= waited - clock_step);
}
END_TEST

START_TEST(live_queue_tells_who_still_waits) {
  for (const auto request :
       {SockDiag::TcpRequest::both_families, SockDiag::TcpRequest::each_family}) {
    auto diag = SockDiag::open();
    const LiveListener listener(AF_INET6);
    if (!diag || !listener.usable())
      return;
    diag->request_tcp_by(request);
    const std::uint16_t port = listener.port();
    ck_assert(!oldest_of(*diag, port));

    const auto seen = [&](std::uint8_t i) {
      return age_of(dump(*diag, {port}), mapped(i, port)).has_value();
    };
    UniqueFd first = listener.connect(1);
    wait_until("the first waits", [&] { return seen(1); });
    UniqueFd second = listener.connect(2);
    wait_until("the second waits", [&] { return seen(2); });
    UniqueFd third = listener.connect(3);
    wait_until("the third waits", [&] { return seen(3); });

    const UniqueFd accepted = listener.accept();
    ck_assert(accepted);
    ck_assert(!seen(1) && seen(2) && seen(3));

    // One that has said all it had to say still waits (CLOSE_WAIT); one that gave up is not seen.
    ck_assert_int_eq(shutdown(third.get(), SHUT_WR), 0);
    reset(std::move(second));
    wait_until("the second is gone", [&] { return !seen(2); });
    ck_assert(seen(3));
    ck_assert(oldest_of(*diag, port));
    reset(std::move(third));
    wait_until("nobody is seen", [&] { return !seen(3); });
    ck_assert(!oldest_of(*diag, port));
    ck_assert_uint_eq(queue_length(*diag, port), 2);
  }
}
END_TEST

START_TEST(live_kernel_filters_by_port) {
  constexpr std::size_t count = 70;
  std::vector<LiveListener> listeners;
  std::vector<UniqueFd> clients;
  for (std::size_t i = 0; i < count; ++i) {
    listeners.emplace_back(AF_INET);
    if (!listeners.back().usable())
      return;
    clients.push_back(listeners.back().connect(1));
  }
  for (const auto request :
       {SockDiag::TcpRequest::both_families, SockDiag::TcpRequest::each_family}) {
    auto diag = SockDiag::open();
    if (!diag)
      return;
    diag->request_tcp_by(request);
    for (const std::size_t filtered : {std::size_t{1}, std::size_t{2}, std::size_t{64}, count}) {
      std::vector<std::uint16_t> ports;
      for (std::size_t i = 0; i < filtered; ++i)
        ports.push_back(listeners[i].port());
      wait_until("all of them wait", [&] {
        const auto waiting = dump(*diag, ports);
        return std::all_of(ports.begin(), ports.end(), [&](std::uint16_t port) {
          return age_of(waiting, address("127.0.0.1", port)).has_value();
        });
      });
      if (filtered < count)
        for (const WaitingConnection &connection : dump(*diag, ports))
          ck_assert(std::find(ports.begin(), ports.end(), connection.local.port) != ports.end());
    }
  }
}
END_TEST

int main() {
  return run_tests("oldest_wait", waiting_connections_find_their_listener,
                   who_waits_is_in_order_and_who_is_not_seen_is_counted,
                   members_whose_queue_is_not_empty, clients_of_a_very_long_queue,
                   entries_tell_their_age, live_clients_are_found_by_their_ends,
                   ends_of_connections, accepted_connections_are_passed_over,
                   entries_without_age_are_damaged, live_ages_are_in_the_order_of_the_clients,
                   live_queue_tells_who_still_waits, live_kernel_filters_by_port);
}
