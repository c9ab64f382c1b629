#include "test_program.h"
#include "waiting_clients.h"

#include <arpa/inet.h>
#include <string>
#include <vector>

using namespace backlog;

namespace {

using Place = WaitingClient::Place;

TcpAddress address(const std::string &text) {
  TcpAddress result;
  result.ipv6 = text.find(':') != std::string::npos;
  ck_assert_int_eq(inet_pton(result.ipv6 ? AF_INET6 : AF_INET, text.c_str(), result.bytes.data()),
                   1);
  return result;
}

struct Group {
  std::uint64_t count = 0;
  const char *address = ""; ///< "" for a Unix client
  Place place = Place::elsewhere;
  std::uint32_t inode = 0;
};

struct Case {
  const char *what = nullptr;
  std::vector<Group> groups;
  ClientReport report{};
  const char *text = "";
  const char *remark = "";
  std::uint64_t unseen = 0;    ///< visible, and not looked at
  std::uint64_t invisible = 0; ///< have reset
};

// nginx's and php's are clients, the others' sockets have inodes that no process has.
constexpr std::uint32_t of_nginx = 70;
constexpr std::uint32_t of_php = 71;
constexpr std::uint32_t of_itself = 72;
constexpr std::uint32_t of_worker = 73; // and 74
constexpr std::uint32_t of_nobody = 99;
constexpr std::uint64_t listener = 5; // cookie
constexpr std::uint64_t other_listener = 6;

ClientProcesses processes() {
  return {{of_nginx, {"nginx.service", "", {other_listener}}},
          {of_php, {"a, b[12]", "", {}}},
          {of_itself, {"app[3]", "app[2]", {listener, other_listener}}},
          {of_worker, {"web[8]", "web[4]", {other_listener}}},
          {of_worker + 1, {"web[9]", "web[4]", {other_listener}}}};
}

WaitingClients counted(const Case &c) {
  ClientQueue queue;
  queue.sockets = {{.cookie = listener, .inode = 1, .owner = {}}};
  for (const Group &group : c.groups)
    for (std::uint64_t i = 0; i < group.count; ++i) {
      WaitingClient client;
      if (*group.address != '\0')
        client.address = address(group.address);
      client.place = group.place;
      client.inode = group.inode;
      queue.clients.push_back(client);
    }
  queue.visible = queue.clients.size() + c.unseen;
  queue.invisible = c.invisible;
  return count_clients(queue, processes(), c.report);
}

constexpr auto off_host = Place::elsewhere;
constexpr auto owners = ClientReport::owners;
constexpr auto addresses = ClientReport::addresses;

} // namespace

START_TEST(who_is_listed) {
  const std::vector<Group> mixed{{9, "127.0.0.1", Place::here, of_nginx},
                                 {31, "10.0.0.7", off_host}};
  for (const Case &c : std::vector<Case>{
           {.what = "nobody", .groups = {}, .report = addresses},
           {.what = "other hosts, by owner", .groups = {{40, "10.0.0.7"}}, .report = owners},
           {.what = "other hosts, by address",
           .groups = {{2, "10.0.0.9"}, {31, "10.0.0.7"}, {4, "10.0.0.8"}, {3, "2001:db8::1"}},
           .report = addresses,
           .text = "31 of 40 from 10.0.0.7, 4 from 10.0.0.8, 3 from 2001:db8::1",
           .remark = "31 of 40 waiting from 10.0.0.7"},
           {.what = "one other host",
           .groups = {{3, "10.0.0.7"}},
           .report = addresses,
           .text = "3 of 3 from 10.0.0.7",
           .remark = "all from 10.0.0.7"},
           {.what = "IPv4 clients of a dual-stack listener are those of IPv4",
           .groups = {{2, "::ffff:10.0.0.7"}, {1, "10.0.0.7"}},
           .report = addresses,
           .text = "3 of 3 from 10.0.0.7",
           .remark = "all from 10.0.0.7"},
           {.what = "this host and another, by owner",
           .groups = mixed,
           .report = owners,
           .text = "9 of 40 from nginx.service",
           .remark = ""},
           {.what = "this host and another, by address",
           .groups = mixed,
           .report = addresses,
           .text = "31 of 40 from 10.0.0.7, 9 from 127.0.0.1 (nginx.service)",
           .remark = "31 of 40 waiting from 10.0.0.7"},
           {.what = "two owners at one address",
           .groups = {{9, "127.0.0.1", Place::here, of_nginx},
                      {8, "127.0.0.1", Place::here, of_php}},
           .report = addresses,
           .text = "9 of 17 from 127.0.0.1 (nginx.service), 8 from 127.0.0.1 (a\\x2c b[12])",
           .remark = "9 of 17 waiting from 127.0.0.1 (nginx.service)"},
           {.what = "Unix",
           .groups = {{17, "", Place::here, of_nginx}},
           .report = addresses,
           .text = "17 of 17 from nginx.service",
           .remark = "all from nginx.service"},
           {.what = "Unix, and some have ended",
           .groups = {{5, "", Place::here, of_nginx}, {12, "", Place::ended}},
           .report = owners,
           .text = "12 of 17 from ended clients, 5 from nginx.service",
           .remark = "12 of 17 waiting have ended"},
           {.what = "all have ended",
           .groups = {{17, "", Place::ended}},
           .report = owners,
           .text = "17 of 17 from ended clients",
           .remark = "all clients have ended"},
           {.what = "a process that was not found",
           .groups = {{17, "", Place::here, of_nobody}},
           .report = owners},
           {.what = "its own process is no news",
           .groups = {{3, "127.0.0.1", Place::here, of_itself}},
           .report = owners,
           .text = "3 of 3 from app[3]",
           .remark = ""},
           {.what = "workers",
           .groups = {{2, "", Place::here, of_worker}, {1, "", Place::here, of_worker + 1}},
           .report = owners,
           .text = "3 of 3 from web[4]",
           .remark = "all from web[4]"},
           {.what = "some have reset",
           .groups = {{31, "10.0.0.7"}},
           .report = addresses,
           .text = "31 of 31 from 10.0.0.7",
           .remark = "31 of 31 visible from 10.0.0.7",
           .invisible = 9},
           {.what = "too many to look at all",
           .groups = {{31, "10.0.0.7"}, {9, "10.0.0.8"}},
           .report = addresses,
           .text = "31 of 40 from 10.0.0.7, 9 from 10.0.0.8",
           .remark = "31 of 40 looked at from 10.0.0.7",
           .unseen = 60000,
           .invisible = 3},
           {.what = "none stands out",
           .groups = {{1, "10.0.0.1"},
                      {1, "10.0.0.2"},
                      {1, "10.0.0.3"},
                      {1, "10.0.0.4"},
                      {1, "10.0.0.5"}},
           .report = addresses,
           .text = "1 of 5 from 10.0.0.1, 1 from 10.0.0.2, 1 from 10.0.0.3",
           .remark = ""},
           {.what = "a quarter stands out",
           .groups = {{2, "10.0.0.1"}, {1, "10.0.0.2"}, {1, "10.0.0.3"}, {1, "10.0.0.4"}, {3, ""}},
           .report = addresses,
           .text = "2 of 8 from 10.0.0.1, 1 from 10.0.0.2, 1 from 10.0.0.3",
           .remark = "2 of 8 waiting from 10.0.0.1"},
       }) {
    const WaitingClients clients = counted(c);
    assert_text(std::string(c.what) + ": " + clients_text(clients, 127),
                std::string(c.what) + ": " + c.text);
    assert_text(std::string(c.what) + ": " + clients_remark(clients),
                std::string(c.what) + ": " + c.remark);
  }
}
END_TEST

