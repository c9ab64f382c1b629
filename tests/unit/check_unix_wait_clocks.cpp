#include "test_program.h"
#include "unique_fd.h"
#include "unix_wait_clocks.h"

#include <cerrno>
#include <string>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <vector>

using namespace backlog;
using namespace std::chrono_literals;

namespace {

using Peers = std::vector<std::uint32_t>;

/// The waits after looks at one queue, a second apart.
UnixWaits after(const std::vector<Peers> &looks) {
  UnixWaitClocks clocks;
  UnixWaitClocks::TimePoint now;
  for (const Peers &peers : looks) {
    now += 1s;
    if (!peers.empty())
      clocks.see(1, peers, now);
    clocks.end_look();
  }
  return clocks.waits().at(1);
}

/// A listening socket of a name that the kernel gives, and its clients.
class LiveListener {
public:
  LiveListener() : socket_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    address_.sun_family = AF_UNIX;
    struct stat status {};
    socklen_t cookie_length = sizeof cookie_;
    ck_assert_int_eq(
        bind(socket_.get(), reinterpret_cast<sockaddr *>(&address_), sizeof address_.sun_family),
        0);
    ck_assert_int_eq(listen(socket_.get(), 4096), 0);
    ck_assert_int_eq(getsockname(socket_.get(), reinterpret_cast<sockaddr *>(&address_), &length_),
                     0);
    ck_assert_int_eq(getsockopt(socket_.get(), SOL_SOCKET, SO_COOKIE, &cookie_, &cookie_length), 0);
    ck_assert_int_eq(fstat(socket_.get(), &status), 0);
    inode_ = static_cast<std::uint32_t>(status.st_ino);
  }
  std::uint32_t inode() const { return inode_; }
  std::uint64_t cookie() const { return cookie_; }
  UniqueFd connect() const {
    UniqueFd client(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!client ||
        ::connect(client.get(), reinterpret_cast<const sockaddr *>(&address_), length_) != 0)
      return UniqueFd();
    return client;
  }
  UniqueFd accept() const {
    return UniqueFd(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  }

private:
  UniqueFd socket_;
  sockaddr_un address_{};
  socklen_t length_ = sizeof address_;
  std::uint64_t cookie_ = 0;
  std::uint32_t inode_ = 0;
};

std::uint32_t inode_of(const UniqueFd &socket) {
  struct stat status {};
  ck_assert_int_eq(fstat(socket.get(), &status), 0);
  return static_cast<std::uint32_t>(status.st_ino);
}

} // namespace

START_TEST(who_stays_in_place_was_not_accepted) {
  struct Case {
    const char *name;
    std::vector<Peers> looks; ///< a second apart
    std::chrono::seconds none_accepted_for;
    std::optional<std::chrono::seconds> oldest;
  };
  const Case cases[] = {
      {"a first look", {{7}}, 0s, 0s},
      {"nobody came", {{7, 8}, {7, 8}, {7, 8}}, 2s, 2s},
      {"others came", {{7}, {7, 8}, {7, 8, 9}}, 2s, 2s},
      {"a client went", {{7, 8}, {0, 8}, {0, 8, 9}}, 2s, 2s},
      {"all clients went", {{7, 8}, {0, 0}, {0, 0}}, 2s, std::nullopt},
      {"closed loop", {{7, 8, 9}, {8, 9, 10}, {9, 10, 11}}, 0s, 2s},
      {"closed loop of one", {{7}, {8}, {9}}, 0s, 0s},
      {"closed loop of clients that go", {{0, 0, 7}, {0, 0, 8}, {0, 0, 9}}, 0s, 0s},
      {"a client that has gone was accepted", {{0, 7, 8}, {7, 8, 9}}, 0s, 1s},
      {"fewer", {{7, 8}, {8}, {8}}, 1s, 2s},
      {"one in another's place", {{7, 8}, {9, 8}}, 0s, 0s},
      {"a gone one in a living one's place, but fewer", {{7, 8}, {0}}, 0s, std::nullopt},
      {"it hangs in the end", {{7, 8}, {8, 9}, {8, 9}, {8, 9, 10}}, 2s, 3s},
      {"empty meanwhile", {{7}, {}, {7}}, 0s, 0s},
  };
  for (const Case &c : cases) {
    const UnixWaits waits = after(c.looks);
    ck_assert_msg(waits.none_accepted_for == c.none_accepted_for, "%s: none accepted for %lld s",
                  c.name, static_cast<long long>(waits.none_accepted_for / 1s));
    ck_assert_msg(waits.oldest == c.oldest, "%s: oldest", c.name);
    ck_assert_msg(!waits.accepted || waits.none_accepted_for == 0s, "%s: accepted", c.name);
  }
}
END_TEST

