#include "listener_name.h"
#include "test_program.h"
#include "written_address.h"

#include <algorithm>
#include <arpa/inet.h>
#include <string>
#include <vector>

using namespace backlog;

namespace {

std::string joined(const std::vector<std::string> &names) {
  std::string text;
  for (const std::string &name : names)
    text += (text.empty() ? "" : " ") + name;
  return text;
}

TcpAddress tcp(const std::string &host, std::uint16_t port, bool v6only = false,
               std::uint32_t device = 0) {
  TcpAddress address{.bytes = {}, .device = device, .port = port, .v6only = v6only};
  address.ipv6 = host.find(':') != std::string::npos;
  ck_assert_int_eq(inet_pton(address.ipv6 ? AF_INET6 : AF_INET, host.c_str(), address.bytes.data()),
                   1);
  return address;
}

} // namespace

START_TEST(addresses_as_people_write_them) {
  struct Case {
    const char *text, *names;
  };
  constexpr Case cases[] = {
      {"127.0.0.1:8001", "tcp_127-0-0-1_8001"},
      {"0.0.0.0:80", "tcp_any_80"},
      {"*:443", "tcp6_any_443 tcp_any_443"},
      {"[::]:443", "tcp6_any_443 tcp_any_443"},
      {"[::1]:9000", "tcp6_--1_9000"},
      {"[0:0:0:0:0:0:0:1]:9000", "tcp6_--1_9000"},
      {"[2001:DB8::1]:443", "tcp6_2001-db8--1_443"},
      {"[2001:db8:0:0:0:0:0:1]:443", "tcp6_2001-db8--1_443"},
      {"[::ffff:127.0.0.1]:8001", "tcp_127-0-0-1_8001"},
      {"[::FFFF:7f00:1]:8001", "tcp_127-0-0-1_8001"},
      {"[::ffff:0.0.0.0]:80", "tcp_any_80"},
      {"[fe80::1%eth0]:80", "tcp6_fe80--1_eth0_80"},
      {"[fe80::1]%eth0:80", "tcp6_fe80--1_eth0_80"},
      {"[FE80::1%eth0.100]:80", "tcp6_fe80--1_eth0-100_80"},
      {"0.0.0.0%eth0:80", "tcp_any_80__dev_eth0"},
      {"10.0.0.1%eth0:80", "tcp_10-0-0-1_80__dev_eth0"},
      {"*%eth0:80", "tcp6_any_80__dev_eth0 tcp_any_80__dev_eth0"},
      {"[::1%lo]:1", "tcp6_--1_1__dev_lo"},
      {"[::b:12]:80", "tcp6_--0-11-0-18_80"},
      {"127.0.0.1:1", "tcp_127-0-0-1_1"},
      {"127.0.0.1:65535", "tcp_127-0-0-1_65535"},
      {":8080", ""},
  };
  for (const Case &c : cases) {
    const auto written = parse_written_address(c.text);
    ck_assert_msg(written.has_value(), "%s", c.text);
    assert_text(joined(written->names()), c.names);
    for (const std::string &name : written->names())
      ck_assert_msg(is_listener_name(name), "%s", name.c_str());
  }
}
END_TEST

