#include "listener_name.h"
#include "test_program.h"

#include <algorithm>
#include <arpa/inet.h>
#include <string>
#include <vector>

using namespace backlog;
using namespace std::string_literals;

namespace {

TcpAddress tcp(const char *host, std::uint16_t port, std::uint32_t device = 0,
               bool v6only = false) {
  TcpAddress address{.bytes = {}, .device = device, .port = port, .v6only = v6only};
  address.ipv6 = std::string(host).find(':') != std::string::npos;
  ck_assert_int_eq(inet_pton(address.ipv6 ? AF_INET6 : AF_INET, host, address.bytes.data()), 1);
  return address;
}

bool in_alphabet(const std::string &name) {
  return !name.empty() && name.size() <= listener_name_max_bytes &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_-") == std::string::npos;
}

} // namespace

START_TEST(tcp_names) {
  struct Case {
    TcpAddress address;
    const char *device = "", *net_namespace = "", *name = "";
    bool has_id = false;
  };
  const Case cases[] = {
      {tcp("0.0.0.0", 80), "", "", "tcp_any_80", false},
      {tcp("::", 80), "", "", "tcp_any_80", false},
      {tcp("::", 80, 0, true), "", "", "tcp6_any_80", false},
      {tcp("::ffff:0.0.0.0", 80), "", "", "tcp_any_80", false},
      {tcp("127.0.0.1", 9000), "", "", "tcp_127-0-0-1_9000", false},
      {tcp("::ffff:127.0.0.1", 9000), "", "", "tcp_127-0-0-1_9000", false},
      {tcp("2001:db8::1", 443), "", "", "tcp6_2001-db8--1_443", false},
      {tcp("2001:db8::1", 443, 0, true), "", "", "tcp6_2001-db8--1_443", false},
      {tcp("::1", 443), "", "", "tcp6_--1_443", false},
      {tcp("fe80::1", 8080, 2), "eth0", "", "tcp6_fe80--1_eth0_8080", false},
      {tcp("febf::1", 1, 2), "eth0", "", "tcp6_febf--1_eth0_1", false},
      {tcp("fec0::1", 1, 2), "eth0", "", "tcp6_fec0--1_1__dev_eth0", false},
      {tcp("0.0.0.0", 80, 2), "eth0", "", "tcp_any_80__dev_eth0", false},
      {tcp("0.0.0.0", 80, 7), "if7", "", "tcp_any_80__dev_if7", false},
      {tcp("0.0.0.0", 80, 7), "br-0a1b2c3d4e5f", "", "tcp_any_80__dev_br-0a1b2c3d4e5f", true},
      {tcp("0.0.0.0", 80, 7), "br-lan.10", "", "tcp_any_80__dev_br-lan-10", false},
      {tcp("0.0.0.0", 80), "", "blue", "tcp_any_80__netns_blue", false},
      {tcp("10.0.0.1", 65535, 3), "eth0", "blue", "tcp_10-0-0-1_65535__dev_eth0__netns_blue",
       false},
  };
  for (const Case &c : cases) {
    const ListenerName name = name_tcp_listener(c.address, c.device, c.net_namespace);
    assert_text(name.text, c.name);
    ck_assert_int_eq(name.has_id, c.has_id);
    ck_assert(in_alphabet(name.text));
  }
}
END_TEST

START_TEST(odd_devices_get_a_hash) {
  const auto named = [](const char *device) {
    return name_tcp_listener(tcp("0.0.0.0", 80, 2), device, "").text;
  };
  for (const char *device :
       {"Eth0", "wg@0", "a..b", "veth__1", "\xc3\xa9", "__netns_0", "__dev_0"}) {
    const std::string name = named(device);
    ck_assert_msg(in_alphabet(name), "%s", name.c_str());
    ck_assert(name != named("eth0"));
    ck_assert_msg(is_listener_name(name), "%s", name.c_str());
    for (const char *net_namespace : {"", "blue"}) {
      const std::string of_link =
          name_tcp_listener(tcp("fe80::1", 80, 2), device, net_namespace).text;
      ck_assert_msg(is_listener_name(of_link), "%s", of_link.c_str());
    }
  }
  assert_text(named("Eth0"), "tcp_any_80__dev_eth0_510c60c4");
  ck_assert(named("Eth0") != named("eTh0"));
  ck_assert(!name_tcp_listener(tcp("0.0.0.0", 80, 2), "Eth0", "").has_id);
}
END_TEST

