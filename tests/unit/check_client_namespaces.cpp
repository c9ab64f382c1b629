#include "client_namespaces.h"
#include "test_program.h"

#include <arpa/inet.h>
#include <array>
#include <map>
#include <string>
#include <vector>

using namespace backlog;

namespace {

// By number; 0 is collectd's own.
NetNamespaceId net_namespace(ino_t number) {
  return number == 0 ? NetNamespaceId{} : NetNamespaceId{1, number};
}

/// "10.0.0.7/4000": address and port.
TcpAddress end(const std::string &text) {
  const std::size_t slash = text.find('/');
  const std::string address = text.substr(0, slash);
  TcpAddress result;
  result.ipv6 = address.find(':') != std::string::npos;
  result.port = static_cast<std::uint16_t>(std::stoi(text.substr(slash + 1)));
  ck_assert_int_eq(
      inet_pton(result.ipv6 ? AF_INET6 : AF_INET, address.c_str(), result.bytes.data()), 1);
  return result;
}

std::string shown(const TcpAddress &address) {
  const TcpAddress plain = address.unmapped();
  ck_assert_uint_eq(address.device, 0);
  std::array<char, INET6_ADDRSTRLEN> text{};
  inet_ntop(plain.ipv6 ? AF_INET6 : AF_INET, plain.bytes.data(), text.data(), text.size());
  return std::string(text.data()) + "/" + std::to_string(plain.port);
}

/// A socket, its local end first.
struct Socket {
  ino_t in = 0;
  const char *local = "";
  const char *remote = "";
  std::uint32_t inode = 0;
};

/// The sockets of a host, and what is asked about them.
class Host {
public:
  explicit Host(const std::vector<ino_t> &namespaces) {
    for (const ino_t number : namespaces)
      namespaces_.push_back(net_namespace(number));
  }
  Host(const std::vector<ino_t> &namespaces, const std::vector<Socket> &sockets)
      : Host(namespaces) {
    for (const Socket &socket : sockets)
      add(socket.in, socket.local, socket.remote, socket.inode);
  }

  void add(ino_t in, const std::string &local, const std::string &remote, std::uint32_t inode) {
    sockets_[net_namespace(in)][local + " " + remote] = inode;
    give(in, local);
  }
  /// An address and a port, which says nothing.
  void give(ino_t in, const std::string &address) {
    addresses_[net_namespace(in)].push_back(end(address));
  }
  void take_away(ino_t in) { sockets_.erase(net_namespace(in)); }
  void refuse(ino_t in) { refused_ = net_namespace(in); }
  std::size_t asked(ino_t in) const {
    const auto found = asked_.find(net_namespace(in));
    return found == asked_.end() ? 0 : found->second;
  }
  std::size_t listed() const { return listed_; }
  std::size_t asked() const {
    std::size_t sum = 0;
    for (const auto &[id, count] : asked_)
      sum += count;
    return sum;
  }

