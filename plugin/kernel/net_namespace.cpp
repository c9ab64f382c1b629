#include "net_namespace.h"

#include "capability.h"
#include "cgroup_path.h"
#include "kernel_file.h"
#include "listener_name.h"
#include "number.h"
#include "thread_folder.h"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <ctime>
#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <map>
#include <memory>
#include <optional>
#include <sched.h>
#include <set>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <system_error>
#include <unistd.h>

namespace backlog {

namespace {

constexpr std::size_t most_paths = 4; // several, because any process may end

std::optional<NetNamespaceId> id_at(const std::string &path) {
  struct stat status {};
  struct statfs file_system {};
  if (stat(path.c_str(), &status) != 0 || statfs(path.c_str(), &file_system) != 0 ||
      file_system.f_type != NSFS_MAGIC)
    return std::nullopt;
  return NetNamespaceId{status.st_dev, status.st_ino};
}

/// Whether the error is a shortage of the process or host, so that it says nothing about the file.
bool is_shortage(int code) { return code == EMFILE || code == ENFILE || code == ENOMEM; }

struct CloseFolder {
  void operator()(DIR *folder) const { closedir(folder); }
};

/// Not std::filesystem::directory_iterator: its functions that do not throw are noexcept but
/// allocate paths, so that a shortage of memory would end the daemon.
Result<std::vector<std::string>> entries_of(const std::string &folder) {
  const std::unique_ptr<DIR, CloseFolder> open(opendir(folder.c_str()));
  if (!open)
    return Error{errno, folder};
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent *entry = readdir(open.get());
    if (entry == nullptr && errno != 0)
      return Error{errno, folder};
    if (entry == nullptr)
      return names;
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..")
      names.emplace_back(name);
  }
}

/// Returns the numbers of all processes, sorted.
Result<std::vector<int>> processes_in(const std::string &proc) {
  const auto names = entries_of(proc);
  if (!names)
    return names.error();
  std::vector<int> pids;
  for (const std::string &name : *names) {
    if (const auto pid = parse_number<int>(name))
      pids.push_back(*pid);
  }
  std::sort(pids.begin(), pids.end());
  return pids;
}

UniqueFd open_namespace(const std::string &path) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  // The process is ending (proc_ns_get_link()); afterwards it is ENOENT.
  if (!fd && (errno == EACCES || errno == ESRCH))
    fd = UniqueFd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  return fd;
}

} // namespace

NetNamespaceFinder::NetNamespaceFinder(std::vector<std::string> folders, std::string proc)
    : folders_(std::move(folders)), proc_(std::move(proc)) {}

// A mount of /proc with hidepid does not list what it refuses.
bool NetNamespaceFinder::refused() const {
  if (has_capability(CAP_SYS_PTRACE))
    return false;
  return refused_ || access((proc_ + "/1").c_str(), F_OK) != 0;
}

Result<std::vector<NetNamespace>> NetNamespaceFinder::find(Look look) {
  std::vector<NetNamespace> found;
  Places places;
  if (Failure failure = find_files(found, places))
    return *failure;
  if (look == Look::everywhere) {
    without_file_.clear();
    const std::size_t with_file = found.size();
    if (Failure failure = find_by_processes(found, places))
      return *failure;
    find_by_runtime_files(found, places);
    without_file_.assign(found.begin() + static_cast<std::ptrdiff_t>(with_file), found.end());
  } else {
    for (const NetNamespace &entry : without_file_)
      if (places.try_emplace(entry.id, found.size()).second)
        found.push_back(entry);
  }

  make_names_unique(found, names_);
  names_.clear();
  for (const NetNamespace &entry : found)
    names_.emplace(entry.id, entry.name);
  std::sort(found.begin(), found.end(),
            [](const auto &a, const auto &b) { return a.name < b.name; });
  return found;
}