START_TEST(unix_names) {
  struct Case {
    std::string address;
    const char *name;
    bool has_id;
  };
  const Case cases[] = {
      {"/run/php-fpm.sock", "unix_run_php-fpm-sock", false},
      {"/run/a_b", "unix_run_a_b", false},
      {"/run/user/1000/bus", "unix_run_user_1000_bus", false},
      {"\0dbus-xyz"s, "unix_abstract_dbus-xyz", false},
      {"\0000001f"s, "unix_abstract_0001f", true},
      {"\0000001F"s, "unix_abstract_0001f_", false},
      {"/run/0123456789abcdef.sock", "unix_run_0123456789abcdef-sock", true},
      {"/run/123e4567-e89b-12d3-a456-426614174000/s",
       "unix_run_123e4567-e89b-12d3-a456-426614174000_s", true},
      {"/run/x1234567/s", "unix_run_x1234567_s", false},
      {"/run/1234567/s", "unix_run_1234567_s", false},
      {"/run/12345678", "unix_run_12345678", true},
      {"/run/1234-5678", "unix_run_1234-5678", false},
      {"/run/12345678x", "unix_run_12345678x", false},
      {"/run/x_12345678", "unix_run_x_12345678", true},
      {"/run/ABCDEFAB/Z", "unix_run_abcdefab_z_", true},
      {"/run/ABCDEFABG", "unix_run_abcdefabg_", false},
      {"/run/Xabcdef01", "unix_run_xabcdef01_", false},
      {"12345678", "unix_12345678_", true},
      {"1234567", "unix_1234567_", false},
      {"\0"
       "0001g"s,
       "unix_abstract_0001g", false},
  };
  for (const Case &c : cases) {
    const ListenerName name = name_unix_listener(c.address, "");
    ck_assert_msg(in_alphabet(name.text), "%s", name.text.c_str());
    if (std::string(c.name).back() == '_')
      ck_assert_msg(name.text.starts_with(c.name), "%s", name.text.c_str());
    else
      assert_text(name.text, c.name);
    ck_assert_msg(name.has_id == c.has_id, "%s", c.name);
  }
}
END_TEST

START_TEST(of_other_mount_namespaces) {
  struct Case {
    const char *owned_by;
    const char *net_namespace;
    const char *name;
    bool has_id;
  };
  for (const Case &c : {
           Case{"nginx.service", "", "unix_run_app__in_nginx-service", false},
           {"nginx.service", "blue", "unix_run_app__in_nginx-service__netns_blue", false},
           {"docker 0a1b2c3d4e5f", "", "unix_run_app__in_docker-0a1b2c3d4e5f", true},
           {"4026532386", "", "unix_run_app__in_4026532386", true},
       }) {
    const ListenerName name = name_unix_listener("/run/app", c.net_namespace, c.owned_by);
    assert_text(name.text, c.name);
    ck_assert_int_eq(name.has_id, c.has_id);
  }
  // No path can pass for one.
  ck_assert(name_unix_listener("/run/app__in_nginx-service", "").text !=
            "unix_run_app__in_nginx-service");
}
END_TEST

// The instances that facts about collectd's writers call awkward, and others.
START_TEST(awkward_unix_addresses_stay_apart) {
  std::vector<std::string> addresses{
      "/",
      "/run/with space, comma=eq;semi",
      "/run/gr\xc3\xb6ss-\xe6\x97\xa5\xe6\x9c\xac",
      "/run/quo\"te\\back",
      "rel.sock",
      "/run//rel.sock",
      "/run/../rel.sock",
      "/run/a__b",
      "/run/A_b",
      "/run/a\nb",
      "/run/a\x01-b",
      "[::]:80",
      "127.0.0.1:80",
      "\0"s,
      "\0\0"s,
      "\0a\0b"s,
      "\0A"s,
      "\0a"s,
      "/" + std::string(107, 'x'),
      "/" + std::string(106, 'x') + "y",
      "",
      "/run/a\tb",
  };
  std::vector<std::string> names;
  for (const std::string &address : addresses) {
    names.push_back(name_unix_listener(address, "").text);
    ck_assert_msg(in_alphabet(names.back()), "%s", names.back().c_str());
    assert_text(names.back(), name_unix_listener(address, "").text);
  }
  std::sort(names.begin(), names.end());
  ck_assert(std::adjacent_find(names.begin(), names.end()) == names.end());
}
END_TEST