  /// Returns the inodes, "-" for what is not found.
  std::string find(ClientNamespaces &search,
                   const std::vector<ClientNamespaces::Connection> &connections) {
    asked_.clear();
    listed_ = 0;
    const auto list = [this](NetNamespaceId id, FunctionRef<void(const TcpAddress &)> pass) {
      ++listed_;
      for (const TcpAddress &address : addresses_[id])
        pass(address.unmapped());
    };
    const auto ask = [this](NetNamespaceId id,
                            std::span<const ClientNamespaces::Question> questions) {
      asked_[id] += questions.size();
      std::vector<ClientNamespaces::Answer> answers;
      for (const auto &question : questions) {
        // All clients are called from 4000 on.
        ck_assert_int_eq(question.what == TcpEnd::waiting_client, question.local.port >= 4000);
        const auto found = sockets_[id].find(shown(question.local) + " " + shown(question.remote));
        answers.push_back(found == sockets_[id].end() ? ClientNamespaces::Answer()
                                                      : ClientNamespaces::Answer(found->second));
      }
      if (refused_ == id)
        answers.pop_back(); // a part of it is not enough
      return answers;
    };
    std::string text;
    for (const auto &answer : search.find(connections, namespaces_, list, ask))
      text += (text.empty() ? "" : " ") + (answer ? std::to_string(*answer) : "-");
    return text;
  }

private:
  std::vector<NetNamespaceId> namespaces_;
  std::map<NetNamespaceId, std::map<std::string, std::uint32_t>> sockets_;
  std::map<NetNamespaceId, std::vector<TcpAddress>> addresses_;
  std::size_t listed_ = 0; ///< namespaces whose addresses were read
  std::optional<NetNamespaceId> refused_;
  std::map<NetNamespaceId, std::size_t> asked_;
};

ClientNamespaces::Connection connection(ino_t listener_in, const std::string &local,
                                        const std::string &remote) {
  ConnectionEnds ends{.local = end(local), .remote = end(remote)};
  ends.local.device = 3; // the listener's
  return {net_namespace(listener_in), ends};
}

constexpr const char *server = "10.0.0.1/80";

/// Connections from one address at ports from 4000 on.
std::vector<ClientNamespaces::Connection> connections_from(const std::string &address,
                                                           unsigned count) {
  std::vector<ClientNamespaces::Connection> result;
  for (unsigned i = 0; i < count; ++i)
    result.push_back(connection(0, server, address + "/" + std::to_string(4000 + i)));
  return result;
}

void add_clients(Host &host, ino_t in, const std::string &address, unsigned first, unsigned count) {
  for (unsigned i = first; i < first + count; ++i)
    host.add(in, address + "/" + std::to_string(4000 + i), server, 100 + i);
}

std::string repeated(const std::string &word, unsigned count) {
  std::string text;
  for (unsigned i = 0; i < count; ++i)
    text += (i == 0 ? "" : " ") + word;
  return text;
}

} // namespace

