#include "unix_paths.h"

#include "thread_folder.h"
#include "unique_fd.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <map>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <tuple>
#include <unistd.h>
#include <utility>

namespace backlog {

namespace {

// Looks in one update; each takes about 3 us.
constexpr std::size_t most_looks = 2000;
// Folders searched in one update, and entries read of a folder.
constexpr unsigned most_folders = 16;
constexpr std::size_t most_entries = 4096;
constexpr unsigned most_looks_without_owner = 3;

enum class Lookup : std::uint8_t { leads_to_it, leads_elsewhere, refused };

/// Whether the file system shows in stat() another device than the one in the kernel's super block.
bool has_devices_of_its_own(int fd) {
  constexpr auto btrfs = static_cast<decltype(statfs::f_type)>(BTRFS_SUPER_MAGIC);
  constexpr auto overlayfs = static_cast<decltype(statfs::f_type)>(OVERLAYFS_SUPER_MAGIC);
  struct statfs file_system {};
  return fstatfs(fd, &file_system) == 0 &&
         (file_system.f_type == btrfs || file_system.f_type == overlayfs);
}

/// sock_unix_diag.c sends 32 bits of the inode, and the device in the kernel's encoding.
bool is_file(int fd, const struct stat &status, const UnixFile &file) {
  constexpr unsigned minor_bits = 20; // defined in include/linux/kdev_t.h
  if (!S_ISSOCK(status.st_mode) || static_cast<std::uint32_t>(status.st_ino) != file.inode)
    return false;
  const auto device =
      static_cast<std::uint32_t>(major(status.st_dev) << minor_bits | minor(status.st_dev));
  return device == file.device || has_devices_of_its_own(fd);
}

std::string_view folder_of(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return slash == 0 ? path.substr(0, 1) : path.substr(0, slash);
}

std::string link_text(const std::string &link) {
  std::array<char, PATH_MAX> text{};
  const ssize_t length = readlink(link.c_str(), text.data(), text.size());
  return {text.data(), length < 0 ? 0 : static_cast<std::size_t>(length)};
}

/// The inode in the link of a namespace: "mnt:[4026531841]".
std::string namespace_inode(const std::string &link) {
  const std::string text = link_text(link);
  const std::size_t begin = text.find('[');
  return begin == std::string::npos ? "" : text.substr(begin + 1, text.find(']') - begin - 1);
}

bool is_number(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

} // namespace

/// The file system as the calling thread sees it, or as a process sees it, which may have another
/// root and other mounts.
struct UnixPaths::View {
  UniqueFd root; ///< empty for the calling thread's

  /// Opens a descriptor that only refers to the file.
  UniqueFd open(const std::string &path, int flags) const {
    if (!root)
      return UniqueFd(::open(path.c_str(), flags | O_CLOEXEC));
    // Another process's symbolic links must be resolved below its root.
    open_how how{};
    how.flags = static_cast<decltype(how.flags)>(flags | O_CLOEXEC);
    how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    const long fd = syscall(SYS_openat2, root.get(), path.c_str(), &how, sizeof how);
    if (fd >= 0 || (errno != ENOSYS && errno != EPERM))
      return UniqueFd(static_cast<int>(fd));
    return UniqueFd(openat(root.get(), path.c_str() + 1, flags | O_CLOEXEC));
  }

  Lookup look_at(const std::string &path, const UnixFile &file) const {
    const UniqueFd fd = open(path, O_PATH);
    struct stat status {};
    if (fd && fstat(fd.get(), &status) == 0)
      return is_file(fd.get(), status, file) ? Lookup::leads_to_it : Lookup::leads_elsewhere;
    return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? Lookup::leads_elsewhere
                                                                 : Lookup::refused;
  }

  /// Returns the first match in order of names.
  std::string find_in_folder(const std::string &folder, const UnixFile &file) const {
    const UniqueFd fd = open(folder, O_RDONLY | O_DIRECTORY);
    const int copy = fd ? fcntl(fd.get(), F_DUPFD_CLOEXEC, 0) : -1;
    DIR *entries = copy >= 0 ? fdopendir(copy) : nullptr;
    if (entries == nullptr) {
      if (copy >= 0)
        close(copy);
      return "";
    }
    std::string first;
    for (std::size_t count = 0; count < most_entries; ++count) {
      const dirent64 *entry = readdir64(entries);
      if (entry == nullptr)
        break;
      if (static_cast<std::uint32_t>(entry->d_ino) != file.inode ||
          (entry->d_type != DT_SOCK && entry->d_type != DT_UNKNOWN))
        continue;
      std::string path = folder + (folder == "/" ? "" : "/") + entry->d_name;
      if ((first.empty() || path < first) && look_at(path, file) == Lookup::leads_to_it)
        first = std::move(path);
    }
    closedir(entries);
    return first;
  }

