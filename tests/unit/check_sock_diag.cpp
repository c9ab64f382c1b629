#include "sock_diag.h"
#include "test_program.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <map>
#include <string>
#include <vector>

using namespace backlog;

namespace {

// As recorded by tests/fixtures/record_sock_diag.py, which also says what listens there.
// Binding to one IPv6 address makes a socket v6only (__inet6_bind() in net/ipv6/af_inet6.c).
constexpr std::uint32_t recorded_sequence = 7;
constexpr std::uint32_t recorded_port_id = 4242;

using Datagram = std::vector<std::byte>;

std::vector<Datagram> recorded(const std::string &name) {
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

struct Answer {
  std::map<std::pair<int, std::uint32_t>, TcpListener> by_port_and_limit;
  bool done = false;
  int error = 0;
  int parse_error = 0;
};

Answer read_all(const std::vector<Datagram> &datagrams) {
  const DumpReader reader(recorded_sequence, recorded_port_id);
  Answer answer;
  for (const Datagram &datagram : datagrams) {
    const auto progress = reader.take(datagram, [&](const nlmsghdr &message) {
      const auto listener = parse_tcp_listener(message);
      if (listener)
        answer.by_port_and_limit[{listener->address.port, listener->limit}] = *listener;
      else
        answer.parse_error = listener.error().code;
    });
    if (!progress) {
      answer.error = progress.error().code;
      break;
    }
    answer.done = *progress == DumpReader::Progress::done;
  }
  return answer;
}

nlmsghdr *message_at(Datagram &datagram, std::size_t offset) {
  return reinterpret_cast<nlmsghdr *>(datagram.data() + offset);
}

nlattr *attribute_of(nlmsghdr *message, std::uint16_t type) {
  auto *attribute =
      static_cast<nlattr *>(mnl_nlmsg_get_payload_offset(message, sizeof(inet_diag_msg)));
  while (mnl_attr_get_type(attribute) != type)
    attribute = mnl_attr_next(attribute);
  return attribute;
}

} // namespace

START_TEST(recorded_dump_has_every_listener) {
  const Answer answer = read_all(recorded("both_families.bin"));
  ck_assert(answer.done);
  ck_assert_int_eq(answer.error, 0);
  struct Case {
    int port;
    std::uint32_t limit, length;
    bool ipv6, v6only, bound;
  };
  constexpr Case cases[] = {
      {1001, 0, 1, false, false, false}, {1002, 2, 3, false, false, false},
      {1003, 5, 0, true, false, false},  {1004, 6, 0, true, true, false},
      {1005, 7, 0, false, false, true},  {1006, 8, 2, true, true, false},
      {1007, 9, 0, false, false, false}, {1007, 10, 0, false, false, false},
  };
  ck_assert_uint_eq(answer.by_port_and_limit.size(), std::size(cases));
  for (const Case &expected : cases) {
    const auto found = answer.by_port_and_limit.find({expected.port, expected.limit});
    ck_assert_msg(found != answer.by_port_and_limit.end(), "port %d", expected.port);
    const TcpListener &listener = found->second;
    ck_assert_uint_eq(listener.queue_length, expected.length);
    ck_assert_int_eq(listener.address.ipv6, expected.ipv6);
    ck_assert_int_eq(listener.address.v6only, expected.v6only);
    ck_assert_int_eq(listener.address.device != 0, expected.bound);
    ck_assert_uint_ne(listener.cookie, 0);
    ck_assert_uint_ne(listener.inode, 0);
    ck_assert(listener.drops == 0U);
  }
}
END_TEST

START_TEST(both_requests_tell_the_same) {
  const Answer both = read_all(recorded("both_families.bin"));
  Answer each = read_all(recorded("ipv4.bin"));
  const Answer ipv6 = read_all(recorded("ipv6.bin"));
  ck_assert(each.done && ipv6.done);
  each.by_port_and_limit.insert(ipv6.by_port_and_limit.begin(), ipv6.by_port_and_limit.end());
  ck_assert_uint_eq(both.by_port_and_limit.size(), each.by_port_and_limit.size());
  for (const auto &[key, listener] : both.by_port_and_limit) {
    const TcpListener &other = each.by_port_and_limit.at(key);
    ck_assert(listener.address == other.address);
    ck_assert_uint_eq(listener.cookie, other.cookie);
    ck_assert_uint_eq(listener.inode, other.inode);
    ck_assert_uint_eq(listener.queue_length, other.queue_length);
    ck_assert_uint_eq(listener.cgroup_id, other.cgroup_id);
    ck_assert(listener.drops == other.drops);
  }
}
END_TEST

START_TEST(missing_protocol_handler_is_an_error) {
  const Answer answer = read_all(recorded("no_protocol_handler.bin"));
  ck_assert(!answer.done);
  ck_assert_int_eq(answer.error, ENOENT);
}
END_TEST

START_TEST(error_message_is_an_error) {
  ck_assert_int_eq(read_all(recorded("no_family_handler.bin")).error, ENOENT);

  std::vector<Datagram> busy = recorded("no_family_handler.bin");
  const int code = -EBUSY;
  std::memcpy(busy[0].data() + MNL_NLMSG_HDRLEN, &code, sizeof code);
  ck_assert_int_eq(read_all(busy).error, EBUSY);

  busy[0].resize(MNL_NLMSG_HDRLEN);
  message_at(busy[0], 0)->nlmsg_len = MNL_NLMSG_HDRLEN;
  ck_assert_int_eq(read_all(busy).error, EBADMSG);
}
END_TEST

START_TEST(interrupted_dump_is_an_error) {
  std::vector<Datagram> datagrams = recorded("both_families.bin");
  message_at(datagrams[0], 0)->nlmsg_flags |= NLM_F_DUMP_INTR;
  ck_assert_int_eq(read_all(datagrams).error, EINTR);
}
END_TEST

START_TEST(other_exchanges_are_refused) {
  std::vector<Datagram> datagrams = recorded("both_families.bin");
  message_at(datagrams[0], 0)->nlmsg_seq = recorded_sequence - 1;
  ck_assert_int_eq(read_all(datagrams).error, EPROTO);
  datagrams = recorded("both_families.bin");
  message_at(datagrams[0], 0)->nlmsg_pid = 1;
  ck_assert_int_eq(read_all(datagrams).error, EPROTO);
}
END_TEST

// Every prefix of a datagram ends within a message, or between two of them.
START_TEST(truncated_datagram_is_an_error) {
  const Datagram whole = recorded("both_families.bin").front();
  std::vector<std::size_t> ends{0};
  while (ends.back() < whole.size()) {
    nlmsghdr header{};
    std::memcpy(&header, whole.data() + ends.back(), sizeof header);
    ends.push_back(ends.back() + MNL_ALIGN(header.nlmsg_len));
  }
  for (std::size_t length = 1; length < whole.size(); ++length) {
    const bool between = std::find(ends.begin(), ends.end(), length) != ends.end();
    const Answer answer =
        read_all({Datagram(whole.begin(), whole.begin() + static_cast<long>(length))});
    ck_assert_msg(answer.error == (between ? 0 : EBADMSG), "length %zu: %d", length, answer.error);
    ck_assert(!answer.done);
  }
}
END_TEST

START_TEST(message_too_short_for_an_entry_is_an_error) {
  Datagram datagram(MNL_NLMSG_HDRLEN + sizeof(inet_diag_msg) - 4);
  nlmsghdr *header = message_at(datagram, 0);
  header->nlmsg_len = static_cast<std::uint32_t>(datagram.size());
  header->nlmsg_type = TCPDIAG_GETSOCK;
  header->nlmsg_seq = recorded_sequence;
  header->nlmsg_pid = recorded_port_id;
  const Answer answer = read_all({datagram});
  ck_assert_int_eq(answer.error, 0);
  ck_assert_int_eq(answer.parse_error, EBADMSG);
  ck_assert(answer.by_port_and_limit.empty());
}
END_TEST

// Kernels before 4.7 give eight memory words, without the drops.
START_TEST(short_attributes_are_passed_over) {
  std::vector<Datagram> datagrams = recorded("both_families.bin");
  nlmsghdr *first = message_at(datagrams[0], 0);
  attribute_of(first, INET_DIAG_SKMEMINFO)->nla_len = MNL_ATTR_HDRLEN + 8 * 4;
  attribute_of(first, INET_DIAG_SKV6ONLY)->nla_len = MNL_ATTR_HDRLEN;
  const int port = read_all(recorded("both_families.bin")).by_port_and_limit.begin()->first.first;
  ck_assert_int_eq(port, 1001);
  const auto listener = parse_tcp_listener(*first);
  ck_assert(listener);
  ck_assert(!listener->drops.has_value());
  ck_assert(!listener->address.v6only);
}
END_TEST

START_TEST(attribute_beyond_its_message_is_not_read) {
  std::vector<Datagram> datagrams = recorded("both_families.bin");
  nlmsghdr *first = message_at(datagrams[0], 0);
  for (const std::uint16_t length : {0, 3, 5000, 65535}) {
    attribute_of(first, INET_DIAG_SHUTDOWN)->nla_len = length;
    const auto listener = parse_tcp_listener(*first);
    ck_assert(listener);
    ck_assert(!listener->drops.has_value());
  }
}
END_TEST

START_TEST(drops_are_the_ninth_memory_word) {
  std::vector<Datagram> datagrams = recorded("both_families.bin");
  nlmsghdr *first = message_at(datagrams[0], 0);
  auto *words =
      static_cast<std::uint32_t *>(mnl_attr_get_payload(attribute_of(first, INET_DIAG_SKMEMINFO)));
  words[8] = 0xfffffffeU;
  ck_assert(parse_tcp_listener(*first)->drops == 0xfffffffeU);
}
END_TEST

START_TEST(live_kernel_answers_both_requests_alike) {
  auto both = SockDiag::open();
  auto each = SockDiag::open();
  if (!both || !each)
    return;
  each->request_tcp_by(SockDiag::TcpRequest::each_family);
  const auto cookies = [](SockDiag &diag) {
    std::vector<std::uint64_t> seen;
    const Failure failure = diag.dump_tcp_listeners(
        [&](const TcpListener &listener) { seen.push_back(listener.cookie); });
    ck_assert_msg(!failure, "%s", failure ? failure->message().c_str() : "");
    std::sort(seen.begin(), seen.end());
    return seen;
  };
  // Others may come and go meanwhile; one quiet moment is enough.
  bool equal = false;
  for (int attempt = 0; attempt < 100 && !equal; ++attempt)
    equal = cookies(*both) == cookies(*each);
  ck_assert(equal);
}
END_TEST

int main() {
  return run_tests("sock_diag", recorded_dump_has_every_listener, both_requests_tell_the_same,
                   missing_protocol_handler_is_an_error, error_message_is_an_error,
                   interrupted_dump_is_an_error, other_exchanges_are_refused,
                   truncated_datagram_is_an_error, message_too_short_for_an_entry_is_an_error,
                   short_attributes_are_passed_over, attribute_beyond_its_message_is_not_read,
                   drops_are_the_ninth_memory_word, live_kernel_answers_both_requests_alike);
}
