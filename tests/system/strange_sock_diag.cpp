// Preloaded into collectd, this makes sock_diag behave as it does on strange hosts:
//   STRANGE_SOCK_DIAG_LATE=FILE       answers take three seconds while FILE exists
//   STRANGE_SOCK_DIAG_REFUSED=FILE    requests are refused, as by SELinux, while FILE exists
//   STRANGE_SOCK_DIAG_UNIX_REFUSED=1  those about Unix sockets are refused, likewise
//   STRANGE_SOCK_DIAG_NO_UNIX=1       they are answered as by a kernel without unix_diag
//   STRANGE_SOCK_DIAG_EACH_FAMILY=1   TCPDIAG_GETSOCK is an unknown request

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <dlfcn.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

namespace {

constexpr timespec lateness{.tv_sec = 3, .tv_nsec = 0};
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

template <class Function> Function *next(Function * /*type*/, const char *name) {
  return reinterpret_cast<Function *>(dlsym(RTLD_NEXT, name));
}

} // namespace

#pragma GCC visibility push(default)
extern "C" {

ssize_t recvmsg(int fd, msghdr *message, int flags) {
  static auto *const real = next(&recvmsg, "recvmsg");
  if (is_sock_diag(fd) && triggered("STRANGE_SOCK_DIAG_LATE")) {
    timespec left = lateness;
    while (nanosleep(&left, &left) != 0) {
    }
  }
  return real(fd, message, flags);
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
  if (request.nlmsg_type == TCPDIAG_GETSOCK &&
      std::getenv("STRANGE_SOCK_DIAG_EACH_FAMILY") != nullptr)
    request.nlmsg_type = unknown_request;
  const auto *bytes = static_cast<const char *>(buf);
  std::vector<char> changed(bytes, bytes + n);
  std::memcpy(changed.data(), &request, sizeof request);
  if (char *family = family_of(changed); family != nullptr && *family == AF_UNIX) {
    if (std::getenv("STRANGE_SOCK_DIAG_UNIX_REFUSED") != nullptr) {
      errno = EACCES;
      return -1;
    }
    if (std::getenv("STRANGE_SOCK_DIAG_NO_UNIX") != nullptr)
      *family = AF_UNSPEC; // for which no kernel has a handler: ENOENT
  }
  return real(fd, changed.data(), n, flags, addr, addr_len);
}
}
#pragma GCC visibility pop
