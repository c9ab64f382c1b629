#include "kernel_file.h"

#include "unique_fd.h"

#include <cerrno>
#include <fcntl.h>

namespace backlog {

namespace {
constexpr std::size_t first_buffer_bytes = 8192; // both netstat and snmp fit
}

Result<std::string_view> KernelFile::read() {
  if (buffer_.empty())
    buffer_.resize(first_buffer_bytes);
  const UniqueFd fd(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd)
    return Error{errno, "open " + path_};

  std::size_t length = 0;
  for (;;) {
    if (length == buffer_.size())
      buffer_.resize(2 * buffer_.size());
    const ssize_t n = ::read(fd.get(), buffer_.data() + length, buffer_.size() - length);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return Error{errno, "read " + path_};
    if (n == 0)
      return std::string_view(buffer_.data(), length);
    length += static_cast<std::size_t>(n);
  }
}

} // namespace backlog