START_TEST(one_search) {
  struct Ends {
    const char *local;
    const char *remote;
  };
  const struct {
    const char *what;
    ino_t listener_in;
    std::vector<Ends> connections; ///< the listener's end first
    std::vector<Socket> sockets;
    const char *found;
  } cases[] = {
      {"in one", 0, {{server, "10.0.0.7/4000"}}, {{1, "10.0.0.7/4000", server, 5}}, "5"},
      {"in none", 0, {{server, "10.0.0.7/4000"}}, {}, "-"},
      {"closed", 0, {{server, "10.0.0.7/4000"}}, {{1, "10.0.0.7/4000", server, 0}}, "0"},
      {"another port of the client",
       0,
       {{server, "10.0.0.7/4000"}},
       {{1, "10.0.0.7/4001", server, 5}},
       "-"},
      {"another port of the server",
       0,
       {{server, "10.0.0.7/4000"}},
       {{1, "10.0.0.7/4000", "10.0.0.1/81", 5}},
       "-"},
      {"in two",
       0,
       {{server, "10.0.0.7/4000"}},
       {{1, "10.0.0.7/4000", server, 5}, {2, "10.0.0.7/4000", server, 6}},
       "-"},
      {"in two, closed in one",
       0,
       {{server, "10.0.0.7/4000"}},
       {{1, "10.0.0.7/4000", server, 5}, {2, "10.0.0.7/4000", server, 0}},
       "-"},
      {"its other end is in a third",
       0,
       {{server, "10.0.0.7/4000"}},
       {{1, "10.0.0.7/4000", server, 5}, {2, server, "10.0.0.7/4000", 6}},
       "-"},
      {"its other end is in the same",
       0,
       {{server, "10.0.0.7/4000"}},
       {{1, "10.0.0.7/4000", server, 5}, {1, server, "10.0.0.7/4000", 6}},
       "-"},
      {"from two, each elsewhere",
       0,
       {{server, "10.0.0.7/4000"}, {server, "10.0.0.8/4000"}},
       {{2, "10.0.0.8/4000", server, 6}, {1, "10.0.0.7/4000", server, 5}},
       "5 6"},
      {"one address in two",
       0,
       {{server, "10.0.0.7/4000"}, {server, "10.0.0.7/4001"}},
       {{1, "10.0.0.7/4000", server, 5}, {2, "10.0.0.7/4001", server, 6}},
       "- -"},
      {"a minority",
       0,
       {{server, "10.0.0.7/4000"}, {server, "10.0.0.7/4001"}},
       {{1, "10.0.0.7/4000", server, 5}},
       "- -"},
      {"a majority",
       0,
       {{server, "10.0.0.7/4000"}, {server, "10.0.0.7/4001"}, {server, "10.0.0.7/4002"}},
       {{1, "10.0.0.7/4000", server, 5}, {1, "10.0.0.7/4002", server, 6}},
       "5 - 6"},
      {"in collectd's own",
       1,
       {{server, "10.0.0.7/4000"}},
       {{0, "10.0.0.7/4000", server, 5}, {1, server, "10.0.0.7/4000", 6}},
       "5"},
      {"in the listener's own, which was asked before",
       1,
       {{server, "10.0.0.7/4000"}},
       {{1, "10.0.0.7/4000", server, 5}},
       "-"},
      {"IPv6", 0, {{"fd00::1/80", "fd00::7/4000"}}, {{1, "fd00::7/4000", "fd00::1/80", 5}}, "5"},
      {"IPv4 at a listener of both",
       0,
       {{"::ffff:10.0.0.1/80", "::ffff:10.0.0.7/4000"}},
       {{1, "10.0.0.7/4000", server, 5}},
       "5"},
      {"loopback",
       0,
       {{"127.0.0.1/80", "127.0.0.1/4000"}, {"127.0.0.1/80", "127.1.2.3/4000"}},
       {{1, "127.0.0.1/4000", "127.0.0.1/80", 5}, {1, "127.1.2.3/4000", "127.0.0.1/80", 6}},
       "- -"},
      {"loopback at one end",
       0,
       {{"127.0.0.1/80", "10.0.0.7/4000"}, {server, "127.0.0.1/4000"}},
       {{1, "10.0.0.7/4000", "127.0.0.1/80", 5}, {1, "127.0.0.1/4000", server, 6}},
       "- -"},
      {"loopback of IPv6",
       0,
       {{"::1/80", "::1/4000"}, {"::ffff:127.0.0.1/80", "::ffff:127.0.0.1/4001"}},
       {{1, "::1/4000", "::1/80", 5}, {1, "127.0.0.1/4001", "127.0.0.1/80", 6}},
       "- -"},
      {"link-local",
       0,
       {{"fe80::1/80", "fe80::7/4000"}, {"169.254.0.1/80", "169.254.0.7/4000"}},
       {{1, "fe80::7/4000", "fe80::1/80", 5}, {1, "169.254.0.7/4000", "169.254.0.1/80", 6}},
       "- -"},
      {"not link-local",
       0,
       {{server, "10.254.0.7/4000"}, {server, "169.1.0.7/4000"}},
       {{1, "10.254.0.7/4000", server, 5}, {1, "169.1.0.7/4000", server, 6}},
       "5 6"},
      {"the listener's namespace has the address, too",
       0,
       {{server, "10.0.0.7/4000"}},
       {{1, "10.0.0.7/4000", server, 5}, {0, "10.0.0.7/9", "10.0.0.9/80", 6}},
       "-"},
      {"from its own address",
       0,
       {{server, "10.0.0.1/4000"}},
       {{1, "10.0.0.1/4000", server, 5}},
       "-"},
      {"in a namespace that cannot be asked",
       0,
       {{server, "10.0.0.7/4000"}, {server, "10.0.0.8/4000"}},
       {{3, "10.0.0.7/4000", server, 5}, {1, "10.0.0.8/4000", server, 6}},
       "- 6"},
      {"in a namespace that is not to be looked into",
       0,
       {{server, "10.0.0.7/4000"}},
       {{4, "10.0.0.7/4000", server, 5}},
       "-"},
  };
  for (const auto &c : cases) {
    Host host({0, 1, 2, 3}, c.sockets);
    host.refuse(3);
    std::vector<ClientNamespaces::Connection> connections;
    for (const Ends &ends : c.connections)
      connections.push_back(connection(c.listener_in, ends.local, ends.remote));
    ClientNamespaces search;
    assert_text(std::string(c.what) + ": " + host.find(search, connections),
                std::string(c.what) + ": " + c.found);
  }
}
END_TEST

