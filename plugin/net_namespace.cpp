#include "net_namespace.h"

#include "capability.h"
#include "kernel_file.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <fcntl.h>
#include <filesystem>
#include <linux/magic.h>
#include <map>
#include <optional>
#include <sched.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <system_error>

namespace backlog {

namespace {

constexpr std::size_t most_paths = 4; // any of those processes may end
constexpr std::size_t container_id_digits = 64;
constexpr std::size_t shown_id_digits = 12;

std::optional<NetNamespaceId> id_at(const std::string &path) {
  struct stat status {};
  struct statfs file_system {};
  if (stat(path.c_str(), &status) != 0 || statfs(path.c_str(), &file_system) != 0 ||
      file_system.f_type != NSFS_MAGIC)
    return std::nullopt;
  return NetNamespaceId{status.st_dev, status.st_ino};
}

std::vector<std::string> entries_of(const std::string &folder) {
  std::vector<std::string> names;
  std::error_code ignored;
  const std::filesystem::directory_iterator end;
  for (std::filesystem::directory_iterator entry(folder, ignored); entry != end;
       entry.increment(ignored))
    names.push_back(entry->path().filename());
  return names;
}

/// Processes in order of their numbers.
std::vector<int> processes_in(const std::string &proc) {
  std::vector<int> pids;
  for (const std::string &name : entries_of(proc)) {
    int pid = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (error == std::errc() && end == name.data() + name.size())
      pids.push_back(pid);
  }
  std::sort(pids.begin(), pids.end());
  return pids;
}

bool is_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }

} // namespace

NetNamespaceFinder::NetNamespaceFinder(std::vector<std::string> folders, std::string proc)
    : folders_(std::move(folders)), proc_(std::move(proc)) {}

Failure NetNamespaceFinder::refusal() const {
  if (!refused_)
    return std::nullopt;
  return Error{EACCES, "look into other processes"};
}

std::vector<NetNamespace> NetNamespaceFinder::find() {
  const auto own = id_at("/proc/thread-self/ns/net");
  std::map<NetNamespaceId, NetNamespace> found;
  for (const std::string &folder : folders_) {
    std::vector<std::string> names = entries_of(folder);
    std::sort(names.begin(), names.end());
    for (const std::string &name : names) {
      std::string path = folder;
      path += '/';
      path += name;
      if (const auto id = id_at(path); id && id != own)
        found.try_emplace(*id, NetNamespace{*id, name, false, {path}});
    }
  }
  for (const int pid : processes_in(proc_)) {
    const std::string process = proc_ + "/" + std::to_string(pid);
    const std::string path = process + "/ns/net";
    const auto id = id_at(path);
    refused_ = refused_ || (!id && errno == EACCES && !has_capability(CAP_SYS_PTRACE));
    if (!id || id == own)
      continue;
    NetNamespace &entry = found[*id];
    if (entry.paths.empty()) {
      KernelFile cgroup(process + "/cgroup");
      const auto text = cgroup.read();
      const std::string container = text ? container_id(*text) : "";
      entry.id = *id;
      entry.name = container.empty() ? std::to_string(id->inode) : container;
      entry.has_id = true;
    }
    if (entry.has_id && entry.paths.size() < most_paths)
      entry.paths.push_back(path);
  }

  std::vector<NetNamespace> namespaces;
  namespaces.reserve(found.size());
  for (auto &[id, entry] : found)
    namespaces.push_back(std::move(entry));
  std::sort(namespaces.begin(), namespaces.end(),
            [](const auto &a, const auto &b) { return a.name < b.name; });
  return namespaces;
}

std::string container_id(std::string_view cgroup) {
  std::size_t digits = 0;
  for (std::size_t i = 0; i <= cgroup.size(); ++i) {
    if (i < cgroup.size() && is_hex(cgroup[i])) {
      ++digits;
      continue;
    }
    if (digits == container_id_digits)
      return std::string(cgroup.substr(i - digits, shown_id_digits));
    digits = 0;
  }
  return "";
}

Result<NetNamespaceDoor> NetNamespaceDoor::make() {
  UniqueFd own(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!own)
    return Error{errno, "open /proc/thread-self/ns/net"};
  return NetNamespaceDoor(std::move(own));
}

Failure NetNamespaceDoor::enter(const NetNamespace &net_namespace) {
  int code = ENOENT;
  for (const std::string &path : net_namespace.paths) {
    const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat status {};
    if (!fd || fstat(fd.get(), &status) != 0 ||
        NetNamespaceId{status.st_dev, status.st_ino} != net_namespace.id)
      continue;
    if (setns(fd.get(), CLONE_NEWNET) == 0)
      return std::nullopt;
    code = errno;
  }
  return Error{code, "enter net namespace " + net_namespace.name};
}

void NetNamespaceDoor::leave() {
  if (setns(own_.get(), CLONE_NEWNET) != 0)
    throw NamespaceLost("cannot return from a net namespace");
}

} // namespace backlog
