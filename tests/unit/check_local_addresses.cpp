#include "local_addresses.h"
#include "test_program.h"

#include <arpa/inet.h>
#include <array>
#include <cstring>
#include <ifaddrs.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <set>
#include <string>

using namespace backlog;

namespace {

std::string shown(const TcpAddress &address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  inet_ntop(address.ipv6 ? AF_INET6 : AF_INET, address.bytes.data(), text.data(), text.size());
  return text.data();
}

/// A message of an address with these attributes.
class Message {
public:
  explicit Message(unsigned char family, std::uint16_t type = RTM_NEWADDR) {
    header()->nlmsg_type = type;
    auto *entry = static_cast<ifaddrmsg *>(mnl_nlmsg_put_extra_header(header(), sizeof(ifaddrmsg)));
    entry->ifa_family = family;
  }
  Message &with(std::uint16_t type, int family, const char *address) {
    in6_addr bytes{};
    ck_assert_int_eq(inet_pton(family, address, &bytes), 1);
    mnl_attr_put(header(), type, family == AF_INET ? sizeof(in_addr) : sizeof bytes, &bytes);
    return *this;
  }
  Message &cut_by(std::uint32_t bytes) {
    header()->nlmsg_len -= bytes;
    return *this;
  }
  std::string parsed() {
    const auto address = parse_local_address(*header());
    return address ? shown(*address) : "";
  }

private:
  nlmsghdr *header() { return header_; }

  alignas(nlmsghdr) std::array<char, 256> bytes_{};
  nlmsghdr *header_ = mnl_nlmsg_put_header(bytes_.data());
};

} // namespace

START_TEST(messages) {
  assert_text(Message(AF_INET).with(IFA_LOCAL, AF_INET, "10.0.0.1").parsed(), "10.0.0.1");
  // Point to point: the other end is not an address of this namespace.
  assert_text(Message(AF_INET)
                  .with(IFA_ADDRESS, AF_INET, "10.0.0.2")
                  .with(IFA_LOCAL, AF_INET, "10.0.0.1")
                  .parsed(),
              "10.0.0.1");
  assert_text(Message(AF_INET)
                  .with(IFA_LOCAL, AF_INET, "10.0.0.1")
                  .with(IFA_ADDRESS, AF_INET, "10.0.0.2")
                  .parsed(),
              "10.0.0.1");
  assert_text(Message(AF_INET6).with(IFA_ADDRESS, AF_INET6, "fd00::1").parsed(), "fd00::1");
  assert_text(Message(AF_INET).parsed(), "");
  assert_text(Message(AF_INET).with(IFA_LOCAL, AF_INET6, "fd00::1").parsed(), "");
  assert_text(Message(AF_INET6).with(IFA_ADDRESS, AF_INET, "10.0.0.1").parsed(), "");
  assert_text(Message(AF_INET).with(IFA_BROADCAST, AF_INET, "10.0.0.1").parsed(), "");
  assert_text(Message(AF_UNIX).with(IFA_LOCAL, AF_INET, "10.0.0.1").parsed(), "");
  assert_text(Message(AF_INET, RTM_NEWLINK).with(IFA_LOCAL, AF_INET, "10.0.0.1").parsed(), "");
  for (const std::uint32_t bytes : {1U, 4U, 12U})
    assert_text(Message(AF_INET).with(IFA_LOCAL, AF_INET, "10.0.0.1").cut_by(bytes).parsed(), "");
}
END_TEST

START_TEST(live_addresses_are_those_of_the_c_library) {
  std::multiset<std::string> wanted;
  ifaddrs *first = nullptr;
  ck_assert_int_eq(getifaddrs(&first), 0);
  for (const ifaddrs *each = first; each != nullptr; each = each->ifa_next) {
    TcpAddress address;
    if (each->ifa_addr != nullptr && each->ifa_addr->sa_family == AF_INET) {
      std::memcpy(address.bytes.data(),
                  &reinterpret_cast<const sockaddr_in *>(each->ifa_addr)->sin_addr,
                  sizeof(in_addr));
    } else if (each->ifa_addr != nullptr && each->ifa_addr->sa_family == AF_INET6) {
      address.ipv6 = true;
      std::memcpy(address.bytes.data(),
                  &reinterpret_cast<const sockaddr_in6 *>(each->ifa_addr)->sin6_addr,
                  sizeof(in6_addr));
    } else {
      continue;
    }
    wanted.insert(shown(address));
  }
  freeifaddrs(first);
  std::multiset<std::string> found;
  NetlinkSocket::Buffer buffer;
  const Failure failure = read_local_addresses(
      [&](const TcpAddress &address) {
        ck_assert_uint_eq(address.port, 0);
        found.insert(shown(address));
      },
      buffer);
  ck_assert_msg(!failure, "%s", failure ? failure->message().c_str() : "");
  ck_assert(found == wanted);
  ck_assert(!found.empty());
}
END_TEST

int main() {
  return run_tests("local_addresses", messages, live_addresses_are_those_of_the_c_library);
}