START_TEST(asks_only_what_it_needs) {
  ClientNamespaces search;
  Host host({0, 1, 2});
  host.give(0, server);
  host.find(search, {});
  ck_assert_uint_eq(host.listed(), 0);
  ck_assert_uint_eq(host.asked(), 0);
  host.find(search, {connection(0, "127.0.0.1/80", "127.0.0.1/4000")});
  ck_assert_uint_eq(host.listed(), 0);
  ck_assert_uint_eq(host.asked(), 0);
  // Another host's.
  assert_text(host.find(search, connections_from("10.9.9.9", 1000)), repeated("-", 1000));
  ck_assert_uint_eq(host.listed(), 3);
  ck_assert_uint_eq(host.asked(), 0);
  // The address is in two, the clients in none: three misses in each.
  host.give(1, "10.0.0.6/0");
  host.give(2, "10.0.0.6/0");
  assert_text(host.find(search, connections_from("10.0.0.6", 1000)), repeated("-", 1000));
  ck_assert_uint_eq(host.asked(1), 3);
  ck_assert_uint_eq(host.asked(2), 3);
  // The others at home only.
  add_clients(host, 1, "10.0.0.7", 0, 1000);
  host.give(2, server);
  const auto connections = connections_from("10.0.0.7", 1000);
  const std::string found = host.find(search, connections);
  ck_assert_uint_eq(found.find('-'), std::string::npos);
  ck_assert_uint_eq(host.asked(1), 1000);
  ck_assert_uint_eq(host.asked(2), 3); // for a twin of the listener
  assert_text(host.find(search, connections), found);
  ck_assert_uint_eq(host.listed(), 0);
  ck_assert_uint_eq(host.asked(1), 1000);
  ck_assert_uint_eq(host.asked(2), 0);
}
END_TEST

START_TEST(homes_change) {
  constexpr unsigned count = 5;
  const auto connections = connections_from("10.0.0.7", count);
  const std::string all = "100 101 102 103 104";
  const std::string none = repeated("-", count);
  const auto search_until = [&](Host &host, ClientNamespaces &search, const std::string &wanted) {
    unsigned searches = 1;
    while (host.find(search, connections) != wanted && searches < 100)
      ++searches;
    return searches;
  };
  { // One client has gone: the others are not forgotten.
    ClientNamespaces search;
    Host host({0, 1, 2});
    add_clients(host, 1, "10.0.0.7", 0, count);
    assert_text(host.find(search, connections), all);
    host.take_away(1);
    add_clients(host, 1, "10.0.0.7", 3, 2);
    for (int i = 0; i < 20; ++i)
      assert_text(host.find(search, connections), "- - - 103 104");
  }
  { // The address moves.
    ClientNamespaces search;
    Host host({0, 1, 2});
    add_clients(host, 1, "10.0.0.7", 0, count);
    assert_text(host.find(search, connections), all);
    host.take_away(1);
    assert_text(host.find(search, connections), none);
    add_clients(host, 2, "10.0.0.7", 0, count);
    assert_text(host.find(search, connections), all);
  }
  { // A twin appears.
    ClientNamespaces search;
    Host host({0, 1, 2});
    add_clients(host, 1, "10.0.0.7", 0, count);
    assert_text(host.find(search, connections), all);
    add_clients(host, 2, "10.0.0.7", 0, count);
    ck_assert_uint_le(search_until(host, search, none), 6);
    for (int i = 0; i < 20; ++i)
      assert_text(host.find(search, connections), none);
  }
  { // The namespace is not looked into any longer.
    ClientNamespaces search;
    Host before({0, 1, 2});
    add_clients(before, 1, "10.0.0.7", 0, count);
    assert_text(before.find(search, connections), all);
    Host after({0, 2});
    add_clients(after, 1, "10.0.0.7", 0, count);
    assert_text(after.find(search, connections), none);
    ck_assert_uint_eq(after.asked(1), 0);
  }
  { // It cannot be asked for a while.
    ClientNamespaces search;
    Host host({0, 1, 2});
    add_clients(host, 1, "10.0.0.7", 0, count);
    assert_text(host.find(search, connections), all);
    host.refuse(1);
    assert_text(host.find(search, connections), none);
    host.refuse(3);
    assert_text(host.find(search, connections), all);
  }
  { // Nobody comes from there for a while, and then one of two.
    const auto two = connections_from("10.0.0.7", 2);
    for (const int searches : {5, 6}) {
      ClientNamespaces search;
      Host host({0, 1, 2});
      add_clients(host, 1, "10.0.0.7", 0, 2);
      assert_text(host.find(search, two), "100 101");
      for (int i = 0; i < searches; ++i)
        (void)host.find(search, {});
      host.take_away(1);
      add_clients(host, 1, "10.0.0.7", 0, 1);
      assert_text(host.find(search, two), searches == 5 ? "100 -" : "- -");
    }
  }
  { // Of those looked at first all have gone: other ones come next.
    ClientNamespaces search;
    Host host({0, 1, 2});
    const auto many = connections_from("10.0.0.7", 9);
    add_clients(host, 1, "10.0.0.7", 6, 3);
    std::string found;
    for (int i = 0; i < 3; ++i)
      found = host.find(search, many);
    assert_text(found, "- - - - - - 106 107 108");
  }
}
END_TEST

