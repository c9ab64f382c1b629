#include "owner.h"

#include "capability.h"
#include "cgroup_path.h"
#include "function_ref.h"
#include "number.h"
#include "thread_folder.h"
#include "unique_fd.h"
#include "utf8.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <limits>
#include <linux/magic.h>
#include <optional>
#include <sys/vfs.h>
#include <unistd.h>
#include <unordered_set>
#include <utility>
#include <vector>

namespace backlog {

namespace {

constexpr unsigned scans_with_others = 2;
constexpr std::chrono::minutes look_for_services_every{1};
constexpr std::uint64_t cgroup_root_id = 1; // hosts with version 1 report it for all sockets
constexpr std::size_t short_uid_bytes = shown_container_id_digits + 1; // with a dash

UniqueFd open_directory(int at, const char *path) {
  return UniqueFd(openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

/// Passes every entry but "." and ".." to sink until sink returns false.
void read_directory(int fd, std::vector<std::byte> &buffer,
                    FunctionRef<bool(const dirent64 &)> sink) {
  constexpr std::size_t buffer_bytes = 32768; // as in glibc's readdir()
  buffer.resize(buffer_bytes);
  for (;;) {
    const ssize_t length = getdents64(fd, buffer.data(), buffer.size());
    if (length <= 0)
      return;
    for (ssize_t offset = 0; offset < length;) {
      const auto *entry = reinterpret_cast<const dirent64 *>(buffer.data() + offset);
      offset += entry->d_reclen;
      const std::string_view name = entry->d_name;
      if (name != "." && name != ".." && !sink(*entry))
        return;
    }
  }
}

/// Returns the socket's inode from a link of /proc/PID/fd: "socket:[123]".
std::optional<std::uint32_t> socket_inode(int at, const char *link) {
  constexpr std::string_view prefix = "socket:[";
  std::array<char, 32> target{};
  const ssize_t length = readlinkat(at, link, target.data(), target.size());
  if (length < 0)
    return std::nullopt;
  std::string_view text(target.data(), static_cast<std::size_t>(length));
  if (!text.starts_with(prefix) || !text.ends_with(']'))
    return std::nullopt;
  text.remove_prefix(prefix.size());
  text.remove_suffix(1);
  return parse_number<std::uint32_t>(text);
}

bool is_manager(pid_t pid, std::string_view process) {
  return process == "systemd" || (pid == 1 && process == "init");
}

/// Reads the comm of a process; empty if it has ended.
std::string process_name(int proc, pid_t pid) {
  std::array<char, 32> path{};
  (void)std::snprintf(path.data(), path.size(), "%d/comm", pid);
  const UniqueFd file(openat(proc, path.data(), O_RDONLY | O_CLOEXEC));
  std::array<char, 64> text{};
  const ssize_t length = file ? read(file.get(), text.data(), text.size()) : -1;
  if (length <= 0)
    return "";
  std::string_view name(text.data(), static_cast<std::size_t>(length));
  if (name.ends_with('\n'))
    name.remove_suffix(1);
  return std::string(name);
}

/// Passes every entry of /proc/PID/fd to sink, with that folder, until sink returns false.
void read_descriptors(int proc, pid_t pid, std::vector<std::byte> &buffer,
                      FunctionRef<bool(int folder, const dirent64 &)> sink) {
  std::array<char, 32> path{};
  (void)std::snprintf(path.data(), path.size(), "%d/fd", pid);
  bool has_any = false;
  const auto read_in = [&](const char *fds) {
    const UniqueFd folder = open_directory(proc, fds);
    if (folder)
      read_directory(folder.get(), buffer, [&](const dirent64 &entry) {
        has_any = true;
        return sink(folder.get(), entry);
      });
    return static_cast<bool>(folder);
  };
  if (!read_in(path.data()) || has_any)
    return;
  if (const std::string thread = folder_of_other_thread(proc, std::to_string(pid)); !thread.empty())
    (void)read_in((thread + "/fd").c_str());
}

/// Reads /proc/PID/cgroup of a process.
std::string cgroups_of_process(int proc, pid_t pid) {
  std::string process = std::to_string(pid);
  if (std::string thread = folder_of_other_thread(proc, process); !thread.empty())
    process = std::move(thread);
  const UniqueFd file(openat(proc, (process + "/cgroup").c_str(), O_RDONLY | O_CLOEXEC));
  std::string text;
  std::array<char, 4096> part{};
  for (ssize_t length = 0; file && (length = read(file.get(), part.data(), part.size())) > 0;)
    text.append(part.data(), static_cast<std::size_t>(length));
  return text;
}

/// A process that has a socket open, and its descriptor.
struct Holder {
  pid_t pid = 0;
  int fd = -1;
  std::string process;

  /// Another process that has it open, too, is rather the one that accepts: the first process of
  /// Whether another holder is more likely to accept: process 1 or a service manager may have made
  /// the socket for a service.
  bool is_provisional() const { return pid == 0 || pid == 1 || is_manager(pid, process); }
  bool gives_way_to(std::string_view other_process) const {
    return pid == 0 || is_manager(pid, process) || program_of(process) != program_of(other_process);
  }
};
using Holders = std::unordered_map<std::uint32_t, Holder>; ///< keyed by the socket's inode

/// Returns all processes by ascending pid.
std::vector<pid_t> processes(int proc, std::vector<std::byte> &buffer) {
  std::vector<pid_t> pids;
  read_directory(proc, buffer, [&](const dirent64 &entry) {
    if (const auto pid = parse_number<pid_t>(entry.d_name); pid && *pid > 0)
      pids.push_back(*pid);
    return true;
  });
  std::sort(pids.begin(), pids.end());
  return pids;
}

/// One scan of /proc.
class ProcessScan {
public:
  ProcessScan(int proc, Holders &holders)
      : proc_(proc), holders_(holders), missing_(holders.size()) {}

  /// Goes through the processes by ascending pid until every socket has its holder.
  void run() {
    for (const pid_t pid : processes(proc_, buffer_)) {
      if (missing_ == 0)
        return;
      look_into(pid);
    }
  }

private:
  void look_into(pid_t pid) {
    hits_.clear();
    read_descriptors(proc_, pid, buffer_, [&](int folder, const dirent64 &entry) {
      const auto inode = socket_inode(folder, entry.d_name);
      const auto found = inode ? holders_.find(*inode) : holders_.end();
      const auto fd = parse_number<int>(entry.d_name);
      if (found == holders_.end() || !fd)
        return true;
      Holder &holder = found->second;
      if (holder.pid != pid && holder.is_provisional()) {
        hits_.push_back({&holder, holder});
        holder = {.pid = pid, .fd = *fd, .process = ""};
      }
      return hits_.size() < missing_;
    });
    if (!hits_.empty())
      name_hits(pid);
  }

  /// Names the new holder. A process without a name has ended, and others may hold its sockets.
  void name_hits(pid_t pid) {
    const std::string name = process_name(proc_, pid);
    for (Hit &hit : hits_) {
      const bool is_taken = !name.empty() && hit.before.gives_way_to(name) &&
                            (hit.before.pid == 0 || !is_manager(pid, name));
      if (!is_taken) {
        *hit.holder = std::move(hit.before);
        continue;
      }
      hit.holder->process = name;
      if (!hit.holder->is_provisional())
        --missing_;
    }
  }

  /// A socket that the process holds, and its holder before.
  struct Hit {
    Holder *holder;
    Holder before;
  };

  int proc_;
  Holders &holders_;
  std::size_t missing_;
  std::vector<Hit> hits_; ///< of one process
  std::vector<std::byte> buffer_;
};

/// The search of find_socket_holders().
class HolderSearch {
public:
  HolderSearch(int proc, std::unordered_set<std::uint32_t> &wanted,
               const std::unordered_set<std::uint32_t> &noted)
      : proc_(proc), wanted_(wanted), noted_(noted) {}

  /// Most of the time goes into the few processes with very many descriptors, so they come last.
  void look_into(const std::vector<pid_t> &pids) {
    std::vector<pid_t> large;
    for (const pid_t pid : pids)
      if (!wanted_.empty() && !look_into(pid, many_descriptors))
        large.push_back(pid);
    for (const pid_t pid : large)
      if (!wanted_.empty())
        look_into(pid, std::numeric_limits<std::size_t>::max());
  }
  std::vector<SocketHolder> take_holders() { return std::move(holders_); }

private:
  static constexpr std::size_t many_descriptors = 256;

  /// Returns false if the process has more descriptors than that.
  bool look_into(pid_t pid, std::size_t most) {
    SocketHolder holder;
    std::size_t seen = 0;
    read_descriptors(proc_, pid, buffer_, [&](int folder, const dirent64 &entry) {
      if (++seen > most)
        return false;
      const auto inode = socket_inode(folder, entry.d_name);
      if (inode && wanted_.contains(*inode))
        holder.held.push_back(*inode);
      if (inode && noted_.contains(*inode))
        holder.noted.push_back(*inode);
      return true;
    });
    if (seen > most)
      return false;
    if (!holder.held.empty())
      add(pid, std::move(holder));
    return true;
  }

  void add(pid_t pid, SocketHolder holder) {
    holder.owner.process = process_name(proc_, pid);
    if (holder.owner.process.empty()) // it has ended
      return;
    for (const std::uint32_t inode : holder.held)
      wanted_.erase(inode);
    holder.owner.pid = pid;
    holder.owner.is_manager = is_manager(pid, holder.owner.process);
    holder.owner.unit = unit_of_process(cgroups_of_process(proc_, pid));
    holders_.push_back(std::move(holder));
  }

  int proc_;
  std::unordered_set<std::uint32_t> &wanted_;
  const std::unordered_set<std::uint32_t> &noted_;
  std::vector<SocketHolder> holders_;
  std::vector<std::byte> buffer_;
};

/// Whether the thread may see every process. The scan's errors do not show that: a mount with
/// hidepid leaves out what it refuses, and an ending process is refused too
/// (proc_fd_access_allowed() in fs/proc/base.c).
bool may_see_all() { return has_capability(CAP_SYS_PTRACE) && has_capability(CAP_DAC_READ_SEARCH); }

bool still_has(int proc, pid_t pid, int fd, std::uint32_t inode) {
  const std::string process = std::to_string(pid);
  const std::string link = "/fd/" + std::to_string(fd);
  if (socket_inode(proc, (process + link).c_str()) == inode)
    return true;
  const std::string thread = folder_of_other_thread(proc, process);
  return !thread.empty() && socket_inode(proc, (thread + link).c_str()) == inode;
}

/// Keyed by id; paths are relative to the mount.
using CgroupPaths = std::unordered_map<std::uint64_t, std::string>;

bool is_cgroup2(int fd) {
  struct statfs status {};
  return fstatfs(fd, &status) == 0 && status.f_type == CGROUP2_SUPER_MAGIC;
}

std::string path_of(int fd) {
  std::array<char, 32> link{};
  (void)std::snprintf(link.data(), link.size(), "/proc/self/fd/%d", fd);
  std::array<char, PATH_MAX> path{};
  const ssize_t length = readlink(link.data(), path.data(), path.size());
  return {path.data(), length < 0 ? 0 : static_cast<std::size_t>(length)};
}

/// Opens a cgroup with O_PATH. errno is ESTALE if it was removed, EPERM without
/// CAP_DAC_READ_SEARCH.
UniqueFd open_by_id(int mount, std::uint64_t id) {
  constexpr int fileid_kernfs = 0xfe; // defined in include/linux/exportfs.h
  alignas(file_handle) std::array<std::byte, sizeof(file_handle) + sizeof id> storage{};
  auto *handle = reinterpret_cast<file_handle *>(storage.data());
  handle->handle_bytes = sizeof id;
  handle->handle_type = fileid_kernfs;
  std::memcpy(handle->f_handle, &id, sizeof id);
  return UniqueFd(open_by_handle_at(mount, handle, O_PATH | O_CLOEXEC));
}

/// Returns false if that is not permitted, or the kernel does not support it.
bool open_cgroups(int mount, CgroupPaths &paths) {
  const std::string mount_path = path_of(mount);
  for (auto &[id, path] : paths) {
    const UniqueFd cgroup = open_by_id(mount, id);
    if (!cgroup && errno != ESTALE)
      return false;
    const std::string whole = cgroup ? path_of(cgroup.get()) : "";
    if (whole.starts_with(mount_path))
      path = whole.substr(mount_path.size());
  }
  return true;
}

/// Looks for cgroups by inode number, which is their id, until it has found all.
void walk_cgroups(int mount, CgroupPaths &paths) {
  std::vector<std::byte> buffer;
  std::vector<std::string> folders;
  folders.emplace_back(".");
  std::size_t missing = paths.size();
  while (!folders.empty() && missing > 0) {
    const std::string folder = std::move(folders.back());
    folders.pop_back();
    const UniqueFd fd = open_directory(mount, folder.c_str());
    if (!fd)
      continue;
    read_directory(fd.get(), buffer, [&](const dirent64 &entry) {
      if (entry.d_type != DT_DIR)
        return true;
      folders.push_back(folder + "/" + entry.d_name);
      if (const auto wanted = paths.find(entry.d_ino);
          wanted != paths.end() && wanted->second.empty()) {
        wanted->second = folders.back().substr(1);
        --missing;
      }
      return missing > 0;
    });
  }
}

std::string_view without_suffix(std::string_view text, std::string_view suffix) {
  if (text.ends_with(suffix))
    text.remove_suffix(suffix.size());
  return text;
}

std::vector<std::string_view> components(std::string_view path) {
  std::vector<std::string_view> parts;
  while (!path.empty()) {
    const std::string_view part = path.substr(0, path.find('/'));
    // ".." would lead out of collectd's own cgroup namespace.
    if (!part.empty() && part != "..")
      parts.push_back(part);
    path.remove_prefix(std::min(path.size(), part.size() + 1));
  }
  return parts;
}

/// Recognises systemd's "docker-ID.scope", "docker/ID" without systemd, and "x.slice:docker:ID" by
/// a runtime that mixes up the two.
std::string container_of(std::string_view part, std::string_view parent) {
  static constexpr std::array<std::pair<std::string_view, const char *>, 7> runtimes{{
      {"docker", "docker"},
      {"cri-containerd", "containerd"},
      {"nerdctl", "containerd"},
      {"crio", "cri-o"},
      {"crio-conmon", "cri-o"},
      {"libpod", "podman"},
      {"libpod-conmon", "podman"},
  }};
  part = without_suffix(part, ".scope");
  if (part.size() < container_id_digits)
    return "";
  const std::string_view id = part.substr(part.size() - container_id_digits);
  std::string_view runtime = part.substr(0, part.size() - container_id_digits);
  if (!is_id(id))
    return "";

  const std::string name = " " + std::string(id.substr(0, shown_container_id_digits));
  const bool bare = runtime.empty();
  if (bare)
    runtime = parent;
  else if (runtime.ends_with('-') || runtime.ends_with(':'))
    runtime.remove_suffix(1);
  runtime = runtime.substr(runtime.rfind(':') + 1);
  for (const auto &[prefix, kind] : runtimes)
    if (runtime == prefix)
      return kind + name;
  return bare ? "container" + name : "";
}

/// Recognises "lxc.payload.NAME" and the older "/lxc/NAME".
std::string lxc_of(const std::vector<std::string_view> &parts) {
  constexpr std::string_view payload = "lxc.payload.";
  if (parts.size() > 1 && parts[0] == "lxc")
    return "lxc " + std::string(parts[1]);
  for (const std::string_view part : parts)
    if (part.starts_with(payload))
      return "lxc " + std::string(part.substr(payload.size()));
  return "";
}

/// Recognises "podUID" and "kubepods-burstable-podUID.slice", which has '_' for '-'.
std::string pod_of(std::string_view part) {
  constexpr std::string_view mark = "pod";
  constexpr std::size_t uid_min_bytes = 32; // without dashes, as in the uid of a static pod
  part = without_suffix(part, ".slice");
  const std::size_t at = part.rfind(mark);
  if (at == std::string_view::npos || (at != 0 && !part.starts_with("kube")))
    return "";
  std::string uid(part.substr(at + mark.size()));
  std::replace(uid.begin(), uid.end(), '_', '-');
  std::string digits = uid;
  std::erase(digits, '-');
  if (digits.size() != uid_min_bytes || !is_id(digits))
    return "";
  return "pod " + uid.substr(0, uid == digits ? shown_container_id_digits : short_uid_bytes);
}

/// Works like cg_path_get_unit() and cg_path_get_user_unit() in systemd's src/basic/cgroup-util.c:
/// takes the first part that is not a slice, and below a user's manager the next one.
std::string systemd_unit(const std::vector<std::string_view> &parts) {
  const auto is_unit = [](std::string_view part) { return !part.ends_with(".slice"); };
  auto unit = std::find_if(parts.begin(), parts.end(), is_unit);
  if (unit != parts.end() && unit->starts_with("user@"))
    unit = std::find_if(unit + 1, parts.end(), is_unit);
  if (unit == parts.end())
    return "";
  const bool of_user = parts.front() == "user.slice";
  const bool named = unit->ends_with(".service") || unit->ends_with(".socket") ||
                     (unit->ends_with(".scope") && !of_user && *unit != "init.scope");
  return named ? std::string(*unit) : "";
}

std::string outermost_unit(const std::vector<std::string_view> &parts) {
  if (std::string lxc = lxc_of(parts); !lxc.empty())
    return lxc;
  std::string pod;
  std::string_view parent;
  for (const std::string_view part : parts) {
    if (std::string container = container_of(part, parent); !container.empty())
      return container;
    if (pod.empty())
      pod = pod_of(part);
    parent = part;
  }
  return pod.empty() ? systemd_unit(parts) : pod;
}

} // namespace

std::string unit_of_cgroup(std::string_view path) { return outermost_unit(components(path)); }

std::string unit_of_process(std::string_view cgroup) {
  std::string systemd; // the hierarchy of version 1
  while (!cgroup.empty()) {
    const std::string_view line = cgroup.substr(0, cgroup.find('\n'));
    cgroup.remove_prefix(std::min(cgroup.size(), line.size() + 1));
    const std::size_t controllers = line.find(':');
    const std::size_t path =
        controllers == std::string_view::npos ? controllers : line.find(":/", controllers + 1);
    if (path == std::string_view::npos)
      continue;
    std::string unit = unit_of_cgroup(line.substr(path + 1));
    const std::string_view hierarchy = line.substr(controllers, path - controllers);
    if (hierarchy == ":" && !unit.empty())
      return unit;
    if (hierarchy == ":name=systemd")
      systemd = std::move(unit);
  }
  return systemd;
}

std::string cgroup2_mount() {
  for (const char *path : {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"})
    if (const UniqueFd fd = open_directory(AT_FDCWD, path); fd && is_cgroup2(fd.get()))
      return path;
  return "";
}

std::string_view program_of(std::string_view process) {
  return process.substr(0, process.find_first_of(": "));
}

std::vector<SocketHolder> find_socket_holders(std::unordered_set<std::uint32_t> &wanted,
                                              const std::unordered_set<std::uint32_t> &noted,
                                              std::span<const pid_t> in,
                                              const std::string &proc_root) {
  const UniqueFd proc = open_directory(AT_FDCWD, proc_root.c_str());
  if (!proc)
    return {};
  std::vector<std::byte> buffer;
  HolderSearch search(proc.get(), wanted, noted);
  search.look_into(in.empty() ? processes(proc.get(), buffer)
                              : std::vector<pid_t>(in.begin(), in.end()));
  return search.take_holders();
}

std::string Owner::text() const {
  if (!unit.empty() || pid == 0)
    return unit;
  if (is_manager)
    return "held by " + process;
  return process + "[" + std::to_string(pid) + "]";
}

OwnerCache::OwnerCache(std::string proc_root, std::string cgroup_root)
    : proc_root_(std::move(proc_root)), cgroup_root_(std::move(cgroup_root)) {}

void OwnerCache::update(std::span<const OwnedSocket> listening, TimePoint now) {
  ++updates_;
  const bool looks_for_services = now - looked_for_services_ >= look_for_services_every;
  if (looks_for_services)
    looked_for_services_ = now;
  for (const OwnedSocket &socket : listening) {
    const auto [entry, is_new] = entries_.try_emplace(socket.cookie);
    entry->second.seen = updates_;
    if ((socket.is_waited_at || looks_for_services) && entry->second.may_get_process())
      entry->second.search = Search::wanted;
    if (!is_new)
      continue;
    entry->second.inode = socket.inode;
    entry->second.cgroup_id = socket.cgroup_id;
    entry->second.search = socket.inode != 0 ? Search::wanted : Search::over;
    entry->second.unit_wanted = socket.cgroup_id > cgroup_root_id;
  }
  forget_gone();

  if (const UniqueFd proc = open_directory(AT_FDCWD, proc_root_.c_str()))
    review(proc.get());
}

bool OwnerCache::wants_scan() const {
  return std::any_of(entries_.begin(), entries_.end(), [](const auto &entry) {
    return entry.second.search == Search::wanted || entry.second.unit_wanted;
  });
}

void OwnerCache::scan() {
  if (const UniqueFd proc = open_directory(AT_FDCWD, proc_root_.c_str()))
    find_processes(proc.get());
  find_units();
  refused_ = refused_ || (!may_see_all() && lacks_owner());
}

const Owner *OwnerCache::find(std::uint64_t cookie) const {
  const auto entry = entries_.find(cookie);
  return entry == entries_.end() ? nullptr : &entry->second.owner;
}

bool OwnerCache::is_looked_for(std::uint64_t cookie) const {
  const auto entry = entries_.find(cookie);
  return entry != entries_.end() && entry->second.search == Search::wanted;
}

bool OwnerCache::lacks_owner() const {
  return std::any_of(entries_.begin(), entries_.end(), [](const auto &entry) {
    return entry.second.inode != 0 && entry.second.owner.text().empty();
  });
}

void OwnerCache::forget_gone() {
  const auto is_gone = [&](const auto &entry) { return entry.second.seen != updates_; };
  if (std::erase_if(entries_, is_gone) == 0)
    return;
  std::unordered_set<std::uint64_t> in_use;
  for (const auto &[cookie, entry] : entries_)
    in_use.insert(entry.cgroup_id);
  std::erase_if(units_, [&](const auto &unit) { return !in_use.contains(unit.first); });
}

/// The names of processes; it reads each once.
struct OwnerCache::ProcessNames {
  int proc;
  std::unordered_map<pid_t, std::string> names;

  const std::string &of(pid_t pid) {
    const auto [entry, is_new] = names.try_emplace(pid);
    if (is_new)
      entry->second = process_name(proc, pid);
    return entry->second;
  }
};

/// Looks for holders that have closed the socket or ended. Processes that inherited it by fork()
/// may remain.
void OwnerCache::review(int proc) {
  ProcessNames names{proc, {}};
  for (auto &[cookie, entry] : entries_) {
    Owner &owner = entry.owner;
    if (owner.pid == 0)
      continue;
    if (!still_has(proc, owner.pid, entry.fd, entry.inode)) {
      owner.pid = 0;
      owner.process.clear();
      owner.is_manager = false;
      entry.process_unit.clear();
      entry.choose_unit();
      entry.search = Search::wanted;
    } else if (const std::string &name = names.of(owner.pid);
               !name.empty() && name != owner.process) {
      owner.process = name;
      owner.is_manager = is_manager(owner.pid, name);
      entry.process_unit = unit_of_process(cgroups_of_process(proc, owner.pid));
      entry.choose_unit();
    }
  }
}

// A manager makes a service's socket in its own cgroup or in that of the socket unit
// (socket_address_listen_in_cgroup() in systemd's src/core/socket.c).
void OwnerCache::Entry::choose_unit() {
  const bool by_process = !process_unit.empty() && !owner.is_manager &&
                          (socket_unit.empty() || socket_unit.ends_with(".socket"));
  owner.unit = by_process ? process_unit : socket_unit;
}

void OwnerCache::find_processes(int proc) {
  const auto is_wanted = [](const auto &entry) { return entry.second.search == Search::wanted; };
  if (std::none_of(entries_.begin(), entries_.end(), is_wanted))
    return;
  Holders holders;
  for (const auto &[cookie, entry] : entries_)
    if (entry.search != Search::over)
      holders[entry.inode];
  ProcessScan scan(proc, holders);
  scan.run();
  ++scans_;

  std::unordered_map<pid_t, std::string> units; // keyed by process
  for (auto &[cookie, entry] : entries_) {
    if (entry.search == Search::over)
      continue;
    const Holder &holder = holders.at(entry.inode);
    if (holder.pid != 0) {
      entry.owner.process = holder.process;
      entry.owner.pid = holder.pid;
      entry.had_process = true;
      entry.owner.is_manager = is_manager(holder.pid, holder.process);
      entry.fd = holder.fd;
      const auto [unit, is_new] = units.try_emplace(holder.pid);
      if (is_new)
        unit->second = unit_of_process(cgroups_of_process(proc, holder.pid));
      entry.process_unit = unit->second;
      entry.choose_unit();
      // The process that will accept may start later.
      entry.search = entry.owner.is_manager ? Search::with_others : Search::over;
      entry.scans_left = std::numeric_limits<unsigned>::max();
    } else if (entry.search == Search::wanted) {
      entry.search = Search::with_others;
      entry.scans_left = scans_with_others;
    } else if (--entry.scans_left == 0) {
      entry.search = Search::over;
    }
  }
}

void OwnerCache::find_units() {
  CgroupPaths paths;
  for (const auto &[cookie, entry] : entries_)
    if (entry.unit_wanted && !units_.contains(entry.cgroup_id))
      paths[entry.cgroup_id];
  if (!paths.empty()) {
    const UniqueFd mount = open_directory(AT_FDCWD, cgroup_root_.c_str());
    if (mount && !(is_cgroup2(mount.get()) && open_cgroups(mount.get(), paths))) {
      walk_cgroups(mount.get(), paths);
      ++walks_;
    }
  }
  for (const auto &[id, path] : paths)
    units_[id] = unit_of_cgroup(path);
  for (auto &[cookie, entry] : entries_)
    if (std::exchange(entry.unit_wanted, false)) {
      entry.socket_unit = units_.at(entry.cgroup_id);
      entry.choose_unit();
    }
}

} // namespace backlog
