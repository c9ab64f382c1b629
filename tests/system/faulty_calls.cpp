// Preloaded into collectd, this makes system calls of the plugin fail: those of its two threads,
// and what backlog.so does on collectd's.
//
//   FAULTY_CALLS=FILE   64 bytes, which the test changes while collectd runs: struct Order below
//
// The call itself is not made, so that nothing stays open that nobody knows of.

#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace {

struct Order {
  char call[32];       ///< name of the function; of syscall() futex, bpf or perf_event_open
  std::int32_t error;  ///< errno; of clock_gettime seconds that the wall clock is ahead
  std::uint32_t every; ///< 1: each call fails, 3: every third; 0: none
  std::uint64_t asked; ///< calls so far
  std::uint64_t failed;
};
static_assert(sizeof(Order) == 56);

template <class Function> Function *next(Function * /*type*/, const char *name) {
  return reinterpret_cast<Function *>(dlsym(RTLD_NEXT, name));
}

Order *map_order() {
  const char *path = std::getenv("FAULTY_CALLS");
  const int fd = path == nullptr ? -1 : next(&open, "open")(path, O_RDWR | O_CLOEXEC);
  if (fd < 0)
    return nullptr;
  void *memory =
      next(&mmap, "mmap")(nullptr, sizeof(Order), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  return memory == MAP_FAILED ? nullptr : static_cast<Order *>(memory);
}

/// The C++ library asks for the time in the plugin's place; collectd has no C++.
bool is_of_plugin(const void *caller) {
  char name[16] = "";
  if (prctl(PR_GET_NAME, name) == 0 && std::strncmp(name, "backlog ", 8) == 0)
    return true;
  Dl_info info{};
  return dladdr(caller, &info) != 0 && (std::strstr(info.dli_fname, "/backlog.so") != nullptr ||
                                        std::strstr(info.dli_fname, "/libstdc++.so") != nullptr);
}

Order *the_order() {
  static Order *const order = map_order();
  return order;
}

/// Whether the order is about this call, and it is this one's turn.
bool is_due(const char *call, const void *caller) {
  Order *const order = the_order();
  if (order == nullptr || __atomic_load_n(&order->every, __ATOMIC_ACQUIRE) == 0 ||
      std::strcmp(order->call, call) != 0 || !is_of_plugin(caller))
    return false;
  const std::uint64_t asked = __atomic_add_fetch(&order->asked, 1, __ATOMIC_RELAXED);
  const std::uint32_t every = __atomic_load_n(&order->every, __ATOMIC_ACQUIRE);
  if (every == 0 || asked % every != 0)
    return false;
  __atomic_add_fetch(&order->failed, 1, __ATOMIC_RELAXED);
  errno = order->error;
  return true;
}

bool has_mode(int flags) { return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE; }

/// What is received is of another exchange.
void make_foreign(const msghdr &message, ssize_t length) {
  if (length < static_cast<ssize_t>(sizeof(nlmsghdr)))
    return;
  static_cast<nlmsghdr *>(message.msg_iov->iov_base)->nlmsg_seq ^= 0x5a5a;
}

const char *name_of(long number) {
  switch (number) {
  case SYS_futex:
    return "futex";
  case SYS_bpf:
    return "bpf";
  case SYS_perf_event_open:
    return "perf_event_open";
  default:
    return "syscall";
  }
}

} // namespace

