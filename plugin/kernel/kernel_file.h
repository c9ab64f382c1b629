#pragma once

#include "result.h"

#include <string>
#include <string_view>

namespace backlog {

/// A text file of /proc or /proc/sys. It is opened anew for each reading, because an open
/// descriptor of /proc/thread-self/net keeps a deleted net namespace alive.
class KernelFile {
public:
  explicit KernelFile(std::string path) : path_(std::move(path)) {}

  /// Returns the whole text, valid until the next read(). Allocates only when the file has grown.
  Result<std::string_view> read();

  const std::string &path() const { return path_; }

private:
  std::string path_;
  std::string buffer_;
};

} // namespace backlog