START_TEST(long_names_are_cut_and_stay_apart) {
  const std::string net_namespace(255, 'n');
  const std::string one = name_unix_listener("/run/" + std::string(100, 'x'), net_namespace).text;
  const std::string other =
      name_unix_listener("/run/" + std::string(100, 'x'), net_namespace + "2").text;
  ck_assert_uint_eq(one.size(), listener_name_max_bytes);
  ck_assert(one != other);
  // What just fits is whole.
  const std::string whole(listener_name_max_bytes - 5, 'x');
  assert_text(name_unix_listener("/" + whole, "").text, "unix_" + whole);
  const std::string cut = name_unix_listener("/" + whole + "x", "").text;
  ck_assert_uint_eq(cut.size(), listener_name_max_bytes);
  ck_assert(cut.starts_with("unix_xxx"));
}
END_TEST

START_TEST(what_can_be_a_listeners_name) {
  const std::string longest = "unix_" + std::string(listener_name_max_bytes - 5, 'x');
  for (const std::string &name :
       {"tcp_any_80"s, "tcp6_any_80"s, "tcp_127-0-0-1_80"s, "tcp6_fe80--1_eth0_8080"s,
        "tcp_any_80__netns_blue"s, "tcp_any_80__dev_eth0__netns_blue"s, "unix_a"s, longest})
    ck_assert_msg(is_listener_name(name), "%s", name.c_str());
  for (const std::string &name :
       {""s, "tcp_any"s, "tcp_any_"s, "tcp_any_0"s, "tcp_any_65536"s, "tcp_any_80__netns_"s,
        "tcp_any_80__dev_"s, "udp_any_80"s, "unix_"s, "unix_A"s, "tcp_any_80/"s, "host"s,
        "tcp_unstable"s, "unix_unstable"s, "kernel_netns_blue"s, longest + "x"})
    ck_assert_msg(!is_listener_name(name), "%s", name.c_str());
}
END_TEST

START_TEST(addresses_that_meet_in_one_name) {
  struct Case {
    const char *keeper, *other;
  };
  constexpr Case cases[] = {
      {"/run/mysql.sock", "/run/mysql-sock"},
      {"/run/a.b.c", "/run/a-b.c"},
      {"/run/a-b.c", "/run/a.b-c"},
      {"/run/a-b", "/run/a:b"},
      {"@a.b", "@a-b"},
  };
  for (const Case &c : cases) {
    ck_assert_msg(keeps_name(c.keeper, c.other), "%s %s", c.keeper, c.other);
    ck_assert_msg(!keeps_name(c.other, c.keeper), "%s %s", c.keeper, c.other);
    ck_assert_msg(!keeps_name(c.keeper, c.keeper), "%s", c.keeper);
  }
  const std::string name = alternative_name("unix_run_a-b", "/run/a-b");
  ck_assert(name.starts_with("unix_run_a-b_") && name.size() == 21);
  ck_assert(name != alternative_name("unix_run_a-b", "/run/a:b"));
  ck_assert(is_listener_name(name));
  ck_assert(alternative_name("unix_a__netns_blue", "/a").ends_with("__netns_blue"));
  ck_assert(in_alphabet(alternative_name("unix_" + std::string(95, 'x'), "/x")));
  ck_assert(name_unix_listener("/unstable", "").text != unix_aggregate);
}
END_TEST

int main() {
  return run_tests("listener_name", tcp_names, odd_devices_get_a_hash, unix_names,
                   of_other_mount_namespaces, awkward_unix_addresses_stay_apart,
                   long_names_are_cut_and_stay_apart, what_can_be_a_listeners_name,
                   addresses_that_meet_in_one_name);
}
