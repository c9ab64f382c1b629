#include "unix_files.h"

#include <algorithm>
#include <optional>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <utility>

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
  if (listener.file_inode == 0 || !listener.address.starts_with('/'))
    return;
  std::string path(listener.address);
  if (!files_.try_emplace(listener.cookie, File{path, listener.file_inode, listener.file_device})
           .second)
    return;
  std::vector<std::uint64_t> &listeners = listeners_[path];
  listeners.push_back(listener.cookie);
  if (listeners.size() == 1)
    return;
  shared_.insert(path);
  changed_.push_back(std::move(path));
}

void UnixFiles::remove(std::uint64_t cookie) {
  const auto file = files_.find(cookie);
  if (file == files_.end())
    return;
  std::string path = std::move(file->second.path);
  files_.erase(file);
  replaced_.erase(cookie);
  const auto listeners = listeners_.find(path);
  std::erase(listeners->second, cookie);
  if (listeners->second.empty()) {
    listeners_.erase(listeners);
    return;
  }
  if (listeners->second.size() == 1)
    shared_.erase(path);
  changed_.push_back(std::move(path));
}

bool UnixFiles::look() {
  bool changed = false;
  for (const std::string &path : changed_)
    changed = look_at(path) || changed;
  changed_.clear();
  return changed;
}

bool UnixFiles::look_at_all() {
  bool changed = look();
  for (const std::string &path : shared_)
    changed = look_at(path) || changed;
  return changed;
}

bool UnixFiles::look_at(const std::string &path) {
  const auto found = listeners_.find(path);
  if (found == listeners_.end())
    return false;
  const std::vector<std::uint64_t> &listeners = found->second;
  const std::optional<FileId> current =
      listeners.size() > 1 ? file_of(path) : std::optional<FileId>();
  const auto is_current = [&](std::uint64_t cookie) {
    const File &file = files_.at(cookie);
    return current && file.inode == current->inode && file.device == current->device;
  };
  const bool any = std::any_of(listeners.begin(), listeners.end(), is_current);
  bool changed = false;
  for (const std::uint64_t cookie : listeners)
    changed = set_replaced(cookie, any && !is_current(cookie)) || changed;
  return changed;
}

bool UnixFiles::set_replaced(std::uint64_t cookie, bool replaced) {
  return replaced ? replaced_.insert(cookie).second : replaced_.erase(cookie) > 0;
}

} // namespace backlog
