#include "listener_entry.h"
#include "test_program.h"

#include <string>
#include <variant>
#include <vector>

using namespace backlog;

namespace {

/// The reason why it is refused; "": it is not.
std::string refusal_of(const std::string &text) {
  auto parsed = ListenerEntry::parse(text);
  const std::string *reason = std::get_if<std::string>(&parsed);
  return reason != nullptr ? *reason : "";
}

ListenerEntry entry_of(const std::string &text) {
  auto parsed = ListenerEntry::parse(text);
  ck_assert_msg(std::holds_alternative<ListenerEntry>(parsed), "%s", text.c_str());
  return std::get<ListenerEntry>(std::move(parsed));
}

} // namespace

START_TEST(entries_that_can_mean_a_listener) {
  for (const char *text : {"tcp_any_80",
                           "tcp_any_65535",
                           "tcp6_any_80",
                           "tcp_127-0-0-1_9000",
                           "tcp6_--1_443",
                           "tcp6_2001-db8--1_443",
                           "tcp6_fe80--1_eth0_8080",
                           "tcp_any_80__dev_eth0",
                           "tcp_any_80__netns_blue",
                           "tcp6_any_80__dev_eth0__netns_blue",
                           "tcp_any_80__dev_eth0_510c60c4",
                           "unix_run_php-fpm-sock",
                           "unix_abstract_dbus-xyz",
                           "unix_run_app-sock__in_app-service",
                           "unix_x__netns_blue",
                           "/^tcp_/",
                           "/./",
                           "/run/app.sock",
                           "/run/my app.sock",
                           "/x",
                           "@dbus",
                           "@with blank",
                           "127.0.0.1:8001",
                           "*:443",
                           "[::1]:9000",
                           "[::]:443",
                           "0.0.0.0:80",
                           "[fe80::1%eth0]:80",
                           "web",
                           "web_2"})
    assert_text(refusal_of(text), "");
}
END_TEST

START_TEST(entries_that_can_mean_none) {
  using namespace std::string_literals;
  struct Case {
    std::string text;
    const char *reason;
  };
  const Case cases[] = {
      {"", "it is empty"},
      {"/(/", "POSIX extended: "},
      {"TCP_ANY_80", "names have a-z"},
      {"Web", "names have a-z"},
      {"tcp_any_80 ", "names have a-z"},
      {" tcp_any_80", "names have a-z"},
      {"tcp any 80", "names have a-z"},
      {"tcp_10.0.0.1_80", "names have a-z"},
      {"tcp6_::1_80", "names have a-z"},
      {"unix_/run/x", "names have a-z"},
      {"app.sock", "names have a-z"},
      {"run/app.sock", "names have a-z"},
      {"localhost:80", "names have a-z"},
      {"127.0.0.1:0", "names have a-z"},
      {"127.0.0.1:65536", "names have a-z"},
      {"[fe80::1]:80", "names have a-z"},
      {"*", "names have a-z"},
      {":8080", "*:8080 is the wildcard address, /_8080$/ is any address"},
      {"tcp_any", "no listener can have"},
      {"tcp_any_", "no listener can have"},
      {"tcp_any_0", "no listener can have"},
      {"tcp_any_65536", "no listener can have"},
      {"tcp_any_080", "no listener can have"},
      {"tcp_any_80_", "no listener can have"},
      {"tcp_any_http", "no listener can have"},
      {"tcp__80", "no listener can have"},
      {"tcp_10-0-0_80", "no listener can have"},
      {"tcp_10-0-0-256_80", "no listener can have"},
      {"tcp_--1_80", "no listener can have"},
      {"tcp_0-0-0-0_80", "no listener can have"},
      {"tcp6_127-0-0-1_80", "no listener can have"},
      {"tcp6_--_80", "no listener can have"},
      {"tcp6_0-0-0-0-0-0-0-1_80", "no listener can have"},
      {"tcp6_--ffff-7f00-1_80", "no listener can have"},
      {"tcp6_fe80--1__80", "no listener can have"},
      {"tcp_any_80__dev_", "no listener can have"},
      {"tcp_any_80__netns_", "no listener can have"},
      {"tcp_any_80__net_blue", "no listener can have"},
      {"unix_", "no listener can have"},
      {"host", "no listener has"},
      {"kernel", "no listener has"},
      {"sampler", "no listener has"},
      {"tcp_unstable", "no listener has"},
      {"unix_unstable", "no listener has"},
      {"kernel_netns_blue", "no listener has"},
      {"tcp_any_80\n", "control character"},
      {"/run/a\nb", "control character"},
      {"@a\0b"s, "control character"},
      {"/", "2 to 108 bytes"},
      {"//", "2 to 108 bytes"},
      {"@", "2 to 108 bytes"},
      {"/" + std::string(108, 'x'), "2 to 108 bytes"},
      {"unix_" + std::string(96, 'x'), "at most 100 bytes"},
      {std::string(100000, 'x'), "at most 100 bytes"},
  };
  for (const Case &c : cases)
    ck_assert_msg(refusal_of(c.text).find(c.reason) != std::string::npos, "\"%s\": %s",
                  c.text.c_str(), refusal_of(c.text).c_str());
}
END_TEST