  std::optional<std::pair<dev_t, ino_t>> folder_id(const std::string &path) const {
    const UniqueFd fd = open(std::string(folder_of(path)), O_PATH | O_DIRECTORY);
    struct stat status {};
    if (!fd || fstat(fd.get(), &status) != 0)
      return std::nullopt;
    return std::pair(status.st_dev, status.st_ino);
  }
};

std::string path_without_temporary_suffix(std::string_view path) {
  const auto last_part = [&path] { return path.substr(std::min(path.rfind('.'), path.size())); };
  const std::size_t size = path.size();
  for (const std::string_view suffix : {".tmp", ".new"})
    if (path.ends_with(suffix)) {
      path.remove_suffix(suffix.size());
      break;
    }
  if (const std::string_view part = last_part();
      is_number(part.substr(std::min<std::size_t>(part.size(), 1))))
    path.remove_suffix(part.size());
  return path.size() == size || path.ends_with('/') ? "" : std::string(path);
}

UnixPaths::UnixPaths(std::vector<std::string> watched, std::string proc_root)
    : watched_(std::move(watched)), proc_root_(std::move(proc_root)) {}

void UnixPaths::add(std::span<const UnixFile> files) {
  look_at_watched();
  folders_left_ = 0;
  for (const UnixFile &file : files) {
    const auto [place, is_new] = entries_.try_emplace(file.cookie);
    if (!is_new)
      continue;
    Entry &entry = place->second;
    entry.file = file;
    entry.seen = updates_;
    (void)look_in_own_view(entry);
  }
  resolve_shared_paths();
}

void UnixPaths::update(std::span<const UnixFile> listening, FindOwner find_owner) {
  ++updates_;
  look_at_watched();
  folders_left_ = most_folders;
  for (const UnixFile &file : listening) {
    const auto [place, is_new] = entries_.try_emplace(file.cookie);
    if (is_new)
      place->second.file = file;
    place->second.seen = updates_;
  }
  std::erase_if(entries_, [this](const auto &entry) { return entry.second.seen != updates_; });
  std::erase_if(wanting_owner_,
                [this](std::uint64_t cookie) { return !entries_.contains(cookie); });

  std::vector<Entry *> turns;
  turns.reserve(entries_.size());
  for (auto &[cookie, entry] : entries_)
    turns.push_back(&entry);
  const auto turn = [](const Entry *entry) {
    return std::tuple(entry->found.has_value(), entry->looked, entry->file.cookie);
  };
  std::sort(turns.begin(), turns.end(),
            [&](const Entry *a, const Entry *b) { return turn(a) < turn(b); });
  turns.resize(std::min(turns.size(), most_looks));
  for (Entry *entry : turns) {
    entry->looked = updates_;
    if (look(*entry, find_owner))
      wanting_owner_.erase(entry->file.cookie);
    else
      wanting_owner_.insert(entry->file.cookie);
  }
  resolve_shared_paths();
}

void UnixPaths::look_at_watched() {
  watched_files_.clear();
  for (const std::string &path : watched_)
    if (struct stat status{}; stat(path.c_str(), &status) == 0)
      watched_files_.emplace(static_cast<std::uint32_t>(status.st_ino), path);
}

/// Looks from collectd's mount namespace; returns whether that settles the place.
bool UnixPaths::look_in_own_view(Entry &entry) {
  const View own;
  const auto found_at = [&entry](std::string path) {
    entry.found = UnixPlace{std::move(path), "", true};
    entry.is_sure = true;
    entry.is_gone = false;
    return true;
  };
  for (auto [watched, end] = watched_files_.equal_range(entry.file.inode); watched != end;
       ++watched)
    if (own.look_at(watched->second, entry.file) == Lookup::leads_to_it)
      return found_at(watched->second);
  // A further name of the file does not move the listener.
  if (entry.is_sure && entry.found->owned_by.empty() && entry.found->path != entry.file.path &&
      own.look_at(entry.found->path, entry.file) == Lookup::leads_to_it)
    return found_at(entry.found->path);
  if (!is_whole_path(entry.file.path)) {
    if (!entry.found)
      entry.found = UnixPlace{entry.file.path, "", true};
    return !entry.is_sure;
  }
  const Lookup bound = own.look_at(entry.file.path, entry.file);
  if (bound == Lookup::leads_to_it)
    return found_at(entry.file.path);
  if (bound == Lookup::refused) {
    if (!entry.found)
      entry.found = UnixPlace{entry.file.path, "", true};
    return true;
  }
  if (std::string path = moved_to(own, entry.file); !path.empty())
    return found_at(std::move(path));
  return false;
}

/// Looks for the file; returns whether it can do without the owner.
bool UnixPaths::look(Entry &entry, FindOwner find_owner) {
  if (look_in_own_view(entry))
    return true;
  if (entry.is_sure && entry.found->owned_by.empty()) { // found there before
    entry.is_gone = true;
    return true;
  }
  const UnixFileOwner owner = find_owner(entry.file.cookie);
  if (owner.pid != 0) {
    look_as_owner(entry, owner);
    return true;
  }
  if (!entry.found && !owner.is_looked_for &&
      ++entry.looks_without_owner >= most_looks_without_owner)
    entry.found = UnixPlace{entry.file.path, "", true};
  return false;
}

void UnixPaths::look_as_owner(Entry &entry, const UnixFileOwner &owner) {
  const UnixFile &file = entry.file;
  std::string process = proc_root_ + "/" + std::to_string(owner.pid);
  if (std::string thread = folder_of_other_thread(AT_FDCWD, process); !thread.empty())
    process = std::move(thread);
  const View own;
  const View owners{
      UniqueFd(::open((process + "/root").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC))};
  const std::string mounts = namespace_inode(process + "/ns/mnt");
  const bool has_own_mounts =
      !mounts.empty() && mounts != namespace_inode(proc_root_ + "/thread-self/ns/mnt");
  const Lookup bound = owners.root ? owners.look_at(file.path, file) : Lookup::refused;
  if (bound == Lookup::refused) {
    if (!entry.found)
      entry.found = UnixPlace{file.path, "", true};
    return;
  }
  entry.mounts = has_own_mounts ? mounts : "";
  std::string path = bound == Lookup::leads_to_it ? file.path : moved_to(owners, file);
  entry.is_gone = path.empty();
  if (entry.is_gone) {
    const bool is_here = !has_own_mounts || owners.folder_id(file.path) == own.folder_id(file.path);
    if (!entry.found)
      entry.found = UnixPlace{file.path,
                              is_here              ? ""
                              : owner.unit.empty() ? mounts
                                                   : owner.unit,
                              true};
    return;
  }
  entry.is_sure = true;
  // If a process has changed its root only, the file is in collectd's mount namespace too.
  if (const std::string whole = link_text(process + "/root") + path;
      own.look_at(whole, file) == Lookup::leads_to_it)
    entry.found = UnixPlace{whole, "", true};
  else
    entry.found = UnixPlace{std::move(path), owner.unit.empty() ? mounts : owner.unit, true};
}

std::string UnixPaths::moved_to(const View &view, const UnixFile &file) {
  if (std::string path = path_without_temporary_suffix(file.path);
      !path.empty() && view.look_at(path, file) == Lookup::leads_to_it)
    return path;
  if (folders_left_ == 0)
    return "";
  --folders_left_;
  return view.find_in_folder(std::string(folder_of(file.path)), file);
}

/// Decides which of several listeners on one path count. Within a mount namespace only the one that
/// the path leads to does. If a unit has several mount namespaces, each is a separate listener.
void UnixPaths::resolve_shared_paths() {
  std::map<std::tuple<std::uint64_t, std::string_view, std::string_view>, std::vector<Entry *>>
      groups;
  gone_.clear();
  for (auto &[cookie, entry] : entries_) {
    if (entry.is_gone)
      gone_.insert(cookie);
    if (entry.found)
      groups[{entry.file.net_namespace, entry.found->path, entry.found->owned_by}].push_back(
          &entry);
  }
  for (auto &[key, group] : groups) {
    std::sort(group.begin(), group.end(),
              [](const Entry *a, const Entry *b) { return a->file.cookie < b->file.cookie; });
    const auto is_there = [](const Entry *entry) { return entry->is_sure && !entry->is_gone; };
    const auto first = std::find_if(group.begin(), group.end(), is_there);
    for (Entry *entry : group) {
      UnixPlace place = *entry->found;
      place.counts = first == group.end() || is_there(entry);
      if (is_there(entry) && entry->mounts != (*first)->mounts)
        place.owned_by += "-" + entry->mounts;
      if (entry->resolved == place)
        continue;
      entry->resolved = std::move(place);
      changed_ = true;
    }
  }
}

std::shared_ptr<const UnixPlaces> UnixPaths::take_changed() {
  if (!std::exchange(changed_, false))
    return nullptr;
  auto places = std::make_shared<UnixPlaces>();
  for (const auto &[cookie, entry] : entries_)
    if (entry.resolved)
      places->emplace(cookie, *entry.resolved);
  return places;
}

} // namespace backlog