START_TEST(what_is_no_address) {
  using namespace std::string_literals;
  for (const std::string &text : {
           ""s,
           ":"s,
           "80"s,
           "*"s,
           "127.0.0.1"s,
           "127.0.0.1:"s,
           "127.0.0.1:0"s,
           "127.0.0.1:65536"s,
           "127.0.0.1:99999999999"s,
           "127.0.0.1:080"s,
           "127.0.0.1:+80"s,
           "127.0.0.1:-1"s,
           "127.0.0.1:http"s,
           "127.0.0.1:80 "s,
           " 127.0.0.1:80"s,
           "127.0.0.1 :80"s,
           "127.0.0.1:8x"s,
           "127.1:80"s,
           "127.0.0.256:80"s,
           "127.0.0.01:80"s,
           "1.2.3.4.5:80"s,
           "localhost:80"s,
           "*.*:80"s,
           "**:80"s,
           "[*]:80"s,
           "[]:80"s,
           "[:80"s,
           "]:80"s,
           "[::1:80"s,
           "::1:9000"s,
           ":::80"s,
           "::1"s,
           "[::1]"s,
           "[::1]:"s,
           "[::1]9000"s,
           "[::1]x:9000"s,
           "[[::1]]:80"s,
           "[127.0.0.1]:80"s,
           "[::g]:80"s,
           "[1::2::3]:80"s,
           "[::1 ]:80"s,
           "fe80::1%eth0:80"s,
           "[fe80::1]:80"s,
           "[fe80::1%]:80"s,
           "[fe80::1%eth0%eth1]:80"s,
           "[fe80::1%eth0]%eth0:80"s,
           "[fe80::1%a name]:80"s,
           "[fe80::1%sixteen_letters_]:80"s,
           "0.0.0.0%:80"s,
           "%eth0:80"s,
           "*:*"s,
           "tcp://127.0.0.1:80"s,
           "127.0.0.1:80/tcp"s,
           "\0:80"s,
           "127.0.0.1\0:80"s,
           "127.0.0.1:80\0"s,
           "127.0.0.1:80\n"s,
       })
    ck_assert_msg(!parse_written_address(text), "\"%s\"", text.c_str());
}
END_TEST

START_TEST(which_listeners_are_meant) {
  struct Case {
    const char *text = nullptr;
    TcpAddress listener;
    const char *device = nullptr;
    bool is_of = false;
  };
  const Case cases[] = {
      {"*:80", tcp("0.0.0.0", 80), "", true},
      {"*:80", tcp("::", 80), "", true},
      {"*:80", tcp("::", 80, true), "", true},
      {"*:80", tcp("0.0.0.0", 81), "", false},
      {"*:80", tcp("127.0.0.1", 80), "", false},
      {"*:80", tcp("0.0.0.0", 80, false, 2), "eth0", false},
      {"*%eth0:80", tcp("0.0.0.0", 80, false, 2), "eth0", true},
      {"0.0.0.0:80", tcp("0.0.0.0", 80), "", true},
      {"0.0.0.0:80", tcp("::", 80), "", true},
      {"0.0.0.0:80", tcp("::", 80, true), "", false},
      {"0.0.0.0:80", tcp("::ffff:0.0.0.0", 80), "", true},
      {"[::]:80", tcp("::", 80), "", true},
      {"[::]:80", tcp("::", 80, true), "", true},
      {"[::]:80", tcp("0.0.0.0", 80), "", false},
      {"127.0.0.1:80", tcp("::ffff:127.0.0.1", 80), "", true},
      {"127.0.0.1:80", tcp("127.0.0.2", 80), "", false},
      {"[::1]:80", tcp("::1", 80, true), "", true},
      {"[::1]:80", tcp("0.0.0.1", 80), "", false},
      {"[fe80::1%eth0]:80", tcp("fe80::1", 80, false, 2), "eth0", true},
      {"[fe80::1%eth0]:80", tcp("fe80::1", 80, false, 3), "eth1", false},
      {":80", tcp("127.0.0.1", 80), "", true},
      {":80", tcp("fe80::1", 80, false, 3), "eth1", true},
      {":80", tcp("::", 81), "", false},
  };
  for (const Case &c : cases) {
    const auto written = parse_written_address(c.text);
    ck_assert_msg(written && written->is_of(c.listener, c.device) == c.is_of, "%s", c.text);
    if (written->host == WrittenAddress::Host::anywhere)
      continue;
    // A name can be that of more listeners, never of fewer.
    const auto names = written->names();
    const auto name = name_tcp_listener(c.listener, c.device, "").text;
    ck_assert(!c.is_of || std::find(names.begin(), names.end(), name) != names.end());
  }
}
END_TEST

int main() {
  return run_tests("written_address", addresses_as_people_write_them, what_is_no_address,
                   which_listeners_are_meant);
}