Failure NetNamespaceFinder::find_files(std::vector<NetNamespace> &found, Places &places) {
  const auto own = id_at("/proc/thread-self/ns/net");
  folder_refusal_.reset();
  listed_.clear();
  runtime_files_.clear();
  for (const std::string &folder : folders_) {
    Listed &listed = listed_.emplace_back(state_of(folder));
    auto names = entries_of(folder);
    if (!names) {
      if (is_shortage(names.error().code))
        return names.error();
      if (names.error().code != ENOENT)
        folder_refusal_ = names.error();
      continue;
    }
    std::sort(names->begin(), names->end());
    for (const std::string &name : *names) {
      std::string path = folder;
      path += '/';
      path += name;
      const auto id = id_at(path);
      listed.is_settled = listed.is_settled && id.has_value();
      if (!id || id == own)
        continue;
      if (is_made_by_runtime(folder, name))
        runtime_files_.try_emplace(*id, RuntimeFile{name, path});
      else if (places.try_emplace(*id, found.size()).second)
        found.push_back({*id, name, false, {path}});
    }
  }
  return std::nullopt;
}

Failure NetNamespaceFinder::find_by_processes(std::vector<NetNamespace> &found, Places &places) {
  const auto own = id_at("/proc/thread-self/ns/net");
  const auto pids = processes_in(proc_);
  if (!pids)
    return pids.error();
  for (const int pid : *pids) {
    std::string process = proc_ + "/" + std::to_string(pid);
    std::string path = process + "/ns/net";
    auto id = id_at(path);
    refused_ = refused_ || (!id && (errno == EACCES || errno == EPERM));
    if (!id && errno == ENOENT) {
      process = folder_of_other_thread(AT_FDCWD, process);
      path = process + "/ns/net";
      id = process.empty() ? std::nullopt : id_at(path);
    }
    if (!id || id == own)
      continue;
    const auto [place, is_new] = places.try_emplace(*id, found.size());
    if (is_new) {
      KernelFile cgroup(process + "/cgroup");
      const auto text = cgroup.read();
      if (!text && is_shortage(text.error().code))
        return text.error();
      NetNamespace entry{*id, text ? container_id(*text) : "", true, {}};
      const auto file = runtime_files_.find(*id);
      if (file != runtime_files_.end())
        entry.paths.push_back(file->second.path);
      if (entry.name.empty())
        entry.name = file != runtime_files_.end() ? file->second.name : std::to_string(id->inode);
      found.push_back(std::move(entry));
    }
    NetNamespace &entry = found[place->second];
    if (entry.has_id && entry.paths.size() < most_paths)
      entry.paths.push_back(path);
  }
  return std::nullopt;
}

void NetNamespaceFinder::find_by_runtime_files(std::vector<NetNamespace> &found,
                                               Places &places) const {
  for (const auto &[id, file] : runtime_files_)
    if (places.try_emplace(id, found.size()).second)
      found.push_back({id, file.name, true, {file.path}});
}

NetNamespaceFinder::Listed NetNamespaceFinder::state_of(const std::string &folder) {
  // Longer than a tick of the clock that stamps a folder's change.
  constexpr std::chrono::milliseconds moment{50};
  const auto since_epoch = [](const timespec &time) {
    return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
  };
  timespec now{};
  struct stat status {};
  if (clock_gettime(CLOCK_REALTIME_COARSE, &now) != 0 || stat(folder.c_str(), &status) != 0)
    return {.is_settled = true};
  const std::chrono::nanoseconds changed = since_epoch(status.st_mtim);
  return {.device = status.st_dev,
          .inode = status.st_ino,
          .changed = changed,
          .is_settled = since_epoch(now) - changed > moment};
}

bool NetNamespaceFinder::files_changed() const {
  if (listed_.size() != folders_.size())
    return true;
  for (std::size_t i = 0; i < folders_.size(); ++i) {
    const Listed now = state_of(folders_[i]);
    const Listed &then = listed_[i];
    if (!then.is_settled || now.device != then.device || now.inode != then.inode ||
        now.changed != then.changed)
      return true;
  }
  return false;
}

