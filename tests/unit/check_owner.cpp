#include "child_process.h"
#include "owner.h"
#include "test_program.h"
#include "unique_fd.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <dirent.h>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <functional>
#include <grp.h>
#include <string>
#include <string_view>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <unordered_set>
#include <vector>

using namespace backlog;

namespace {

namespace fs = std::filesystem;

/// A path of a cgroup with what is long put in for "{id}" and the like.
std::string expanded(std::string text) {
  constexpr std::array<std::array<std::string_view, 2>, 4> values{{
      {"{id}", "0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9"},
      {"{uid}", "0a1b2c3d-1111-4222-8333-444455556666"},
      {"{user}", "/user.slice/user-1000.slice"},
      {"{pod}", "/kubepods.slice/kubepods-burstable.slice/"
                "kubepods-burstable-pod0a1b2c3d_1111_4222_8333_444455556666.slice"},
  }};
  for (const auto &[name, value] : values)
    for (std::size_t at = text.find(name); at != std::string::npos; at = text.find(name))
      text.replace(at, name.size(), value);
  return text;
}

/// The number by which readdir() knows a file.
std::uint64_t inode_of(const fs::path &path) {
  std::uint64_t inode = 0;
  DIR *folder = opendir(path.parent_path().c_str());
  ck_assert_ptr_nonnull(folder);
  while (const dirent *entry = readdir(folder))
    if (path.filename() == entry->d_name)
      inode = entry->d_ino;
  closedir(folder);
  return inode;
}

/// Folders that stand for /proc and for a cgroup2 mount.
class Host {
public:
  Host() {
    std::string pattern = fs::temp_directory_path() / "check_owner_XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(pattern.data()));
    root_ = pattern;
    fs::create_directories(proc() / "sys");
    fs::create_directories(cgroups());
  }
  ~Host() { fs::remove_all(root_); }
  Host(const Host &) = delete;
  Host &operator=(const Host &) = delete;

  fs::path proc() const { return root_ / "proc"; }
  fs::path cgroups() const { return root_ / "cgroup"; }
  OwnerCache cache() const { return OwnerCache(proc(), cgroups()); }

  void start(int pid, const std::string &name) const {
    const fs::path folder = proc() / std::to_string(pid);
    fs::create_directories(folder / "fd");
    fs::create_symlink("/dev/null", folder / "fd" / "0");
    fs::create_symlink("socket:[1]", folder / "fd" / "1");
    fs::create_symlink("pipe:[500]", folder / "fd" / "2");
    std::ofstream(folder / "comm") << name << '\n';
  }
  /// Ends the first thread; the descriptors remain with another one.
  void end_first_thread(int pid, int other) const {
    const fs::path folder = proc() / std::to_string(pid);
    const fs::path tasks = folder / "task";
    fs::create_directories(tasks / std::to_string(pid));
    fs::create_directories(tasks / std::to_string(other));
    fs::rename(folder / "fd", tasks / std::to_string(other) / "fd");
    fs::create_directories(folder / "fd");
    std::ofstream(tasks / std::to_string(pid) / "stat") << pid << " (a) S 1 () Z 1 1\n";
    std::ofstream(tasks / std::to_string(other) / "stat") << other << " (b Z 1) S 1 1\n";
  }
  void end(int pid) const { fs::remove_all(proc() / std::to_string(pid)); }
  void rename(int pid, const std::string &name) const {
    std::ofstream(proc() / std::to_string(pid) / "comm") << name << '\n';
  }
  void put_into(int pid, const std::string &cgroup) const {
    std::ofstream(proc() / std::to_string(pid) / "cgroup") << cgroup << '\n';
  }

  void open_socket(int pid, int fd, const std::string &target) const {
    fs::create_symlink(target, descriptor(pid, fd));
  }
  void open_socket(int pid, int fd, std::uint32_t inode) const {
    open_socket(pid, fd, "socket:[" + std::to_string(inode) + "]");
  }
  void close_socket(int pid, int fd) const { fs::remove(descriptor(pid, fd)); }

  /// Makes a cgroup and gives its id.
  std::uint64_t cgroup(const std::string &path) const {
    fs::create_directories(cgroups() / path);
    return inode_of(cgroups() / path);
  }

private:
  fs::path descriptor(int pid, int fd) const {
    return proc() / std::to_string(pid) / "fd" / std::to_string(fd);
  }