// A function that fails by `failure` when it is due, and is the next one of its name otherwise.
#define FAULTY(result, name, failure, parameters, arguments)                                       \
  extern "C" __attribute__((visibility("default"))) result name parameters {                       \
    static auto *const real = next(&name, #name);                                                  \
    return is_due(#name, __builtin_return_address(0)) ? (failure) : real arguments;                \
  }

FAULTY(int, socket, -1, (int domain, int type, int protocol), (domain, type, protocol))
FAULTY(int, bind, -1, (int fd, const sockaddr *address, socklen_t length), (fd, address, length))
FAULTY(int, getsockname, -1, (int fd, sockaddr *address, socklen_t *length), (fd, address, length))
FAULTY(int, setsockopt, -1, (int fd, int level, int name, const void *value, socklen_t length),
       (fd, level, name, value, length))
FAULTY(ssize_t, sendto, -1,
       (int fd, const void *bytes, std::size_t size, int flags, const sockaddr *address,
        socklen_t length),
       (fd, bytes, size, flags, address, length))
FAULTY(ssize_t, recv, -1, (int fd, void *bytes, std::size_t size, int flags),
       (fd, bytes, size, flags))
FAULTY(ssize_t, read, -1, (int fd, void *bytes, std::size_t size), (fd, bytes, size))
FAULTY(ssize_t, pread, -1, (int fd, void *bytes, std::size_t size, off_t offset),
       (fd, bytes, size, offset))
FAULTY(ssize_t, write, -1, (int fd, const void *bytes, std::size_t size), (fd, bytes, size))
FAULTY(int, poll, -1, (pollfd * waited, nfds_t count, int timeout), (waited, count, timeout))
FAULTY(int, eventfd, -1, (unsigned count, int flags), (count, flags))
FAULTY(int, setns, -1, (int fd, int type), (fd, type))
FAULTY(int, stat, -1, (const char *path, struct stat *result), (path, result))
FAULTY(int, fstat, -1, (int fd, struct stat *result), (fd, result))
FAULTY(int, statfs, -1, (const char *path, struct statfs *result), (path, result))
FAULTY(int, fstatfs, -1, (int fd, struct statfs *result), (fd, result))
FAULTY(int, access, -1, (const char *path, int mode), (path, mode))
FAULTY(ssize_t, readlink, -1, (const char *path, char *text, std::size_t size), (path, text, size))
FAULTY(ssize_t, readlinkat, -1, (int folder, const char *path, char *text, std::size_t size),
       (folder, path, text, size))
FAULTY(DIR *, opendir, nullptr, (const char *path), (path))
FAULTY(DIR *, fdopendir, nullptr, (int fd), (fd))
FAULTY(dirent *, readdir, nullptr, (DIR * folder), (folder))
FAULTY(ssize_t, getdents64, -1, (int fd, void *bytes, std::size_t size), (fd, bytes, size))
FAULTY(int, open_by_handle_at, -1, (int mount, file_handle *handle, int flags),
       (mount, handle, flags))
FAULTY(int, fchmod, -1, (int fd, mode_t mode), (fd, mode))
FAULTY(int, renameat, -1, (int from, const char *path, int to, const char *name),
       (from, path, to, name))
FAULTY(int, unlinkat, -1, (int folder, const char *path, int flags), (folder, path, flags))
FAULTY(void *, mmap, MAP_FAILED,
       (void *address, std::size_t size, int protection, int flags, int fd, off_t offset),
       (address, size, protection, flags, fd, offset))

extern "C" {

__attribute__((visibility("default"))) int open(const char *path, int flags, ...) {
  static auto *const real = next(&open, "open");
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = has_mode(flags) ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  return is_due("open", __builtin_return_address(0)) ? -1 : real(path, flags, mode);
}

__attribute__((visibility("default"))) int openat(int folder, const char *path, int flags, ...) {
  static auto *const real = next(&openat, "openat");
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = has_mode(flags) ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  return is_due("openat", __builtin_return_address(0)) ? -1 : real(folder, path, flags, mode);
}

/// Of the wall clock; it does not fail, but is ahead.
__attribute__((visibility("default"))) int clock_gettime(clockid_t clock, timespec *time) {
  static auto *const real = next(&clock_gettime, "clock_gettime");
  const int result = real(clock, time);
  if (clock == CLOCK_REALTIME && is_due("clock_gettime", __builtin_return_address(0)))
    time->tv_sec += the_order()->error;
  return result;
}

/// The answers are received in any case, but for recvmsg itself: foreign, and cut in the middle.
__attribute__((visibility("default"))) ssize_t recvmsg(int fd, msghdr *message, int flags) {
  static auto *const real = next(&recvmsg, "recvmsg");
  const void *caller = __builtin_return_address(0);
  if (is_due("recvmsg", caller))
    return -1;
  const ssize_t length = real(fd, message, flags);
  if (length > 0 && is_due("foreign_answer", caller))
    make_foreign(*message, length);
  return length > 0 && is_due("short_answer", caller) ? length / 2 : length;
}

__attribute__((visibility("default"))) long syscall(long number, ...) {
  static auto *const real = next(&syscall, "syscall");
  va_list arguments;
  va_start(arguments, number);
  std::array<long, 6> given{};
  for (long &argument : given)
    argument = va_arg(arguments, long);
  va_end(arguments);
  // To wake somebody up fails for nobody: only the waits do.
  const bool wakes = number == SYS_futex && (given[1] & FUTEX_CMD_MASK) == FUTEX_WAKE;
  if (!wakes && is_due(name_of(number), __builtin_return_address(0)))
    return -1;
  return real(number, given[0], given[1], given[2], given[3], given[4], given[5]);
}
}
