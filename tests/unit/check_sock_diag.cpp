#include "sock_diag.h"

#include "recorded_dump.h"
#include "test_program.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/unix_diag.h>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

using namespace backlog;

namespace {

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

template <class Entry = inet_diag_msg> nlattr *attribute_of(nlmsghdr *message, std::uint16_t type) {
  auto *attribute = static_cast<nlattr *>(mnl_nlmsg_get_payload_offset(message, sizeof(Entry)));
  const auto *tail = static_cast<const char *>(mnl_nlmsg_get_payload_tail(message));
  while (mnl_attr_get_type(attribute) != type) {
    attribute = mnl_attr_next(attribute);
    ck_assert_msg(reinterpret_cast<const char *>(attribute) < tail, "no attribute %d", type);
  }
  return attribute;
}

/// The first message that fits; a dump has no certain order.
template <class Fits> nlmsghdr *find_message(std::vector<Datagram> &datagrams, Fits fits) {
  for (Datagram &datagram : datagrams)
    for (std::size_t offset = 0; offset < datagram.size();) {
      nlmsghdr *message = message_at(datagram, offset);
      if (fits(*message))
        return message;
      offset += MNL_ALIGN(message->nlmsg_len);
    }
  ck_abort_msg("no such message");
}

nlmsghdr *find_tcp_listener(std::vector<Datagram> &datagrams, int port) {
  return find_message(datagrams, [&](const nlmsghdr &message) {
    const auto listener = parse_tcp_listener(message);
    return listener && listener->address.port == port;
  });
}

nlmsghdr *find_unix_listener(std::vector<Datagram> &datagrams, std::string_view path) {
  return find_message(datagrams, [&](const nlmsghdr &message) {
    const auto listener = parse_unix_listener(message);
    return listener && listener->address == path;
  });
}

/// Gives each message of a recorded dump to take.
template <class Take> void for_each_message(const std::vector<Datagram> &datagrams, Take take) {
  const DumpReader reader(recorded_sequence, recorded_port_id);
  for (const Datagram &datagram : datagrams)
    ck_assert(reader.take(datagram, take));
}

/// The recorded Unix listeners, by address.
std::map<std::string, UnixListener> recorded_unix_listeners() {
  std::map<std::string, UnixListener> listeners;
  for_each_message(recorded("unix.bin"), [&](const nlmsghdr &message) {
    auto listener = parse_unix_listener(message);
    ck_assert(listener);
    const std::string address(std::exchange(listener->address, ""));
    ck_assert(listeners.emplace(address, *listener).second);
  });
  return listeners;
}

/// The recorded Unix listener at /mnt/stream, put together anew with other attributes.
class UnixMessage {
public:
  UnixMessage() {
    std::vector<Datagram> datagrams = recorded("unix.bin");
    const nlmsghdr *message = find_unix_listener(datagrams, "/mnt/stream");
    const auto *entry = static_cast<const std::byte *>(mnl_nlmsg_get_payload(message));
    entry_.assign(entry, entry + sizeof(unix_diag_msg));
    const auto *attribute =
        static_cast<const nlattr *>(mnl_nlmsg_get_payload_offset(message, sizeof(unix_diag_msg)));
    const auto *tail = static_cast<const char *>(mnl_nlmsg_get_payload_tail(message));
    for (; reinterpret_cast<const char *>(attribute) < tail; attribute = mnl_attr_next(attribute))
      attributes_[mnl_attr_get_type(attribute)].assign(
          static_cast<const char *>(mnl_attr_get_payload(attribute)),
          mnl_attr_get_payload_len(attribute));
  }

  void shorten(std::uint16_t type, std::size_t length) { attributes_.at(type).resize(length); }
  void set(std::uint16_t type, std::uint8_t value) {
    attributes_[type].assign(1, static_cast<char>(value));
  }
  void drop(std::uint16_t type) { attributes_.erase(type); }
  void drop_end_of_entry() {
    entry_.pop_back();
    attributes_.clear();
  }

