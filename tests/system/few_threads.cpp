// To be preloaded into collectd: threads of a C++ library, thus none of collectd's own, that cannot
// be created while FEW_THREADS=FILE exists; but for so many, in all, as the file says.

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

namespace {

std::atomic<int> created{0};

bool may_create() {
  const char *path = std::getenv("FEW_THREADS");
  const int fd = path == nullptr ? -1 : open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return true;
  std::array<char, 16> text{};
  (void)read(fd, text.data(), text.size() - 1);
  close(fd);
  return created < std::atoi(text.data());
}

} // namespace

extern "C" int pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                              void *(*work)(void *), void *argument) {
  using Create = int (*)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
  static const auto next = reinterpret_cast<Create>(dlsym(RTLD_NEXT, "pthread_create"));
  Dl_info caller{};
  const bool counts = dladdr(__builtin_return_address(0), &caller) != 0 &&
                      std::strstr(caller.dli_fname, "libstdc++") != nullptr;
  if (counts && !may_create())
    return EAGAIN;
  created += counts ? 1 : 0;
  return next(thread, attributes, work, argument);
}