START_TEST(accepts_are_known_from_the_second_look_on) {
  ck_assert(!after({{7, 8}}).accepted);
  ck_assert(after({{7, 8}, {8}}).accepted);
  ck_assert(!after({{7, 8}, {8}, {8}}).accepted);
}
END_TEST

START_TEST(time_without_a_look_proves_nothing) {
  UnixWaitClocks clocks;
  const Peers peers{7};
  const UnixWaitClocks::TimePoint begin;
  for (const auto when : {begin, begin + 2s}) {
    clocks.see(1, peers, when);
    clocks.see(2, peers, begin + 1s);
    clocks.end_look();
  }
  ck_assert(clocks.waits().at(1).none_accepted_for == 2s);
  ck_assert(clocks.waits().at(1).oldest == 2s);
  ck_assert(clocks.waits().at(2).none_accepted_for == 0s);
}
END_TEST

START_TEST(queues_that_are_not_seen_are_forgotten) {
  UnixWaitClocks clocks;
  const Peers peers{7};
  clocks.see(1, peers, {});
  clocks.see(2, peers, {});
  clocks.end_look();
  ck_assert(clocks.knows(1) && clocks.size() == 2);
  clocks.see(2, peers, {});
  clocks.end_look();
  ck_assert(!clocks.knows(1) && clocks.knows(2) && clocks.size() == 1);
}
END_TEST

START_TEST(live_peers_are_in_the_order_of_the_queue) {
  auto diag = SockDiag::open();
  ck_assert(diag);
  const LiveListener listener;
  auto none = diag->unix_peers(listener.inode(), listener.cookie());
  if (!none && none.error().code == ENOENT)
    return; // the kernel has no unix_diag
  ck_assert(none && none->empty());

  std::vector<UniqueFd> clients;
  Peers expected;
  for (int i = 0; i < 4; ++i) {
    clients.push_back(listener.connect());
    expected.push_back(inode_of(clients.back()));
  }
  ck_assert(*diag->unix_peers(listener.inode(), listener.cookie()) == expected);
  clients[1] = UniqueFd();
  expected[1] = 0;
  ck_assert(*diag->unix_peers(listener.inode(), listener.cookie()) == expected);
  const UniqueFd accepted = listener.accept();
  expected.erase(expected.begin());
  ck_assert(*diag->unix_peers(listener.inode(), listener.cookie()) == expected);

  const auto other = diag->unix_peers(listener.inode(), listener.cookie() + 1);
  ck_assert(!other && other.error().code == ESTALE);
  // The socket can be used on.
  ck_assert(*diag->unix_peers(listener.inode(), listener.cookie()) == expected);
}
END_TEST

START_TEST(live_queue_that_is_longer_than_one_answer) {
  constexpr std::size_t many = 2500;
  rlimit files{};
  ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &files), 0);
  files.rlim_cur = files.rlim_max;
  ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &files), 0);
  auto diag = SockDiag::open();
  ck_assert(diag);
  const LiveListener listener;
  const auto none = diag->unix_peers(listener.inode(), listener.cookie());
  if (!none && none.error().code == ENOENT)
    return; // the kernel has no unix_diag
  std::vector<UniqueFd> clients;
  while (clients.size() < many) {
    clients.push_back(listener.connect());
    if (!clients.back())
      return; // somaxconn, or too few descriptors
  }
  const auto peers = diag->unix_peers(listener.inode(), listener.cookie());
  ck_assert_msg(static_cast<bool>(peers), "%s", peers ? "" : peers.error().message().c_str());
  ck_assert_uint_eq(peers->size(), many);
  ck_assert_uint_eq(peers->back(), inode_of(clients.back()));
}
END_TEST

int main() {
  return run_tests("unix_wait_clocks", who_stays_in_place_was_not_accepted,
                   accepts_are_known_from_the_second_look_on, time_without_a_look_proves_nothing,
                   queues_that_are_not_seen_are_forgotten, live_peers_are_in_the_order_of_the_queue,
                   live_queue_that_is_longer_than_one_answer);
}
