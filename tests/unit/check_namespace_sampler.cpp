#include "folder.h"
#include "listener_name.h"
#include "namespace_sampler.h"
#include "short_memory.h"
#include "test_program.h"
#include "unique_fd.h"
#include "watch.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <string>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <vector>

using namespace backlog;
using namespace std::chrono_literals;

namespace {

/// A net namespace in which only the test listens.
bool enter_own_namespace() {
  return unshare(CLONE_NEWNET) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0;
}

UniqueFd tcp_listener(std::uint16_t port) {
  UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  ck_assert_int_eq(bind(fd.get(), reinterpret_cast<sockaddr *>(&address), sizeof address), 0);
  ck_assert_int_eq(listen(fd.get(), 5), 0);
  return fd;
}

bool bring_up_loopback() {
  const UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP;
  return ioctl(fd.get(), SIOCSIFFLAGS, &request) == 0;
}

/// Their SYNs have been answered, or dropped, when this returns.
std::vector<UniqueFd> tcp_clients(std::uint16_t port, int count) {
  std::vector<UniqueFd> clients;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  for (int i = 0; i < count; ++i) {
    clients.emplace_back(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    (void)connect(clients.back().get(), reinterpret_cast<sockaddr *>(&address), sizeof address);
  }
  return clients;
}

sockaddr_un unix_address(const std::string &path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  ck_assert_uint_lt(path.size(), sizeof address.sun_path);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

UniqueFd unix_listener(const std::string &path, int limit) {
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_un address = unix_address(path);
  ck_assert_int_eq(bind(fd.get(), reinterpret_cast<const sockaddr *>(&address), sizeof address), 0);
  ck_assert_int_eq(listen(fd.get(), limit), 0);
  return fd;
}

std::vector<UniqueFd> unix_clients(const std::string &path, int count) {
  std::vector<UniqueFd> clients;
  const sockaddr_un address = unix_address(path);
  for (int i = 0; i < count; ++i) {
    clients.emplace_back(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ck_assert_int_eq(
        connect(clients.back().get(), reinterpret_cast<const sockaddr *>(&address), sizeof address),
        0);
  }
  return clients;
}

/// The sampler of a namespace, and its last harvest.
struct Sampled {
  explicit Sampled(const std::string &label,
                   const std::shared_ptr<const Config> &config = std::make_shared<const Config>())
      : sampler(config, NamespaceLabel{label, false}) {}

  void sample(int times) {
    for (int i = 0; i < times; ++i) {
      sampler.sample_tcp(1h);
      sampler.sample_unix(1h);
    }
  }
  bool can_read() {
    sample(1);
    return !sampler.tcp_failed() && !sampler.unix_failed();
  }
  void take_harvest() { harvest = sampler.harvest(1h, 1h, nullptr, faults); }
  /// As the surveyor does it.
  void find_unix_listeners() {
    auto sock_diag = SockDiag::open();
    std::vector<UnixFile> files;
    if (!sock_diag || sock_diag->dump_unix_listeners([&](const UnixListener &listener) {
          files.push_back({.cookie = listener.cookie,
                           .path = std::string(listener.address),
                           .inode = listener.file_inode,
                           .device = listener.file_device});
        }))
      return;
    paths.update(files, [](std::uint64_t) { return UnixFileOwner{getpid(), ""}; });
    if (auto places = paths.take_changed())
      sampler.follow(places, 1);
  }
  const ListenerInterval &unix_interval() const {
    ck_assert_uint_eq(harvest.unix_sockets->listeners.size(), 1);
    return harvest.unix_sockets->listeners.front().interval;
  }

  NamespaceSampler sampler;
  UnixPaths paths{{}};
  NamespaceHarvest harvest;
  std::vector<Fault> faults;
};

/// Nobody can read net.ipv4 from here on, in a mount namespace of the test's own.
bool hide_ipv4_sysctls() {
  return unshare(CLONE_NEWNS) == 0 &&
         mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         mount("none", "/proc/sys/net/ipv4", "tmpfs", 0, nullptr) == 0;
}

void set_port_range(const char *range) {
  std::ofstream("/proc/sys/net/ipv4/ip_local_port_range") << range;
}

} // namespace

START_TEST(steady_samples_do_not_allocate) {
  if (!enter_own_namespace())
    return;
  const Folder folder;
  const std::string path = folder.path() + "/socket";
  std::vector<UniqueFd> sockets;
  for (std::uint16_t port = 1000; port < 1100; ++port)
    sockets.push_back(tcp_listener(port));
  for (int i = 0; i < 2; ++i) {
    sockets.push_back(unix_listener(path, 5)); // of which one replaces the other
    unlink(path.c_str());
  }
  sockets.push_back(unix_listener(path, 5));
  for (const char *label : {"", "blue"}) {
    Sampled sampled(label);
    if (!sampled.can_read())
      return;
    sampled.find_unix_listeners();
    sampled.sample(3);
    const std::size_t before = allocation_count;
    sampled.sample(10);
    ck_assert_uint_eq(allocation_count - before, 0);
    sampled.take_harvest();
    ck_assert_uint_eq(sampled.harvest.tcp.listeners.size(), 100);
    ck_assert_uint_eq(sampled.unix_interval().members, 3);
  }
}
END_TEST

START_TEST(a_replaced_unix_socket_is_a_socket_more) {
  if (!enter_own_namespace())
    return;
  const Folder folder;
  const std::string path = folder.path() + "/socket";
  Sampled sampled("");
  const UniqueFd old = unix_listener(path, 3);
  if (!sampled.can_read())
    return;
  const std::vector<UniqueFd> of_old = unix_clients(path, 4);
  sampled.take_harvest();
  ck_assert_uint_eq(sampled.harvest.unix_sockets->listeners.size(), 0); // nobody knows where it is
  ck_assert_uint_eq(sampled.sampler.take_unplaced().size(), 1);
  sampled.find_unix_listeners();
  sampled.take_harvest();
  ck_assert_uint_eq(sampled.unix_interval().queue.last, 4);

  // In the very interval in which the second one came, whether a sample or the surveyor sees it
  // first, and in the next.
  unlink(path.c_str());
  UniqueFd replacement = unix_listener(path, 9);
  std::vector<UniqueFd> of_new = unix_clients(path, 10);
  sampled.sample(1);
  sampled.find_unix_listeners();
  for (int i = 0; i < 2; ++i) {
    sampled.take_harvest();
    const ListenerInterval &interval = sampled.unix_interval();
    ck_assert_uint_eq(interval.members, 2);
    ck_assert_uint_eq(interval.counted, 1);
    ck_assert_uint_eq(interval.limit, 9);
    ck_assert_uint_eq(interval.lowest_limit, 9);
    ck_assert_uint_eq(interval.queue.last, 10);
    ck_assert_uint_eq(interval.queue.peak, 10);
    ck_assert_double_eq_tol(interval.median_member_percent, 100, 1e-4);
    ck_assert_double_eq_tol(interval.queue.used_percent, 100, 1e-4);
  }

  // It goes, and its file with it: what is left counts again, in the same interval.
  of_new.clear();
  replacement = UniqueFd();
  unlink(path.c_str());
  sampled.find_unix_listeners();
  sampled.take_harvest();
  ck_assert_uint_eq(sampled.unix_interval().members, 1);
  ck_assert_uint_eq(sampled.unix_interval().counted, 1);
  ck_assert_uint_eq(sampled.unix_interval().limit, 3);
  ck_assert_uint_eq(sampled.unix_interval().queue.last, 4);
}
END_TEST

START_TEST(a_renamed_file_is_another_listener) {
  if (!enter_own_namespace())
    return;
  const Folder folder;
  const std::string path = folder.path() + "/socket";
  const std::string aside = folder.path() + "/aside";
  Sampled sampled("");
  const UniqueFd first = unix_listener(path, 3);
  if (!sampled.can_read())
    return;
  sampled.find_unix_listeners();
  const std::vector<UniqueFd> clients = unix_clients(path, 2);
  sampled.take_harvest();
  const auto figures = [&sampled](const std::string &at) {
    const std::string name = name_unix_listener(at, "").text;
    std::string text;
    for (const ListenerHarvest &listener : sampled.harvest.unix_sockets->listeners)
      if (listener.interval.identity.name == name)
        text += std::to_string(listener.interval.members) + " of limit " +
                std::to_string(listener.interval.limit) + " with " +
                std::to_string(listener.interval.queue.last);
    return text;
  };
  assert_text(figures(path), "1 of limit 3 with 2");

  // Another one takes its place in the very sample in which it moves.
  ck_assert_int_eq(rename(path.c_str(), aside.c_str()), 0);
  const UniqueFd second = unix_listener(path, 9);
  sampled.find_unix_listeners();
  for (int i = 0; i < 3; ++i) {
    sampled.sample(2);
    sampled.take_harvest();
    assert_text(figures(path), "1 of limit 9 with 0");
    assert_text(figures(aside), "1 of limit 3 with 2");
  }
}
END_TEST

START_TEST(who_came_and_went_between_harvests_is_forgotten) {
  if (!enter_own_namespace())
    return;
  const Folder folder;
  const UniqueFd stable = tcp_listener(80);
  Sampled sampled("");
  if (!sampled.can_read())
    return;
  sampled.take_harvest();
  for (std::uint16_t port = 1000; port < 1100; ++port) {
    const UniqueFd tcp = tcp_listener(port);
    const std::string path = folder.path() + "/" + std::to_string(port);
    const UniqueFd unix_socket = unix_listener(path, 5);
    sampled.sample(1);
  }
  sampled.sample(2);
  sampled.take_harvest();
  ck_assert_uint_eq(sampled.harvest.tcp.listeners.size(), 1);
  ck_assert_uint_eq(sampled.harvest.unix_sockets->listeners.size(), 0);
}
END_TEST

START_TEST(a_namespace_that_ended_tells_what_was_seen) {
  if (!enter_own_namespace())
    return;
  Sampled sampled("blue");
  const UniqueFd overflowing = tcp_listener(80);
  const UniqueFd idle = tcp_listener(81);
  if (!bring_up_loopback() || !sampled.can_read())
    return;
  sampled.take_harvest();
  const std::vector<UniqueFd> clients = tcp_clients(80, 9); // of which the queue holds 6
  sampled.sample(3);
  const NamespaceHarvest ended = sampled.sampler.harvest_ended(nullptr);
  assert_text(ended.label.name, "blue");
  ck_assert(ended.tcp.read && ended.unix_sockets->read && !ended.counters);
  ck_assert(ended.counted_since == sampled.harvest.counted_since);
  ck_assert_uint_eq(ended.tcp.listeners.size(), 1);
  const ListenerHarvest &listener = ended.tcp.listeners.front();
  assert_text(listener.interval.identity.name, "tcp_any_80__netns_blue");
  ck_assert_uint_eq(listener.interval.members, 0);
  ck_assert_uint_eq(listener.interval.queue.peak, 6);
  ck_assert(ended.drops_known);
  ck_assert_uint_eq(ended.drops_counted, 3);
  ck_assert_uint_eq(listener.dropped.drops, 3);
  ck_assert_uint_eq(listener.dropped.overflows, 3);
}
END_TEST

START_TEST(an_address_is_watched_in_the_own_namespace_only) {
  if (!enter_own_namespace())
    return;
  const Folder folder;
  const std::string path = folder.path() + "/socket";
  const UniqueFd listener = unix_listener(path, 3);
  Config config;
  config.watches.push_back(make_watch({path, "web"}));
  const auto shared = std::make_shared<const Config>(std::move(config));
  for (const std::string label : {"", "blue"}) {
    Sampled sampled(label, shared);
    if (!sampled.can_read())
      return;
    sampled.find_unix_listeners();
    sampled.take_harvest();
    const ListenerIdentity &identity = sampled.unix_interval().identity;
    assert_text(identity.name, name_unix_listener(path, label).text);
    assert_text(watch_facts(*shared, identity.view(label.empty())).name.value_or("none"),
                label.empty() ? "web" : "none");
  }
}
END_TEST

/// A TCP listener on port 40000 of the own namespace.
struct SampledPort {
  bool is_unstable() {
    sampled.take_harvest();
    return sampled.harvest.tcp.listeners.at(0).interval.unstable;
  }

  UniqueFd listener = tcp_listener(40000);
  Sampled sampled{""};
};

START_TEST(a_reserved_port_is_stable) {
  if (!enter_own_namespace())
    return;
  set_port_range("30000 60000");
  SampledPort port;
  if (!port.sampled.can_read())
    return;
  ck_assert(port.is_unstable());
  std::ofstream("/proc/sys/net/ipv4/ip_local_reserved_ports") << "40000-40010";
  (void)port.is_unstable();
  ck_assert(!port.is_unstable());
}
END_TEST

START_TEST(a_port_range_that_cannot_be_read_stays_as_it_was) {
  if (!enter_own_namespace())
    return;
  set_port_range("50000 60000");
  SampledPort port;
  if (!port.sampled.can_read())
    return;
  ck_assert(!port.is_unstable());
  set_port_range("30000 60000");
  (void)port.is_unstable();
  ck_assert(port.is_unstable());
  if (!hide_ipv4_sysctls())
    return;
  (void)port.is_unstable();
  ck_assert(port.is_unstable());
}
END_TEST

int main() {
  return run_tests(
      "namespace_sampler", steady_samples_do_not_allocate, a_replaced_unix_socket_is_a_socket_more,
      a_renamed_file_is_another_listener, who_came_and_went_between_harvests_is_forgotten,
      a_namespace_that_ended_tells_what_was_seen, an_address_is_watched_in_the_own_namespace_only,
      a_reserved_port_is_stable, a_port_range_that_cannot_be_read_stays_as_it_was);
}