START_TEST(takes_turns) {
  constexpr ino_t namespaces = 300;
  constexpr unsigned addresses = 40; // of which one search has time for 27
  const auto address = [](unsigned i) { return "10.0.1." + std::to_string(i); };
  std::vector<ino_t> all;
  for (ino_t number = 0; number <= namespaces; ++number)
    all.push_back(number);
  Host host(all);
  std::vector<ClientNamespaces::Connection> connections;
  for (unsigned i = 0; i < addresses; ++i) {
    for (ino_t number = 1; number <= namespaces; ++number)
      host.give(number, address(i) + "/0");
    for (const auto &each : connections_from(address(i), i + 1 == addresses ? 2 : 1))
      connections.push_back(each);
  }
  // Those of all the others have gone.
  for (unsigned i = addresses - 5; i < addresses; ++i)
    add_clients(host, 7, address(i), 0, 2);
  ClientNamespaces search;
  const std::string none = repeated("-", addresses - 5);
  // Most connections come from the last one.
  assert_text(host.find(search, connections), none + " - - - - 100 101");
  // Those that had no turn.
  assert_text(host.find(search, connections), none + " 100 100 100 100 100 101");
}
END_TEST

START_TEST(many_namespaces_and_connections) {
  constexpr ino_t namespaces = 300;
  std::vector<ino_t> all;
  for (ino_t number = 0; number <= namespaces; ++number)
    all.push_back(number);
  Host host(all);
  std::vector<ClientNamespaces::Connection> connections;
  std::string wanted;
  // Ten addresses in as many namespaces, and 16000 of other hosts.
  for (unsigned i = 0; i < 10; ++i) {
    const std::string address = "10.0.1." + std::to_string(i);
    add_clients(host, 100 + i, address, 0, 2);
    for (const auto &each : connections_from(address, 2))
      connections.push_back(each);
    wanted += "100 101 ";
  }
  for (unsigned i = 0; i < 16000; ++i) {
    const std::string address =
        "10.1." + std::to_string(i / 250) + "." + std::to_string(1 + i % 250);
    connections.push_back(connection(0, server, address + "/4000"));
  }
  wanted += repeated("-", 16000);
  ClientNamespaces search;
  assert_text(host.find(search, connections), wanted);
  ck_assert_uint_eq(host.asked(), 20);

  // Twenty addresses that all have: they take turns.
  connections.clear();
  wanted.clear();
  for (unsigned i = 0; i < 20; ++i) {
    const std::string address = "10.0.2." + std::to_string(i);
    for (ino_t number = 1; number <= namespaces; ++number)
      host.give(number, address + "/0");
    add_clients(host, 200 + i, address, 0, 3);
    for (const auto &each : connections_from(address, 3))
      connections.push_back(each);
    wanted += std::string(i == 0 ? "" : " ") + "100 101 102";
  }
  std::string found;
  int searches = 0;
  while (found != wanted && searches < 10) {
    ++searches;
    found = host.find(search, connections);
    ck_assert_uint_le(host.asked(), ClientNamespaces::most_questions + connections.size());
  }
  ck_assert_int_eq(searches, 3); // 900 questions for each
}
END_TEST

int main() {
  return run_tests("client_namespaces", one_search, asks_only_what_it_needs, homes_change,
                   takes_turns, many_namespaces_and_connections);
}
