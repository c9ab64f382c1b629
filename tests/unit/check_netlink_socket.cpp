#include "netlink_socket.h"

#include "recorded_dump.h"
#include "test_program.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>

using namespace backlog;

namespace {

struct Answer {
  bool done = false;
  int error = 0;
};

Answer read_all(const std::vector<Datagram> &datagrams) {
  const DumpReader reader(recorded_sequence, recorded_port_id);
  Answer answer;
  for (const Datagram &datagram : datagrams) {
    const auto progress = reader.take(datagram, [](const nlmsghdr &) {});
    if (!progress) {
      answer.error = progress.error().code;
      break;
    }
    answer.done = *progress == DumpReader::Progress::done;
  }
  return answer;
}

} // namespace

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

START_TEST(a_length_that_no_datagram_has_is_an_error) {
  for (const std::uint32_t length :
       {0U, 1U, 15U, 0x7fffffffU, 0x80000000U, 0x80000010U, 0xfffffff0U, 0xfffffffdU, 0xffffffffU})
    for (const bool is_last : {false, true}) {
      std::vector<Datagram> datagrams{recorded("both_families.bin").front()};
      std::size_t offset = 0;
      if (is_last) {
        offset = datagrams[0].size();
        datagrams[0].resize(offset + MNL_NLMSG_HDRLEN);
        std::memcpy(&datagrams[0][offset], &datagrams[0][0], MNL_NLMSG_HDRLEN);
      }
      datagrams[0].shrink_to_fit();
      message_at(datagrams[0], offset)->nlmsg_len = length;
      const Answer answer = read_all(datagrams);
      ck_assert_msg(answer.error == EBADMSG, "length %x: %d", length, answer.error);
      ck_assert(!answer.done);
    }
}
END_TEST

START_TEST(an_error_that_no_kernel_has_is_an_error) {
  struct Case {
    int code, error;
  };
  for (const Case &c : {Case{-4095, 4095}, Case{-4096, EBADMSG}, Case{INT_MIN + 1, EBADMSG},
                        Case{INT_MIN, EBADMSG}}) {
    std::vector<Datagram> datagrams = recorded("no_family_handler.bin");
    std::memcpy(datagrams[0].data() + MNL_NLMSG_HDRLEN, &c.code, sizeof c.code);
    ck_assert_int_eq(read_all(datagrams).error, c.error);
  }
}
END_TEST

START_TEST(live_kernel_answers_one_request_after_another) {
  auto socket = NetlinkSocket::open({.number = NETLINK_ROUTE, .name = "rtnetlink"});
  ck_assert(socket);
  for (int i = 0; i < 3; ++i) {
    alignas(nlmsghdr) std::array<char, MNL_NLMSG_HDRLEN + MNL_ALIGN(sizeof(ifinfomsg))> bytes{};
    nlmsghdr *request = mnl_nlmsg_put_header(bytes.data());
    mnl_nlmsg_put_extra_header(request, sizeof(ifinfomsg));
    request->nlmsg_type = RTM_GETLINK;
    int links = 0;
    const auto count = [&links](const nlmsghdr &message) {
      links += static_cast<int>(message.nlmsg_type == RTM_NEWLINK);
    };
    const Failure failure = socket->dump(*request, count);
    ck_assert_msg(!failure, "%s", failure ? failure->message().c_str() : "");
    ck_assert_int_gt(links, 0); // lo
  }
  NetlinkSocket::Buffer buffer = socket->take_buffer();
  ck_assert(!buffer.empty());
}
END_TEST

START_TEST(an_error_names_the_protocol) {
  const auto socket = NetlinkSocket::open({.number = 31, .name = "nobodys"}); // MAX_LINKS is 32
  ck_assert(!socket);
  ck_assert_str_eq(socket.error().what.c_str(), "open nobodys socket");
}
END_TEST

int main() {
  return run_tests(
      "netlink_socket", missing_protocol_handler_is_an_error, error_message_is_an_error,
      interrupted_dump_is_an_error, other_exchanges_are_refused, truncated_datagram_is_an_error,
      a_length_that_no_datagram_has_is_an_error, an_error_that_no_kernel_has_is_an_error,
      live_kernel_answers_one_request_after_another, an_error_names_the_protocol);
}