std::size_t keep_most(std::vector<NetNamespace> &namespaces,
                      const std::vector<NetNamespace> &before, std::size_t most) {
  if (namespaces.size() <= most)
    return 0;
  std::set<NetNamespaceId> known;
  for (const NetNamespace &entry : before)
    known.insert(entry.id);
  const auto partition = [&](auto begin, auto belongs) {
    return std::stable_partition(begin, namespaces.end(), belongs);
  };
  const auto others =
      partition(namespaces.begin(), [](const NetNamespace &entry) { return !entry.has_id; });
  partition(others, [&](const NetNamespace &entry) { return known.contains(entry.id); });
  const std::size_t left_out = namespaces.size() - most;
  namespaces.erase(namespaces.end() - static_cast<std::ptrdiff_t>(left_out), namespaces.end());
  std::sort(namespaces.begin(), namespaces.end(),
            [](const auto &a, const auto &b) { return a.name < b.name; });
  return left_out;
}

void make_names_unique(std::vector<NetNamespace> &namespaces,
                       const std::map<NetNamespaceId, std::string> &before) {
  std::set<std::string> taken; // in the form that listeners' names show
  const auto take = [&taken](NetNamespace &entry, const std::string &name) {
    if (!taken.insert(net_namespace_part(name)).second)
      return false;
    entry.has_id = entry.has_id || name != entry.name;
    entry.name = name;
    return true;
  };
  const auto suffix = [](const NetNamespace &entry) {
    return "-" + std::to_string(entry.id.inode);
  };
  std::vector<NetNamespace *> others;
  for (NetNamespace &entry : namespaces) {
    const auto had = before.find(entry.id);
    if (had == before.end() ||
        (had->second != entry.name && had->second != entry.name + suffix(entry)) ||
        !take(entry, had->second))
      others.push_back(&entry);
  }
  for (NetNamespace *entry : others)
    for (std::string name = entry->name; !take(*entry, name); name += suffix(*entry)) {
    }
}

std::string container_id(std::string_view cgroup) {
  std::string_view innermost;
  std::size_t deepest = 0;
  std::size_t depth = 0; // within a line; cgroup v1 has a line for each hierarchy
  std::size_t digits = 0;
  for (std::size_t i = 0; i <= cgroup.size(); ++i) {
    if (i < cgroup.size() && is_id_digit(cgroup[i])) {
      ++digits;
      continue;
    }
    if (digits == container_id_digits && ++depth > deepest) {
      deepest = depth;
      innermost = cgroup.substr(i - digits, shown_container_id_digits);
    }
    digits = 0;
    if (i < cgroup.size() && cgroup[i] == '\n')
      depth = 0;
  }
  return std::string(innermost);
}

bool is_made_by_runtime(std::string_view folder, std::string_view name) {
  if (folder.ends_with("/docker/netns"))
    return true;
  constexpr std::string_view uuid = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
  for (const std::string_view prefix : {"cni-", "netns-"})
    if (name.starts_with(prefix))
      return std::equal(uuid.begin(), uuid.end(), name.begin() + prefix.size(), name.end(),
                        [](char form, char c) { return form == 'x' ? is_id_digit(c) : c == form; });
  return false;
}

Result<NetNamespaceSwitch> NetNamespaceSwitch::make() {
  UniqueFd own(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!own)
    return Error{errno, "open /proc/thread-self/ns/net"};
  return NetNamespaceSwitch(std::move(own));
}

Failure NetNamespaceSwitch::enter(const NetNamespace &net_namespace) {
  int code = ENOENT;
  for (const std::string &path : net_namespace.paths) {
    const UniqueFd fd = open_namespace(path);
    struct stat status {};
    if (!fd || fstat(fd.get(), &status) != 0) {
      if (errno != ENOENT)
        code = errno;
      continue;
    }
    if (NetNamespaceId{status.st_dev, status.st_ino} != net_namespace.id)
      continue;
    if (setns(fd.get(), CLONE_NEWNET) == 0)
      return std::nullopt;
    code = errno;
  }
  return Error{code, "enter net namespace " + net_namespace.name};
}

void NetNamespaceSwitch::leave() {
  if (setns(own_.get(), CLONE_NEWNET) != 0)
    throw NamespaceLost("cannot return from a net namespace");
}

} // namespace backlog
