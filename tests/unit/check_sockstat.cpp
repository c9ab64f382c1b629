#include "sockstat.h"
#include "test_program.h"
#include "unique_fd.h"

#include <cerrno>
#include <string>
#include <sys/socket.h>
#include <vector>

using namespace backlog;

START_TEST(sockets_are_those_of_the_host) {
  struct Text {
    const char *text = nullptr;
    std::optional<std::uint64_t> sockets;
  };
  constexpr const char *usual = "sockets: used 16\nTCP: inuse 1 orphan 2 tw 30 alloc 400 mem 5000\n"
                                "UDP: inuse 7 mem 8\nFRAG: inuse 0 memory 0\n";
  const Text texts[] = {
      {usual, 430},
      {"TCP: inuse 1 orphan 2 tw 30 alloc 18446744073709551 mem 1", 18446744073709581},
      {"TCP: alloc 400\n", 400},
      {"TCP: alloc 400 tw", 400},
      {"sockets: used 16\nUDP: alloc 400 tw 1\n", std::nullopt},
      {"TCP: inuse 1 orphan 2 tw 30\nUDP: alloc 400\n", std::nullopt},
      {"TCP: inuse 1 alloc -1\n", std::nullopt},
      {"TCP:", std::nullopt},
      {"", std::nullopt},
  };
  for (const Text &text : texts)
    ck_assert_msg(parse_tcp_sockets(text.text) == text.sockets, "%s", text.text);
}
END_TEST

START_TEST(live_kernel_counts_its_sockets) {
  constexpr std::size_t count = 50;
  std::vector<UniqueFd> sockets;
  for (std::size_t i = 0; i < count; ++i) {
    sockets.emplace_back(::socket(i % 2 == 0 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!sockets.back())
      return;
  }
  const auto read = TcpSocketsReader().read();
  ck_assert(read);
  ck_assert_uint_ge(*read, count);
}
END_TEST

int main() {
  return run_tests("sockstat", sockets_are_those_of_the_host, live_kernel_counts_its_sockets);
}
