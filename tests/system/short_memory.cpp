// To be preloaded into collectd: memory that runs out now and then.
//
//   SHORT_MEMORY_RATE=FILE    holds how many of a million allocations fail while it exists: those
//   by
//                             operator new, and in the plugin's threads those by malloc(), too
//   SHORT_MEMORY_FAILED=FILE  a byte is appended there for each one that has failed

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <new>
#include <sys/prctl.h>
#include <unistd.h>

extern "C" void *__libc_malloc(std::size_t size); // NOLINT(bugprone-reserved-identifier)

namespace {

constexpr std::uint32_t million = 1000000;
constexpr std::uint32_t look_every = 64; // allocations of a thread

thread_local std::uint32_t until_look = 0;
thread_local std::uint32_t rate = 0;
thread_local std::uint32_t random_state = 0;

std::uint32_t read_rate() {
  const char *path = std::getenv("SHORT_MEMORY_RATE");
  const int fd = path == nullptr ? -1 : open(path, O_RDONLY | O_CLOEXEC);
  char text[16] = "";
  const ssize_t length = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
  if (fd >= 0)
    close(fd);
  return length <= 0 ? 0 : static_cast<std::uint32_t>(std::atol(text));
}

void note_failure() {
  const char *path = std::getenv("SHORT_MEMORY_FAILED");
  const int fd = path == nullptr ? -1 : open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0)
    return;
  (void)!write(fd, "!", 1);
  close(fd);
}

std::uint32_t random_number() { // xorshift
  if (random_state == 0)
    random_state = static_cast<std::uint32_t>(gettid()) * 2654435761U | 1U;
  random_state ^= random_state << 13U;
  random_state ^= random_state >> 17U;
  random_state ^= random_state << 5U;
  return random_state;
}

bool fails() {
  if (until_look == 0) {
    until_look = look_every;
    rate = read_rate();
  }
  --until_look;
  if (rate == 0 || random_number() % million >= rate)
    return false;
  note_failure();
  return true;
}

bool is_of_plugin() {
  char name[16] = "";
  return prctl(PR_GET_NAME, name) == 0 && std::strncmp(name, "backlog ", 8) == 0;
}

} // namespace

#pragma GCC visibility push(default)
extern "C" void *malloc(std::size_t size) {
  return is_of_plugin() && fails() ? nullptr : __libc_malloc(size);
}

void *operator new(std::size_t size, const std::nothrow_t & /*tag*/) noexcept {
  return fails() ? nullptr : __libc_malloc(size);
}

void *operator new(std::size_t size) {
  if (void *memory = operator new(size, std::nothrow))
    return memory;
  throw std::bad_alloc();
}
#pragma GCC visibility pop
