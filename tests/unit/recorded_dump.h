#pragma once

#include "test_program.h"

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <linux/netlink.h>
#include <string>
#include <vector>

// As recorded by tests/fixtures/record_sock_diag.py, which also says what listens there.
// Binding to one IPv6 address makes a socket v6only (__inet6_bind() in net/ipv6/af_inet6.c).
constexpr std::uint32_t recorded_sequence = 7;
constexpr std::uint32_t recorded_port_id = 4242;

using Datagram = std::vector<std::byte>;

inline std::vector<Datagram> recorded(const std::string &name) {
  std::ifstream file(std::string(FIXTURES_DIR) + "/sock_diag/" + name, std::ios::binary);
  ck_assert_msg(file.good(), "no fixture %s", name.c_str());
  std::vector<Datagram> datagrams;
  std::uint32_t length = 0;
  while (file.read(reinterpret_cast<char *>(&length), sizeof length)) {
    Datagram &datagram = datagrams.emplace_back(length);
    file.read(reinterpret_cast<char *>(datagram.data()), length);
  }
  return datagrams;
}

inline nlmsghdr *message_at(Datagram &datagram, std::size_t offset) {
  return reinterpret_cast<nlmsghdr *>(datagram.data() + offset);
}
