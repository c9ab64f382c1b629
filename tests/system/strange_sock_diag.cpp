// Preloaded into collectd, this makes sock_diag behave as it does on strange hosts:
//   STRANGE_SOCK_DIAG_LATE=FILE       answers take six seconds, or as long as FILE exists
//   STRANGE_SOCK_DIAG_REFUSED=FILE    requests are refused, as by SELinux, while FILE exists
//   STRANGE_SOCK_DIAG_UNIX_REFUSED=1  those about Unix sockets are refused, likewise
//   STRANGE_SOCK_DIAG_NO_UNIX=1       they are answered as by a kernel without unix_diag
//   STRANGE_SOCK_DIAG_NO_TCP=1        requests by family about TCP, as by one without tcp_diag
//   STRANGE_SOCK_DIAG_ASKED=FILE      a byte is appended there for each request of the sampler's
//                                     thread that one of these two makes fail
//   STRANGE_SOCK_DIAG_EACH_FAMILY=1   TCPDIAG_GETSOCK is an unknown request
//   STRANGE_SOCK_DIAG_NO_NETSTAT=FILE the kernel's counters cannot be opened while FILE exists
//   STRANGE_SOCK_DIAG_DEAD_MOUNT=PATH who looks at it waits for good
//   STRANGE_SOCK_DIAG_THEN_SYN=PORT   one SYN is sent there when the sampler's thread has received
//                                     a dump, after each fifth

#include <cerrno>
#include <cstdarg>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

namespace {

constexpr timespec look_every{.tv_sec = 0, .tv_nsec = 50000000};
constexpr int late_looks = 120;
constexpr unsigned short unknown_request = NLMSG_MIN_TYPE;

bool is_sock_diag(int fd) {
  int domain = 0;
  int protocol = 0;
  socklen_t length = sizeof(int);
  return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0 && domain == AF_NETLINK &&
         getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &length) == 0 &&
         protocol == NETLINK_SOCK_DIAG;
}

bool triggered(const char *variable) {
  const char *file = std::getenv(variable);
  return file != nullptr && access(file, F_OK) == 0;
}

/// sdiag_family, with which every request by family begins; nullptr: another request.
char *family_of(std::vector<char> &request) {
  nlmsghdr header{};
  std::memcpy(&header, request.data(), sizeof header);
  return header.nlmsg_type == SOCK_DIAG_BY_FAMILY && request.size() > NLMSG_HDRLEN
             ? request.data() + NLMSG_HDRLEN
             : nullptr;
}

bool is_sampler() {
  char name[16] = "";
  return prctl(PR_GET_NAME, name) == 0 && std::strcmp(name, "backlog sampler") == 0;
}

bool ends_dump(const msghdr &message, ssize_t received) {
  auto left = static_cast<unsigned>(received < 0 ? 0 : received);
  const auto *header = static_cast<const nlmsghdr *>(message.msg_iov->iov_base);
  for (; NLMSG_OK(header, left); header = NLMSG_NEXT(header, left))
    if (header->nlmsg_type == NLMSG_DONE)
      return true;
  return false;
}

/// Closed at once, so that it is not repeated.
void send_syn(const char *port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<unsigned short>(std::atoi(port)));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int client = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  (void)connect(client, reinterpret_cast<const sockaddr *>(&address), sizeof address);
  close(client);
}

void note_asked() {
  const char *file = std::getenv("STRANGE_SOCK_DIAG_ASKED");
  const int fd = file == nullptr || !is_sampler()
                     ? -1
                     : open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0)
    return;
  (void)!write(fd, "?", 1);
  close(fd);
}

void wait_if_dead(const char *file) {
  const char *dead = std::getenv("STRANGE_SOCK_DIAG_DEAD_MOUNT");
  while (dead != nullptr && std::strcmp(file, dead) == 0)
    pause();
}

template <class Function> Function *next(Function * /*type*/, const char *name) {
  return reinterpret_cast<Function *>(dlsym(RTLD_NEXT, name));
}

} // namespace

#pragma GCC visibility push(default)
extern "C" {

int stat(const char *file, struct stat *buffer) {
  static auto *const real = next(&stat, "stat");
  wait_if_dead(file);
  return real(file, buffer);
}

int open(const char *file, int oflag, ...) {
  static auto *const real = next(&open, "open");
  wait_if_dead(file);
  if (std::strcmp(file, "/proc/thread-self/net/netstat") == 0 &&
      triggered("STRANGE_SOCK_DIAG_NO_NETSTAT")) {
    errno = EACCES;
    return -1;
  }
  va_list arguments;
  va_start(arguments, oflag);
  const bool has_mode = (oflag & O_CREAT) != 0 || (oflag & O_TMPFILE) == O_TMPFILE;
  const mode_t mode = has_mode ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  return real(file, oflag, mode);
}

ssize_t recvmsg(int fd, msghdr *message, int flags) {
  static auto *const real = next(&recvmsg, "recvmsg");
  if (is_sock_diag(fd))
    for (int i = 0; i < late_looks && triggered("STRANGE_SOCK_DIAG_LATE"); ++i)
      (void)nanosleep(&look_every, nullptr);
  const ssize_t received = real(fd, message, flags);
  static int dumps = 0; // of the sampler's thread
  if (const char *port = std::getenv("STRANGE_SOCK_DIAG_THEN_SYN"); port != nullptr)
    if (is_sock_diag(fd) && is_sampler() && ends_dump(*message, received) && ++dumps % 5 == 0)
      send_syn(port);
  return received;
}

ssize_t sendto(int fd, const void *buf, std::size_t n, int flags, const sockaddr *addr,
               socklen_t addr_len) {
  static auto *const real = next(&sendto, "sendto");
  nlmsghdr request{};
  if (n < sizeof request || !is_sock_diag(fd))
    return real(fd, buf, n, flags, addr, addr_len);
  if (triggered("STRANGE_SOCK_DIAG_REFUSED")) {
    errno = EACCES;
    return -1;
  }
  std::memcpy(&request, buf, sizeof request);
  const bool no_tcp = std::getenv("STRANGE_SOCK_DIAG_NO_TCP") != nullptr;
  if (request.nlmsg_type == TCPDIAG_GETSOCK &&
      (no_tcp || std::getenv("STRANGE_SOCK_DIAG_EACH_FAMILY") != nullptr))
    request.nlmsg_type = unknown_request;
  const auto *bytes = static_cast<const char *>(buf);
  std::vector<char> changed(bytes, bytes + n);
  std::memcpy(changed.data(), &request, sizeof request);
  if (char *family = family_of(changed); family != nullptr && *family == AF_UNIX) {
    if (std::getenv("STRANGE_SOCK_DIAG_UNIX_REFUSED") != nullptr) {
      errno = EACCES;
      return -1;
    }
  }
  if (char *family = family_of(changed); family != nullptr)
    if (*family == AF_UNIX ? std::getenv("STRANGE_SOCK_DIAG_NO_UNIX") != nullptr : no_tcp) {
      *family = AF_UNSPEC; // for which no kernel has a handler: ENOENT
      note_asked();
    }
  return real(fd, changed.data(), n, flags, addr, addr_len);
}
}
#pragma GCC visibility pop
