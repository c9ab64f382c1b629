#include "foreign_event.h"

#include "thread_cpu_time.h"
#include "unique_fd.h"

#include <algorithm>
#include <sys/socket.h>
#include <unistd.h>

namespace backlog {

namespace {

constexpr int batches = 16;
constexpr int events_of_a_batch = 100;

} // namespace

std::chrono::nanoseconds time_foreign_event() {
  int sockets[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sockets) != 0)
    return std::chrono::nanoseconds(0);
  const UniqueFd writer(sockets[0]);
  const UniqueFd reader(sockets[1]);
  char byte = 0;
  auto fastest = std::chrono::nanoseconds::max();
  for (int i = 0; i < batches; ++i) {
    const std::chrono::nanoseconds begin = thread_cpu_time();
    for (int k = 0; k < events_of_a_batch; ++k)
      if (write(writer.get(), &byte, 1) != 1 || read(reader.get(), &byte, 1) != 1)
        return std::chrono::nanoseconds(0);
    fastest = std::min(fastest, thread_cpu_time() - begin);
  }
  return fastest / events_of_a_batch;
}

} // namespace backlog