START_TEST(which_listeners_an_entry_matches) {
  const TcpAddress ipv4{.bytes = {}, .port = 80};
  const TcpAddress ipv6{.bytes = {}, .port = 80, .ipv6 = true};
  struct Case {
    const char *entry = nullptr;
    ListenerView listener;
    bool matches = false;
  };
  const Case cases[] = {
      {"tcp_any_80", {.name = "tcp_any_80"}, true},
      {"tcp_any_80", {.name = "tcp_any_8"}, false},
      {"tcp_any_80", {.name = "tcp_any_80", .is_own = false}, true},
      {"tcp_any_80", {.name = "tcp_any_80__netns_blue", .is_own = false}, false},
      {"web", {.name = "tcp_any_80", .given_name = "web"}, true},
      {"web", {.name = "tcp_any_80"}, false},
      {"/any/", {.name = "tcp_any_80"}, true},
      {"/^any/", {.name = "tcp_any_80"}, false},
      {"/^we/", {.name = "tcp_any_80", .given_name = "web"}, true},
      {"/^$/", {.name = "tcp_any_80"}, false},
      {"/run/a.b", {.name = "unix_run_a-b", .address = "/run/a.b"}, true},
      {"/run/a.b", {.name = "unix_run_a-b", .address = "/run/a-b"}, false},
      {"/run/a.b",
       {.name = "unix_run_a-b__netns_x", .address = "/run/a.b", .is_own = false},
       false},
      {"@a", {.name = "unix_abstract_a", .address = "@a"}, true},
      {"@a", {.name = "unix_abstract_a", .address = "@A"}, false},
      {"0.0.0.0:80", {.name = "tcp_any_80", .tcp = &ipv4}, true},
      {"0.0.0.0:80", {.name = "tcp_any_80", .tcp = &ipv6}, true},
      {"[::]:80", {.name = "tcp_any_80", .tcp = &ipv6}, true},
      {"[::]:80", {.name = "tcp6_any_80", .tcp = &ipv6}, true},
      {"[::]:80", {.name = "tcp_any_80", .tcp = &ipv4}, false},
      {"*:80", {.name = "tcp_any_80", .tcp = &ipv4}, true},
      {"*:80", {.name = "tcp6_any_80", .tcp = &ipv6}, true},
      {"*:80", {.name = "tcp_any_81"}, false},
      {"*:80", {.name = "tcp_any_80__netns_blue", .is_own = false}, false},
  };
  for (const Case &c : cases)
    ck_assert_msg(entry_of(c.entry).matches(c.listener) == c.matches, "%s %s %s", c.entry,
                  std::string(c.listener.name).c_str(), std::string(c.listener.address).c_str());
}
END_TEST

START_TEST(ignorelist_semantics) {
  struct Case {
    std::vector<std::string> entries;
    const char *name;
    bool ignore_selected, selects, names;
  };
  const Case cases[] = {
      {{}, "tcp_any_80", false, true, false},
      {{}, "tcp_any_80", true, true, false},
      {{"tcp_any_80"}, "tcp_any_80", false, true, true},
      {{"tcp_any_80"}, "tcp_any_800", false, false, false},
      {{"tcp_any_80"}, "tcp_any_80", true, false, false},
      {{"tcp_any_80"}, "tcp_any_81", true, true, false},
      {{"*:80"}, "tcp_any_80", false, true, true},
      {{"*:80"}, "tcp_any_80", true, false, false},
      {{"/_80$/", "tcp_any_22"}, "tcp_any_22", false, true, true},
      {{"/./"}, "tcp_any_80", true, false, false},
  };
  for (const Case &c : cases) {
    ListenerFilter filter;
    for (const std::string &entry : c.entries)
      ck_assert(!filter.add(entry));
    filter.ignore_selected(c.ignore_selected);
    const char *entry = c.entries.empty() ? "none" : c.entries.front().c_str();
    ck_assert_msg(filter.selects({.name = c.name}) == c.selects, "%s %s", entry, c.name);
    ck_assert_msg(filter.names({.name = c.name}) == c.names, "%s %s", entry, c.name);
  }
  ListenerFilter filter;
  ck_assert(filter.add("TCP_any_80").has_value());
  ck_assert(filter.empty());
}
END_TEST

int main() {
  return run_tests("listener_entry", entries_that_can_mean_a_listener, entries_that_can_mean_none,
                   which_listeners_an_entry_matches, ignorelist_semantics);
}