  Result<UnixListener> parsed() {
    nlmsghdr *header = mnl_nlmsg_put_header(buffer_.data());
    std::memcpy(mnl_nlmsg_put_extra_header(header, entry_.size()), entry_.data(), entry_.size());
    if (attributes_.empty())
      header->nlmsg_len = static_cast<std::uint32_t>(MNL_NLMSG_HDRLEN + entry_.size());
    for (const auto &[type, payload] : attributes_)
      mnl_attr_put(header, type, payload.size(), payload.data());
    return parse_unix_listener(*header);
  }
  std::string address() {
    const auto listener = parsed();
    ck_assert(listener);
    return std::string(listener->address);
  }

private:
  std::vector<std::byte> entry_;
  std::map<std::uint16_t, std::string> attributes_;
  alignas(nlmsghdr) std::array<char, 1024> buffer_{};
};

std::string text_of(const TcpAddress &address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  inet_ntop(address.ipv6 ? AF_INET6 : AF_INET, address.bytes.data(), text.data(), text.size());
  return std::string(text.data()) + (address.device != 0 ? "%" : " ") +
         std::to_string(address.port);
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
  nlmsghdr *v6only = find_tcp_listener(datagrams, 1004);
  ck_assert(parse_tcp_listener(*v6only)->drops.has_value());
  ck_assert(parse_tcp_listener(*v6only)->address.v6only);
  attribute_of(v6only, INET_DIAG_SKMEMINFO)->nla_len = MNL_ATTR_HDRLEN + 8 * sizeof(std::uint32_t);
  ck_assert(!parse_tcp_listener(*v6only)->drops.has_value());
  ck_assert(parse_tcp_listener(*v6only)->address.v6only);
  attribute_of(v6only, INET_DIAG_SKV6ONLY)->nla_len = MNL_ATTR_HDRLEN;
  ck_assert(!parse_tcp_listener(*v6only)->address.v6only);
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

START_TEST(recorded_unix_dump_has_every_listener) {
  using namespace std::string_literals;
  struct Case {
    std::string address;
    std::uint32_t limit, length;
    bool file;
  };
  const Case cases[] = {
      {"/mnt/stream"s, 5, 2, true},
      {"/mnt/seqpacket"s, 3, 1, true},
      {"/mnt/full"s, 1, 2, true},
      {"/mnt/deleted"s, 4, 0, true}, // the file is there as long as the socket
      {"relative"s, 6, 0, true},
      {"\0abstract\0with\0NULs"s, 7, 1, false},
  };
  auto listeners = recorded_unix_listeners();
  std::map<std::uint64_t, std::string> by_cookie;
  std::map<std::uint32_t, std::string> by_file;
  for (const Case &expected : cases) {
    const auto found = listeners.find(expected.address);
    ck_assert_msg(found != listeners.end(), "no %s", expected.address.c_str());
    const UnixListener listener = found->second;
    ck_assert_uint_eq(listener.limit, expected.limit);
    ck_assert_uint_eq(listener.queue_length, expected.length);
    ck_assert_int_eq(listener.file_inode != 0, expected.file);
    ck_assert_int_eq(listener.file_device != 0, expected.file);
    ck_assert_uint_ne(listener.cookie, 0);
    ck_assert(by_cookie.emplace(listener.cookie, expected.address).second);
    if (expected.file)
      ck_assert(by_file.emplace(listener.file_inode, expected.address).second);
    listeners.erase(found);
  }

  ck_assert_uint_eq(listeners.size(), 1); // a NUL and five hex digits: autobind
  const auto &[name, autobound] = *listeners.begin();
  ck_assert_uint_eq(name.size(), 6);
  ck_assert_int_eq(name.front(), '\0');
  ck_assert_uint_eq(name.find_first_not_of("0123456789abcdef", 1), std::string::npos);
  ck_assert_uint_eq(autobound.limit, 8);
}
END_TEST

START_TEST(unix_path_ends_at_its_nul_or_with_its_attribute) {
  UnixMessage message;
  assert_text(message.address(), "/mnt/stream");
  message.shorten(UNIX_DIAG_NAME, 11); // without the NUL
  assert_text(message.address(), "/mnt/stream");
  message.shorten(UNIX_DIAG_NAME, 4);
  assert_text(message.address(), "/mnt");
  message.shorten(UNIX_DIAG_NAME, 0);
  assert_text(message.address(), "");
  message.drop(UNIX_DIAG_NAME);
  assert_text(message.address(), "");
}
END_TEST

START_TEST(unix_entry_without_a_queue_is_an_error) {
  UnixMessage message;
  ck_assert_uint_eq(message.parsed()->limit, 5);
  for (const std::size_t length : {7, 4, 0}) {
    message.shorten(UNIX_DIAG_RQLEN, length);
    ck_assert(!message.parsed());
    ck_assert_int_eq(message.parsed().error().code, EBADMSG);
  }
  message.drop(UNIX_DIAG_RQLEN);
  ck_assert(!message.parsed());
  ck_assert_int_eq(message.parsed().error().code, EBADMSG);
}
END_TEST

START_TEST(unix_entry_with_a_short_file_has_none) {
  UnixMessage message;
  ck_assert_uint_ne(message.parsed()->file_inode, 0);
  for (const std::size_t length : {7, 4, 0}) {
    message.shorten(UNIX_DIAG_VFS, length);
    const auto listener = message.parsed();
    ck_assert(listener);
    ck_assert_uint_eq(listener->file_inode, 0);
    ck_assert_uint_eq(listener->file_device, 0);
    assert_text(message.address(), "/mnt/stream");
    ck_assert_uint_eq(listener->queue_length, 2);
  }
}
END_TEST

START_TEST(unix_entry_says_whether_it_was_shut_down) {
  UnixMessage message;
  for (const std::uint8_t ended : {0, 1, 2, 3}) { // RCV_SHUTDOWN, SEND_SHUTDOWN
    message.set(UNIX_DIAG_SHUTDOWN, ended);
    ck_assert_int_eq(message.parsed()->is_shut_down, ended == 1 || ended == 3);
  }
  message.shorten(UNIX_DIAG_SHUTDOWN, 0);
  ck_assert(!message.parsed()->is_shut_down);
  message.drop(UNIX_DIAG_SHUTDOWN);
  ck_assert(!message.parsed()->is_shut_down);
}
END_TEST

START_TEST(unix_message_too_short_for_an_entry_is_an_error) {
  UnixMessage message;
  message.drop_end_of_entry();
  ck_assert(!message.parsed());
  ck_assert_int_eq(message.parsed().error().code, EBADMSG);
}
END_TEST

START_TEST(unix_attribute_beyond_its_message_is_not_read) {
  for (const std::uint16_t type : {UNIX_DIAG_NAME, UNIX_DIAG_VFS, UNIX_DIAG_RQLEN})
    for (const std::uint16_t length : {0, 3, 5000, 65535}) {
      std::vector<Datagram> datagrams = recorded("unix.bin");
      nlmsghdr *message = find_unix_listener(datagrams, "/mnt/stream");
      attribute_of<unix_diag_msg>(message, type)->nla_len = length;
      ck_assert(!parse_unix_listener(*message)); // the queue is among what is lost
    }
}
END_TEST

START_TEST(recorded_half_open_connections) {
  std::multiset<std::string> local;
  int fast_open = 0;
  for_each_message(recorded("half_open.bin"), [&](const nlmsghdr &message) {
    const auto connection = parse_half_open(message);
    ck_assert(connection);
    if (!connection->has_value()) {
      ++fast_open;
      return;
    }
    local.insert(text_of((*connection)->local));
  });
  ck_assert_int_eq(fast_open, 1);
  const std::multiset<std::string> expected{
      "127.0.0.1 2001", "127.0.0.1 2001", "::ffff:127.0.0.1 2002",
      "::1 2002",       "fe80::1%2002",   "127.0.0.1%2003",
  };
  for (const std::string &address : expected)
    ck_assert_msg(local.count(address) == expected.count(address), "%zu of %s",
                  local.count(address), address.c_str());
  ck_assert_uint_eq(local.size(), expected.size());
}
END_TEST

START_TEST(half_open_message_too_short_for_an_entry_is_an_error) {
  std::vector<Datagram> datagrams = recorded("half_open.bin");
  nlmsghdr *first = message_at(datagrams[0], 0);
  first->nlmsg_len = MNL_NLMSG_HDRLEN + sizeof(inet_diag_msg) - 4;
  const auto connection = parse_half_open(*first);
  ck_assert(!connection);
  ck_assert_int_eq(connection.error().code, EBADMSG);
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
  return run_tests(
      "sock_diag", recorded_dump_has_every_listener, both_requests_tell_the_same,

      message_too_short_for_an_entry_is_an_error, short_attributes_are_passed_over,
      attribute_beyond_its_message_is_not_read, drops_are_the_ninth_memory_word,
      recorded_unix_dump_has_every_listener, unix_path_ends_at_its_nul_or_with_its_attribute,
      unix_entry_without_a_queue_is_an_error, unix_entry_with_a_short_file_has_none,
      unix_entry_says_whether_it_was_shut_down, unix_message_too_short_for_an_entry_is_an_error,
      unix_attribute_beyond_its_message_is_not_read, recorded_half_open_connections,
      half_open_message_too_short_for_an_entry_is_an_error,
      live_kernel_answers_both_requests_alike);
}
