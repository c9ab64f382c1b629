#include "unix_files.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unordered_map>
#include <vector>

namespace backlog {

namespace {

/// A file as sock_unix_diag.c tells of it: 32 bits of the inode, the device in kernel's encoding.
struct FileId {
  std::uint32_t inode;
  std::uint32_t device;
};

std::optional<FileId> file_of(const std::string &path) {
  constexpr unsigned minor_bits = 20; // include/linux/kdev_t.h
  struct stat status {};
  if (stat(path.c_str(), &status) != 0)
    return std::nullopt;
  return FileId{
      static_cast<std::uint32_t>(status.st_ino),
      static_cast<std::uint32_t>(major(status.st_dev) << minor_bits | minor(status.st_dev))};
}

} // namespace

void UnixFiles::add(const UnixListener &listener) {
  if (listener.file_inode != 0 && listener.address.starts_with('/'))
    files_[listener.cookie] = {std::string(listener.address), listener.file_inode,
                               listener.file_device};
}

void UnixFiles::look(FunctionRef<bool(std::uint64_t)> alive) {
  std::erase_if(files_, [&](const auto &file) { return !alive(file.first); });
  std::unordered_map<std::string_view, std::vector<std::uint64_t>> by_path;
  for (const auto &[cookie, file] : files_)
    by_path[file.path].push_back(cookie);

  replaced_.clear();
  for (const auto &[path, cookies] : by_path) {
    if (cookies.size() < 2)
      continue;
    const auto current = file_of(std::string(path));
    const auto is_current = [&](std::uint64_t cookie) {
      const File &file = files_.at(cookie);
      return current && file.inode == current->inode && file.device == current->device;
    };
    if (std::none_of(cookies.begin(), cookies.end(), is_current))
      continue;
    std::copy_if(cookies.begin(), cookies.end(), std::inserter(replaced_, replaced_.end()),
                 [&](std::uint64_t cookie) { return !is_current(cookie); });
  }
}

} // namespace backlog