  fs::path root_;
};

/// The owner of a socket as shown; "-" for one that the cache does not know.
std::string shown(const OwnerCache &cache, std::uint64_t cookie) {
  const Owner *owner = cache.find(cookie);
  return owner == nullptr ? "-" : owner->text();
}

OwnedSocket socket_of(std::uint64_t cookie, std::uint32_t inode, std::uint64_t cgroup_id = 0) {
  return {.cookie = cookie, .inode = inode, .cgroup_id = cgroup_id};
}

void update(OwnerCache &cache, const std::vector<OwnedSocket> &listening) {
  cache.update(listening);
  cache.scan();
}

UniqueFd listen_on_loopback() {
  UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ck_assert_int_eq(listen(fd.get(), 5), 0);
  return fd;
}

std::uint32_t inode_of(const UniqueFd &fd) {
  struct stat status {};
  ck_assert_int_eq(fstat(fd.get(), &status), 0);
  return static_cast<std::uint32_t>(status.st_ino);
}

std::string own_name() {
  std::ifstream file("/proc/self/comm");
  std::string name;
  std::getline(file, name);
  return name;
}

/// Whether a file can be opened by its handle.
bool may_open_by_handle(const fs::path &path) {
  alignas(file_handle) std::array<std::byte, sizeof(file_handle) + MAX_HANDLE_SZ> storage{};
  auto *handle = reinterpret_cast<file_handle *>(storage.data());
  handle->handle_bytes = MAX_HANDLE_SZ;
  int mount_id = 0;
  const UniqueFd mount(open(path.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  return name_to_handle_at(AT_FDCWD, path.c_str(), handle, &mount_id, 0) == 0 &&
         UniqueFd(open_by_handle_at(mount.get(), handle, O_PATH | O_CLOEXEC));
}

/// Runs a check in a child without privileges; it tells what is wrong, "" for nothing.
std::string as_nobody(const std::function<std::string()> &check) {
  constexpr uid_t nobody = 65534;
  std::array<int, 2> answer{};
  ck_assert_int_eq(pipe2(answer.data(), O_CLOEXEC), 0);
  const pid_t pid = fork();
  if (pid == 0) {
    std::string text = "no privileges to lose";
    if (setgroups(0, nullptr) == 0 && setgid(nobody) == 0 && setuid(nobody) == 0)
      text = check();
    _exit(write(answer[1], text.data(), text.size()) == static_cast<ssize_t>(text.size()) ? 0 : 1);
  }
  close(answer[1]);
  std::array<char, 256> text{};
  const ssize_t length = read(answer[0], text.data(), text.size());
  close(answer[0]);
  int status = 0;
  waitpid(pid, &status, 0);
  if (length < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
    return "the child failed";
  return {text.data(), static_cast<std::size_t>(length)};
}

} // namespace

START_TEST(cgroup_names) {
  struct Case {
    const char *path; ///< see expanded()
    const char *unit;
  };
  for (const Case &c : {
           Case{"", ""},
           {"/", ""},
           {"/system.slice", ""},
           {"/system.slice/nginx.service", "nginx.service"},
           {"system.slice/nginx.service/", "nginx.service"},
           {"/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service"},
           {"/system.slice/nginx.service/workers/1", "nginx.service"},
           {"/system.slice/cups.socket", "cups.socket"},
           {"/system.slice/run-r1234.scope", "run-r1234.scope"},
           {"/system.slice/dev-\\x2d.mount", ""},
           {"/init.scope", ""},
           {"/strange/tree.service", ""},
           // users
           {"{user}/session-3.scope", ""},
           {"{user}/user@1000.service", ""},
           {"{user}/user@1000.service/init.scope", ""},
           {"{user}/user@1000.service/app.slice/web.service", "web.service"},
           {"{user}/user@1000.service/app.slice/web.socket", "web.socket"},
           {"{user}/user@1000.service/app.slice/app-term-12.scope", ""},
           {"{user}/user@1000.service/app.slice/vte-1.scope/web.service", ""},
           // machines
           {"/machine.slice/systemd-nspawn@web.service/payload/system.slice/nginx.service",
            "systemd-nspawn@web.service"},
           {"/machine.slice/machine-web.scope/libvirt/emulator", "machine-web.scope"},
           {"/lxc.payload.web/system.slice/nginx.service", "lxc web"},
           {"/lxc/101/ns/system.slice/nginx.service", "lxc 101"},
           {"/lxc", ""},
           {"/system.slice/lxc/a", ""},
           // containers
           {"/system.slice/docker-{id}.scope", "docker 0a1b2c3d4e5f"},
           {"/docker/{id}", "docker 0a1b2c3d4e5f"},
           {"/system.slice/docker-{id}.scope/init.scope", "docker 0a1b2c3d4e5f"},
           {"/system.slice/docker-{id}.scope/system.slice/nginx.service", "docker 0a1b2c3d4e5f"},
           {"/docker/{id}/docker/f{id}", "docker 0a1b2c3d4e5f"},
           {"/system.slice/docker-{id}.scope/kubepods/pod{uid}/cri-containerd-{id}.scope",
            "docker 0a1b2c3d4e5f"},
           {"/machine.slice/libpod-{id}.scope/container", "podman 0a1b2c3d4e5f"},
           {"/machine.slice/libpod-conmon-{id}.scope", "podman 0a1b2c3d4e5f"},
           {"/libpod_parent/libpod-{id}", "podman 0a1b2c3d4e5f"},
           {"{user}/user@1000.service/user.slice/libpod-{id}.scope", "podman 0a1b2c3d4e5f"},
           {"/system.slice/web.service/libpod-payload-{id}", "web.service"},
           {"/system.slice/nerdctl-{id}.scope", "containerd 0a1b2c3d4e5f"},
           {"/default/{id}", "container 0a1b2c3d4e5f"},
           {"/system.slice/docker-0a1b.scope", "docker-0a1b.scope"},
           {"/system.slice/docker-g{id}.scope", "docker-g{id}.scope"},
           {"/system.slice/docker-{id}.service", "docker-{id}.service"},
           {"/system.slice/docker.service", "docker.service"},
           // pods
           {"{pod}/cri-containerd-{id}.scope", "containerd 0a1b2c3d4e5f"},
           {"{pod}/crio-{id}.scope/container", "cri-o 0a1b2c3d4e5f"},
           {"{pod}/crio-conmon-{id}.scope", "cri-o 0a1b2c3d4e5f"},
           {"/system.slice/containerd.service/kubepods-pod{uid}.slice:cri-containerd:{id}",
            "containerd 0a1b2c3d4e5f"},
           {"/kubepods/burstable/pod{uid}/{id}", "container 0a1b2c3d4e5f"},
           {"/kubepods/burstable/pod{uid}", "pod 0a1b2c3d-1111"},
           {"{pod}", "pod 0a1b2c3d-1111"},
           {"{pod}/other", "pod 0a1b2c3d-1111"},
           {"/kubepods/pod0123456789abcdef0123456789abcdef", "pod 0123456789ab"},
           {"/kubepods/pods", ""},
           {"/kubepods/pod{id}", ""},
           {"/tripod{uid}", ""},
           // what somebody else may have named
           {"/system.slice/a\tb\x7f\xc3\xa9.service", "a\tb\x7f\xc3\xa9.service"},
       })
    assert_text(unit_of_cgroup(expanded(c.path)), expanded(c.unit));
}
END_TEST

START_TEST(units_of_processes) {
  struct Case {
    const char *cgroup; ///< the text of /proc/PID/cgroup
    const char *unit;
  };
  for (const Case &c : {
           Case{"", ""},
           {"0::/", ""},
           {"0::/system.slice/snmpd.service\n", "snmpd.service"},
           {"0::/system.slice/snmpd.service", "snmpd.service"},
           {"0::/../../system.slice/snmpd.service\n", "snmpd.service"},
           {"0::/../snmpd.service\n", "snmpd.service"},
           {"0::/user.slice/user-1000.slice/session-3.scope\n", ""},
           {"0::/system.slice/docker-{id}.scope\n", "docker 0a1b2c3d4e5f"},
           // version 1, alone or beside version 2
           {"8:cpuset:/\n1:name=systemd:/system.slice/nginx.service\n0::/\n", "nginx.service"},
           {"1:name=systemd:/system.slice/a.service\n0::/system.slice/b.service\n", "b.service"},
           {"4:memory:/docker/{id}\n1:name=systemd:/docker/{id}\n", "docker 0a1b2c3d4e5f"},
           {"4:memory:/system.slice/nginx.service\n", ""},
           // what somebody else may have named
           {"1:name=systemd\n:\n::\nno line\n0:", ""},
       })
    assert_text(unit_of_process(expanded(c.cgroup)), c.unit);
}
END_TEST

START_TEST(owner_texts) {
  assert_text(Owner{.process = "systemd", .pid = 1, .unit = "", .is_manager = true}.text(),
              "held by systemd");

  assert_text(Owner{}.text(), "");
  assert_text(Owner{"nginx", 12, ""}.text(), "nginx[12]");
  assert_text(Owner{"nginx", 12, "nginx.service"}.text(), "nginx.service");
  assert_text(Owner{"", 0, "nginx.service"}.text(), "nginx.service");
}
END_TEST

START_TEST(lowest_pid_that_has_the_socket) {
  const Host host;
  for (const int pid : {7, 80, 100, 9, 1000})
    host.start(pid, "p" + std::to_string(pid));
  for (const int pid : {1000, 80, 100})
    host.open_socket(pid, pid, 4000);
  host.open_socket(1000, 3, 4001);
  host.open_socket(9, 3, 4002);
  host.open_socket(9, 4, 4003);
  host.open_socket(7, 3, "socket:[40010");
  host.open_socket(7, 4, "socket:[40010]");
  host.open_socket(7, 8, "/folder/4001]");
  host.open_socket(7, 5, "socket:4001");
  host.open_socket(7, 6, "anon_inode:[4001]");
  host.open_socket(7, 7, "socket:[8589938593]"); // 4001 in 32 bits
  OwnerCache cache = host.cache();
  update(cache, {socket_of(1, 4000), socket_of(2, 4001), socket_of(3, 4002), socket_of(4, 4003),
                 socket_of(5, 4004), socket_of(6, 0)});
  assert_text(shown(cache, 1), "p80[80]");
  assert_text(shown(cache, 2), "p1000[1000]");
  assert_text(shown(cache, 3), "p9[9]");
  assert_text(shown(cache, 4), "p9[9]");
  assert_text(shown(cache, 5), "");
  assert_text(shown(cache, 6), "");
  assert_text(shown(cache, 7), "-");
  ck_assert_uint_eq(cache.scans(), 1);
}
END_TEST

START_TEST(other_threads_have_the_sockets_when_the_first_has_ended) {
  const Host host;
  for (const int pid : {80, 100, 120})
    host.start(pid, "p" + std::to_string(pid));
  host.open_socket(100, 5, 4000);
  host.open_socket(120, 6, 4000);
  host.open_socket(120, 7, 4001);
  host.end_first_thread(100, 101);
  std::ofstream(host.proc() / "100/task/101/cgroup") << "0::/system.slice/a.service\n";
  host.put_into(100, "0::/");
  OwnerCache cache = host.cache();
  update(cache, {socket_of(1, 4000), socket_of(2, 4001)});
  assert_text(shown(cache, 1), "a.service");
  assert_text(shown(cache, 2), "p120[120]");
  update(cache, {socket_of(1, 4000), socket_of(2, 4001)});
  assert_text(shown(cache, 1), "a.service");
  ck_assert_uint_eq(cache.scans(), 1);

  std::unordered_set<std::uint32_t> wanted{4000};
  const auto holders = find_socket_holders(wanted, {}, {}, host.proc());
  ck_assert_uint_eq(holders.size(), 1);
  ck_assert_int_eq(holders.front().owner.pid, 100);

  std::ofstream(host.proc() / "100/task/101/stat") << "101 (b) Z 1 1\n";
  update(cache, {socket_of(1, 4000), socket_of(2, 4001)});
  assert_text(shown(cache, 1), "p120[120]");
}
END_TEST

START_TEST(processes_that_have_sockets_open) {
  const Host host;
  for (const int pid : {70, 8, 100})
    host.start(pid, "p" + std::to_string(pid));
  host.open_socket(70, 3, 4000);
  host.open_socket(70, 4, 4001);
  host.open_socket(70, 5, 5000);
  host.open_socket(8, 3, 4002);
  host.open_socket(8, 4, 6000);
  host.open_socket(100, 3, 4000);
  host.open_socket(100, 4, 4003);
  host.put_into(70, "0::/system.slice/a.service");
  const std::unordered_set<std::uint32_t> listening{5000, 6000, 7000};
  std::unordered_set<std::uint32_t> wanted{4000, 4001, 4002, 4004};
  auto holders = find_socket_holders(wanted, listening, {}, host.proc());
  ck_assert(wanted == (std::unordered_set<std::uint32_t>{4004}));
  ck_assert_uint_eq(holders.size(), 2);
  assert_text(holders[0].owner.text(), "p8[8]");
  ck_assert(holders[0].held == std::vector<std::uint32_t>{4002});
  ck_assert(holders[0].noted == std::vector<std::uint32_t>{6000});
  assert_text(holders[1].owner.text(), "a.service");
  std::sort(holders[1].held.begin(), holders[1].held.end());
  ck_assert(holders[1].held == (std::vector<std::uint32_t>{4000, 4001}));
  ck_assert(holders[1].noted == std::vector<std::uint32_t>{5000});

  // One with very many descriptors comes last, and only if it has to.
  for (int fd = 10; fd < 300; ++fd)
    host.open_socket(8, fd, static_cast<std::uint32_t>(10000 + fd));
  wanted = {4002, 4003};
  holders = find_socket_holders(wanted, listening, {}, host.proc());
  ck_assert_uint_eq(holders.size(), 2);
  assert_text(holders[0].owner.text(), "p100[100]");
  ck_assert(holders[1].noted == std::vector<std::uint32_t>{6000});

  // Only in these processes.
  wanted = {4000, 4003};
  holders = find_socket_holders(wanted, {}, std::vector<pid_t>{999, 70}, host.proc());
  ck_assert(wanted == (std::unordered_set<std::uint32_t>{4003}));
  ck_assert_uint_eq(holders.size(), 1);
  ck_assert(find_socket_holders(wanted, {}, {}, host.proc() / "none").empty());
}
END_TEST

START_TEST(scan_ends_when_all_are_found) {
  const Host host;
  for (const int pid : {5, 50, 500}) {
    host.start(pid, "server");
    host.open_socket(pid, 3, 4000);
  }
  host.open_socket(5, 4, 4001);
  host.open_socket(50, 4, 4002);
  const UniqueFd events(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  const fs::path last = host.proc() / "500" / "fd";
  ck_assert_int_ge(inotify_add_watch(events.get(), last.c_str(), IN_OPEN), 0);
  const auto was_opened = [&] {
    std::array<char, 4096> event{};
    return read(events.get(), event.data(), event.size()) > 0;
  };
  OwnerCache cache = host.cache();
  std::vector<OwnedSocket> listening{socket_of(1, 4000), socket_of(2, 4001), socket_of(3, 4002)};
  update(cache, listening);
  ck_assert(!was_opened());
  listening.push_back(socket_of(4, 4003));
  update(cache, listening);
  ck_assert(was_opened());
}
END_TEST

START_TEST(name_is_shown_as_it_is) {
  const Host host;
  host.start(5, "a\nb: \x1b\xc3\xa9");
  host.open_socket(5, 3, 4000);
  OwnerCache cache = host.cache();
  update(cache, {socket_of(1, 4000)});
  assert_text(shown(cache, 1), "a\nb: \x1b\xc3\xa9[5]");
}
END_TEST

START_TEST(process_that_ends_during_the_scan_is_passed_over) {
  const Host host;
  host.start(5, "ending");
  host.open_socket(5, 3, 4000);
  host.open_socket(5, 4, 4001);
  fs::remove(host.proc() / "5" / "comm");
  host.start(6, "fd");
  fs::remove_all(host.proc() / "6" / "fd");
  host.start(70, "next");
  host.open_socket(70, 3, 4000);
  OwnerCache cache = host.cache();
  update(cache, {socket_of(1, 4000), socket_of(2, 4001)});
  assert_text(shown(cache, 1), "next[70]");
  assert_text(shown(cache, 2), "");
}
END_TEST

START_TEST(no_scan_without_new_sockets) {
  const Host host;
  host.start(5, "server");
  host.open_socket(5, 3, 4000);
  host.open_socket(5, 4, 4001);
  const std::uint64_t cgroup = host.cgroup("system.slice/server.service");
  OwnerCache cache = host.cache();
  update(cache, {});
  ck_assert_uint_eq(cache.scans(), 0);
  std::vector<OwnedSocket> listening{socket_of(1, 4000, cgroup), socket_of(2, 5000, 999999)};
  update(cache, listening);
  for (int interval = 0; interval < 10; ++interval)
    update(cache, listening);
  ck_assert_uint_eq(cache.scans(), 1);
  ck_assert_uint_eq(cache.walks(), 1);
  listening.push_back(socket_of(3, 4001, cgroup));
  update(cache, listening);
  update(cache, listening);
  ck_assert_uint_eq(cache.scans(), 2);
  ck_assert_uint_eq(cache.walks(), 1);
  assert_text(shown(cache, 3), "server.service");
  listening.pop_back();
  update(cache, listening);
  update(cache, {});
  ck_assert_uint_eq(cache.scans(), 2);
  update(cache, {socket_of(4, 0, 1)}); // nothing to find it by
  ck_assert_uint_eq(cache.scans(), 2);
  ck_assert_uint_eq(cache.walks(), 1);
}
END_TEST

START_TEST(sockets_that_are_gone_are_forgotten) {
  const Host host;
  host.start(5, "server");
  host.open_socket(5, 3, 4000);
  host.open_socket(5, 4, 4001);
  const std::uint64_t cgroup = host.cgroup("server.service");
  OwnerCache cache = host.cache();
  update(cache, {socket_of(1, 4000, cgroup), socket_of(2, 4001)});
  update(cache, {socket_of(2, 4001)});
  assert_text(shown(cache, 1), "-");
  assert_text(shown(cache, 2), "server[5]");
  update(cache, {socket_of(1, 4000, cgroup), socket_of(2, 4001)});
  assert_text(shown(cache, 1), "server.service");
  ck_assert_uint_eq(cache.scans(), 2);
  ck_assert_uint_eq(cache.walks(), 2);
}
END_TEST

START_TEST(process_not_found_is_looked_for_in_the_next_two_scans) {
  struct Case {
    int scans_before_it_is_there;
    std::string found;
  };
  for (const Case &c : {Case{0, "late[50]"}, {1, "late[50]"}, {2, "late[50]"}, {3, ""}, {4, ""}}) {
    const Host host;
    host.start(5, "server");
    OwnerCache cache = host.cache();
    std::vector<OwnedSocket> listening{socket_of(1, 4000)};
    const auto scan = [&] {
      const auto number = static_cast<std::uint32_t>(listening.size()) + 1;
      host.open_socket(5, static_cast<int>(number + 3), 4000 + number);
      listening.push_back(socket_of(number, 4000 + number));
      update(cache, listening);
      update(cache, listening);
    };
    for (int i = 0; i < c.scans_before_it_is_there; ++i)
      scan();
    host.start(50, "late");
    host.open_socket(50, 3, 4000);
    scan();
    ck_assert_uint_eq(cache.scans(), c.scans_before_it_is_there + 1);
    assert_text(shown(cache, 1), c.found);
  }
}
END_TEST

START_TEST(process_that_lets_go_is_replaced_by_who_remains) {
  const Host host;
  for (const int pid : {5, 50, 500}) {
    host.start(pid, "p" + std::to_string(pid));
    host.open_socket(pid, 3, 4000);
  }
  OwnerCache cache = host.cache();
  const std::vector<OwnedSocket> listening{socket_of(1, 4000)};
  update(cache, listening);
  assert_text(shown(cache, 1), "p5[5]");
  host.end(5);
  update(cache, listening);
  assert_text(shown(cache, 1), "p50[50]");
  ck_assert_uint_eq(cache.scans(), 2);
  host.close_socket(50, 3);
  host.open_socket(50, 3, 4001);
  update(cache, listening);
  assert_text(shown(cache, 1), "p500[500]");
  ck_assert_uint_eq(cache.scans(), 3);
  host.end(500);
  update(cache, listening);
  ck_assert(*cache.find(1) == Owner{});
  update(cache, listening);
  ck_assert_uint_eq(cache.scans(), 4);
}
END_TEST

START_TEST(unit_of_who_has_the_socket) {
  const Host host;
  host.start(5, "snmpd");
  host.put_into(5, "0::/system.slice/snmpd.service");
  host.open_socket(5, 3, 4000);
  host.open_socket(5, 4, 4001);
  const std::uint64_t other = host.cgroup("system.slice/other.service");
  OwnerCache cache = host.cache();
  const std::vector<OwnedSocket> listening{socket_of(1, 4000), socket_of(2, 4001, other)};
  update(cache, listening);
  ck_assert(*cache.find(1) == (Owner{"snmpd", 5, "snmpd.service"}));
  assert_text(shown(cache, 2), "other.service"); // its creator
  host.end(5);
  update(cache, listening);
  ck_assert(*cache.find(1) == Owner{});
  assert_text(shown(cache, 2), "other.service");
}
END_TEST

START_TEST(names_are_read_again) {
  const Host host;
  host.start(5, "(server)");
  host.put_into(5, "0::/init.scope");
  host.open_socket(5, 3, 4000);
  OwnerCache cache = host.cache();
  const std::vector<OwnedSocket> listening{socket_of(1, 4000)};
  update(cache, listening);
  assert_text(shown(cache, 1), "(server)[5]");
  host.rename(5, "renamed");
  update(cache, listening);
  assert_text(shown(cache, 1), "renamed[5]");
  host.put_into(5, "0::/system.slice/server.service"); // before exec()
  host.rename(5, "server");
  update(cache, listening);
  assert_text(shown(cache, 1), "server.service");
  ck_assert_uint_eq(cache.scans(), 1);
}
END_TEST

START_TEST(who_accepts_rather_than_who_listens_for_it) {
  struct Process {
    int pid;
    const char *name;
    const char *cgroup = "0::/";
  };
  struct Case {
    std::vector<Process> processes; ///< that have the socket, whose creator's cgroup is
    const char *creator;
    const char *owner;
  };
  const char *service = "0::/system.slice/app.service";
  for (const Case &c : std::vector<Case>{
           {{{1, "systemd"}}, "", "held by systemd"},
           {{{1, "init"}}, "", "held by init"},
           {{{900, "systemd"}}, "", "held by systemd"},
           {{{1, "nginx"}}, "", "nginx[1]"}, // a container's
           {{{1, "systemd"}, {70, "app"}}, "", "app[70]"},
           {{{1, "systemd"}, {70, "app"}, {80, "app"}}, "", "app[70]"},
           {{{900, "systemd"}, {70, "app"}}, "", "app[70]"},
           {{{900, "systemd"}, {1000, "app"}}, "", "app[1000]"},
           {{{1, "systemd"}, {900, "systemd"}}, "", "held by systemd"},
           {{{1, "systemd"}, {900, "systemd"}, {1000, "app"}}, "", "app[1000]"},
           {{{1, "s6-svscan"}, {70, "app"}}, "", "app[70]"},
           {{{1, "nginx"}, {70, "nginx"}}, "", "nginx[1]"},
           {{{1, "gunicorn: maste"}, {70, "gunicorn: worke"}}, "", "gunicorn: maste[1]"},
           {{{1, "systemd"}, {70, "app", service}}, "", "app.service"},
           {{{1, "systemd"}, {70, "app", service}}, "system.slice/app.socket", "app.service"},
           {{{1, "systemd"}, {70, "app"}}, "system.slice/app.socket", "app.socket"},
           {{{1, "systemd"}}, "system.slice/app.socket", "app.socket"},
           {{{1, "systemd", service}}, "", "held by systemd"},
       }) {
    const Host host;
    for (const Process &process : c.processes) {
      host.start(process.pid, process.name);
      host.put_into(process.pid, process.cgroup);
      host.open_socket(process.pid, 3, 4000);
      host.open_socket(process.pid, 4, 4000); // twice
    }
    OwnerCache cache = host.cache();
    update(cache, {socket_of(1, 4000, *c.creator != '\0' ? host.cgroup(c.creator) : 0)});
    assert_text(shown(cache, 1), c.owner);
  }
}
END_TEST

START_TEST(who_accepts_may_come_later) {
  const Host host;
  host.start(1, "systemd");
  host.open_socket(1, 3, 4000);
  OwnerCache cache = host.cache();
  std::vector<OwnedSocket> listening{socket_of(1, 4000)};
  OwnerCache::TimePoint now{std::chrono::hours(1)};
  const auto look = [&] {
    cache.update(listening, now);
    cache.scan();
    return shown(cache, 1);
  };
  assert_text(look(), "held by systemd");
  assert_text(look(), "held by systemd");
  ck_assert_uint_eq(cache.scans(), 1);
  host.start(70, "app");
  host.open_socket(70, 3, 4000);
  assert_text(look(), "held by systemd");
  listening[0].is_waited_at = true;
  assert_text(look(), "app[70]");
  assert_text(look(), "app[70]");
  ck_assert_uint_eq(cache.scans(), 2);

  host.end(70); // and the manager listens again
  assert_text(look(), "held by systemd");
  host.start(80, "app");
  host.open_socket(80, 3, 4000);
  listening[0].is_waited_at = false;
  assert_text(look(), "held by systemd");
  now += std::chrono::minutes(1);
  assert_text(look(), "app[80]");
}
END_TEST

START_TEST(a_socket_that_nobody_has_for_a_while) {
  const Host host;
  host.start(50, "old");
  host.open_socket(50, 3, 4000);
  OwnerCache cache = host.cache();
  std::vector<OwnedSocket> listening{socket_of(1, 4000), socket_of(2, 4001)}; // 2: nobody's
  OwnerCache::TimePoint now{std::chrono::hours(1)};
  const auto look = [&] {
    cache.update(listening, now);
    if (cache.wants_scan())
      cache.scan();
    return shown(cache, 1);
  };
  assert_text(look(), "old[50]");
  host.end(50);
  for (int i = 0; i < 5; ++i)
    assert_text(look(), "");
  const std::uint64_t scans = cache.scans();
  host.start(60, "new");
  host.open_socket(60, 3, 4000);
  assert_text(look(), "");
  ck_assert_uint_eq(cache.scans(), scans);
  listening[0].is_waited_at = listening[1].is_waited_at = true;
  assert_text(look(), "new[60]");
  ck_assert_uint_eq(cache.scans(), scans + 1);
  assert_text(look(), "new[60]");
  ck_assert_uint_eq(cache.scans(), scans + 1);

  host.end(60);
  listening[0].is_waited_at = false;
  assert_text(look(), "");
  host.start(70, "newer");
  host.open_socket(70, 3, 4000);
  now += std::chrono::minutes(1);
  assert_text(look(), "newer[70]");
}
END_TEST

START_TEST(search_can_be_left_for_later) {
  const Host host;
  host.start(5, "server");
  host.open_socket(5, 3, 4000);
  const std::uint64_t cgroup = host.cgroup("server.service");
  OwnerCache cache = host.cache();
  const std::vector<OwnedSocket> listening{socket_of(1, 4000), socket_of(2, 0, cgroup)};
  cache.update(listening);
  cache.update(listening);
  ck_assert(cache.wants_scan());
  assert_text(shown(cache, 1), "");
  assert_text(shown(cache, 2), "");
  ck_assert_uint_eq(cache.scans() + cache.walks(), 0);
  update(cache, listening);
  assert_text(shown(cache, 1), "server[5]");
  assert_text(shown(cache, 2), "server.service");
  ck_assert(!cache.wants_scan());
  host.end(5);
  cache.update(listening);
  ck_assert(cache.wants_scan());
  assert_text(shown(cache, 1), "");
  ck_assert_uint_eq(cache.scans(), 1);
}
END_TEST

START_TEST(units_by_walking_the_cgroups) {
  const Host host;
  const std::string container = expanded("system.slice/docker-{id}.scope");
  const std::uint64_t nginx = host.cgroup("system.slice/nginx.service");
  const std::uint64_t deep =
      host.cgroup("user.slice/user-1.slice/user@1.service/a.slice/w.service");
  const std::uint64_t session = host.cgroup("user.slice/user-1.slice/session-3.scope");
  const std::uint64_t docker = host.cgroup(container);
  const std::uint64_t inner = host.cgroup(container + "/system.slice/a.service");
  fs::create_symlink("system.slice", host.cgroups() / "file.service");
  const std::uint64_t file = inode_of(host.cgroups() / "file.service");
  host.start(5, "server");
  host.open_socket(5, 3, 4000);
  OwnerCache cache = host.cache();
  update(cache, {socket_of(1, 0, nginx), socket_of(2, 0, deep), socket_of(3, 4000, session),
                 socket_of(4, 0, docker), socket_of(5, 0, inner), socket_of(6, 0, file),
                 socket_of(7, 4000, nginx)});
  assert_text(shown(cache, 1), "nginx.service");
  assert_text(shown(cache, 2), "w.service");
  assert_text(shown(cache, 3), "server[5]");
  assert_text(shown(cache, 4), "docker 0a1b2c3d4e5f");
  assert_text(shown(cache, 5), "docker 0a1b2c3d4e5f");
  assert_text(shown(cache, 6), "");
  assert_text(shown(cache, 7), "nginx.service");
  ck_assert(*cache.find(7) == (Owner{"server", 5, "nginx.service"}));
  ck_assert_uint_eq(cache.walks(), 1);
}
END_TEST

START_TEST(roots_that_are_not_there) {
  const Host host;
  host.start(5, "server");
  host.open_socket(5, 3, 4000);
  for (const std::string &cgroups : {std::string(), host.cgroups().string() + "/none"}) {
    OwnerCache cache(host.proc(), cgroups);
    update(cache, {socket_of(1, 4000, 77)});
    assert_text(shown(cache, 1), "server[5]");
  }
  const std::uint64_t cgroup = host.cgroup("server.service");
  OwnerCache cache(host.proc() / "none", host.cgroups());
  update(cache, {socket_of(1, 4000), socket_of(2, 4000, cgroup)});
  assert_text(shown(cache, 1), "");
  assert_text(shown(cache, 2), "server.service");
  ck_assert_uint_eq(cache.scans(), 0);
}
END_TEST

START_TEST(own_listener) {
  const UniqueFd fd = listen_on_loopback();
  OwnerCache cache;
  update(cache, {socket_of(1, inode_of(fd))});
  assert_text(shown(cache, 1), own_name() + "[" + std::to_string(getpid()) + "]");
  ck_assert(!cache.refused());
  ck_assert_uint_eq(cache.scans(), 1);
}
END_TEST

START_TEST(prefork_children_share_a_socket) {
  UniqueFd fd = listen_on_loopback();
  const std::vector<OwnedSocket> listening{socket_of(1, inode_of(fd))};
  const auto work_as = [](const char *name) { return prctl(PR_SET_NAME, name) == 0; };
  ChildProcess one([&] { return work_as("worker"); });
  ChildProcess two([&] { return work_as("worker"); });
  OwnerCache cache;
  update(cache, listening);
  const pid_t lowest = std::min({getpid(), one.pid(), two.pid()});
  ck_assert_int_eq(cache.find(1)->pid, lowest);

  fd = UniqueFd(); // as a parent that becomes a daemon
  update(cache, listening);
  const bool one_is_lower = one.pid() < two.pid();
  ChildProcess &lower = one_is_lower ? one : two;
  ChildProcess &higher = one_is_lower ? two : one;
  assert_text(shown(cache, 1), "worker[" + std::to_string(lower.pid()) + "]");
  lower.end();
  update(cache, listening);
  assert_text(shown(cache, 1), "worker[" + std::to_string(higher.pid()) + "]");
  const std::uint64_t scans = cache.scans();
  update(cache, listening);
  ck_assert_uint_eq(cache.scans(), scans);
  higher.end();
  update(cache, listening);
  assert_text(shown(cache, 1), "");
}
END_TEST

START_TEST(what_is_not_permitted_stays_empty) {
  if (geteuid() != 0)
    return;
  const UniqueFd fd = listen_on_loopback();
  const std::uint32_t inode = inode_of(fd);
  assert_text(as_nobody([&]() -> std::string {
                close(fd.get()); // the child's copy
                OwnerCache cache;
                update(cache, {socket_of(1, inode, 1)});
                update(cache, {socket_of(1, inode, 1)});
                if (!cache.find(1) || *cache.find(1) != Owner{})
                  return "owner: " + shown(cache, 1);
                if (cache.scans() != 1)
                  return "scanned again";
                return cache.refused() ? "refused" : "no word of it";
              }),
              "refused");
}
END_TEST

START_TEST(cgroups_of_the_kernel) {
  const std::string mount = cgroup2_mount();
  const std::string name = "check-owner-" + std::to_string(getpid()) + ".service";
  const fs::path path = fs::path(mount) / name;
  if (mount.empty() || geteuid() != 0 || mkdir(path.c_str(), 0755) != 0)
    return; // no cgroup2 that may be written to
  struct stat status {};
  const bool exists = stat(path.c_str(), &status) == 0;
  const std::uint64_t walks = may_open_by_handle(path) ? 0 : 1;
  const std::vector<OwnedSocket> listening{socket_of(1, 0, status.st_ino)};
  OwnerCache cache;
  update(cache, listening);
  const std::string walked = as_nobody([&] {
    OwnerCache unprivileged;
    update(unprivileged, listening);
    return shown(unprivileged, 1) + " by " + std::to_string(unprivileged.walks());
  });
  rmdir(path.c_str());
  OwnerCache after;
  update(after, listening);

  ck_assert(exists);
  assert_text(shown(cache, 1), name);
  assert_text(walked, name + " by 1");
  assert_text(shown(after, 1), "");
  ck_assert_uint_eq(cache.walks(), walks);
  ck_assert_uint_eq(after.walks(), walks);
}
END_TEST

int main() {
  return run_tests(
      "owner", cgroup_names, units_of_processes, owner_texts, unit_of_who_has_the_socket,
      names_are_read_again, who_accepts_rather_than_who_listens_for_it, who_accepts_may_come_later,
      lowest_pid_that_has_the_socket, other_threads_have_the_sockets_when_the_first_has_ended,
      processes_that_have_sockets_open, scan_ends_when_all_are_found, name_is_shown_as_it_is,
      process_that_ends_during_the_scan_is_passed_over, no_scan_without_new_sockets,
      sockets_that_are_gone_are_forgotten, process_not_found_is_looked_for_in_the_next_two_scans,
      process_that_lets_go_is_replaced_by_who_remains, a_socket_that_nobody_has_for_a_while,
      search_can_be_left_for_later, units_by_walking_the_cgroups, roots_that_are_not_there,
      own_listener, prefork_children_share_a_socket, what_is_not_permitted_stays_empty,
      cgroups_of_the_kernel);
}