START_TEST(clients_that_do_not_fit_are_left_out) {
  const WaitingClients clients =
      counted({.what = "", .groups = {{31, "10.0.0.7"}, {4, "10.0.0.8"}}, .report = addresses});
  assert_text(clients_text(clients, 39), "31 of 35 from 10.0.0.7, 4 from 10.0.0.8");
  assert_text(clients_text(clients, 38), "31 of 35 from 10.0.0.7");
  assert_text(clients_text(clients, 8), "31 of 35");
}
END_TEST

START_TEST(who_waits_for_whom) {
  const WaitingClients clients = counted({.what = "",
                                          .groups = {{9, "127.0.0.1", Place::here, of_nginx},
                                                     {8, "127.0.0.1", Place::here, of_php},
                                                     {7, "127.0.0.1", Place::here, of_itself},
                                                     {6, "10.0.0.1"}},
                                          .report = owners});
  ck_assert(clients.of_listeners == (std::map<std::uint64_t, std::uint64_t>{{other_listener, 9}}));
  ck_assert_uint_eq(clients.counted, 30);
}
END_TEST

START_TEST(whom_a_process_serves) {
  const Owner master{.process = "nginx: master", .pid = 10, .unit = "nginx.service"};
  const Owner worker{.process = "nginx: worker", .pid = 11, .unit = "nginx.service"};
  const Owner helper{.process = "curl", .pid = 12, .unit = "nginx.service"};
  const Owner without_unit{.process = "nginx", .pid = 13, .unit = ""};
  const Owner master_without_unit{.process = "nginx", .pid = 9, .unit = ""};
  const Owner manager{.process = "nginx", .pid = 1, .unit = "nginx.service", .is_manager = true};
  const struct {
    const char *what;
    Owner client;
    std::vector<std::uint32_t> open;
    Owner owner;
    bool serves;
    const char *worker_of = "";
  } cases[] = {
      {"has the socket open", without_unit, {3, 2}, master, true},
      {"a worker without a unit", without_unit, {2}, master_without_unit, true, "nginx[9]"},
      {"another program has it, too",
       {.process = "curl", .pid = 14, .unit = ""},
       {2},
       master_without_unit,
       true},
      {"has another one open", without_unit, {3}, master, false},
      {"same unit and program", worker, {}, master, true},
      {"same unit, another program", helper, {}, master, false},
      {"same program without a unit", without_unit, {}, without_unit, false},
      {"the socket is a manager's", worker, {}, manager, false},
      {"nobody is known to have it", worker, {}, {}, false},
  };
  for (const auto &c : cases) {
    const ListeningSocket socket{.cookie = 8, .inode = 2, .owner = c.owner};
    const ClientProcess process =
        client_process({.owner = c.client, .held = {}, .noted = c.open}, std::span(&socket, 1));
    ck_assert_msg(process.listeners.size() == (c.serves ? 1 : 0), "%s", c.what);
    assert_text(process.name, c.client.text());
    assert_text(process.worker_of, c.worker_of);
  }
}
END_TEST

int main() {
  return run_tests("waiting_clients", who_is_listed, clients_that_do_not_fit_are_left_out,
                   who_waits_for_whom, whom_a_process_serves);
}
