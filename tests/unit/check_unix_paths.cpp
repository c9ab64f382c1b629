#include "child_process.h"
#include "folder.h"
#include "test_program.h"
#include "unique_fd.h"
#include "unix_paths.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <map>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

using namespace backlog;

namespace {

UniqueFd listen_on(const std::string &path) {
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return {};
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  if (bind(fd.get(), reinterpret_cast<sockaddr *>(&address), sizeof address) != 0 ||
      listen(fd.get(), 5) != 0)
    return {};
  return fd;
}

/// Listeners with made-up cookies, and where they are found to be.
class Observed {
public:
  explicit Observed(std::vector<std::string> watched = {}) : paths_(std::move(watched)) {}

  /// A new listener whose file is at `at` now.
  void add(std::uint64_t cookie, const std::string &bound, const std::string &at) {
    struct stat status {};
    ck_assert_int_eq(stat(at.c_str(), &status), 0);
    listening_[cookie] = {.cookie = cookie,
                          .path = bound,
                          .inode = static_cast<std::uint32_t>(status.st_ino),
                          .device = major(status.st_dev) << 20U | minor(status.st_dev)};
  }
  void add(std::uint64_t cookie, const std::string &path) { add(cookie, path, path); }
  void add(const UnixFile &file) { listening_[file.cookie] = file; }
  void close(std::uint64_t cookie) { listening_.erase(cookie); }
  void own(std::uint64_t cookie, pid_t pid, const std::string &unit = "") {
    owners_[cookie] = {pid, unit};
  }
  UnixFile &file(std::uint64_t cookie) { return listening_.at(cookie); }

  /// Looks at all of them.
  void look() {
    std::vector<UnixFile> files;
    for (const auto &[cookie, file] : listening_)
      files.push_back(file);
    paths_.update(files, [this](std::uint64_t cookie) { return owners_[cookie]; });
    take();
  }
  /// Looks at those alone that have come.
  void look_at_new() {
    std::vector<UnixFile> files;
    for (const auto &[cookie, file] : listening_)
      files.push_back(file);
    paths_.add(files);
    take();
  }
  /// Where one is; "?": that is not known.
  std::string where(std::uint64_t cookie) const {
    const auto found = places_.find(cookie);
    if (found == places_.end())
      return "?";
    const UnixPlace &place = found->second;
    return place.path + (place.owned_by.empty() ? "" : " of " + place.owned_by) +
           (place.counts ? "" : " shadowed") + (paths_.gone().contains(cookie) ? " gone" : "");
  }
  bool wants_owner(std::uint64_t cookie) const { return paths_.wanting_owner().contains(cookie); }

private:
  void take() {
    if (const auto changed = paths_.take_changed())
      places_ = *changed;
    ck_assert(paths_.take_changed() == nullptr);
  }

  UnixPaths paths_;
  std::map<std::uint64_t, UnixFile> listening_;
  std::map<std::uint64_t, UnixFileOwner> owners_;
  UnixPlaces places_;
};

void move(const std::string &from, const std::string &to) {
  ck_assert_int_eq(rename(from.c_str(), to.c_str()), 0);
}

/// A process with a /run of its own, in which it listens at these paths.
class PrivateRun {
public:
  explicit PrivateRun(const std::vector<std::string> &paths)
      : process_([&paths] {
          if (unshare(CLONE_NEWNS) != 0 ||
              mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
              mount("none", "/run", "tmpfs", 0, nullptr) != 0)
            return false;
          static std::vector<UniqueFd> listeners;
          for (const std::string &path : paths) {
            (void)mkdir(path.substr(0, path.rfind('/')).c_str(), 0755);
            listeners.push_back(listen_on(path));
            if (!listeners.back())
              return false;
          }
          return true;
        }) {}

  bool has_begun() const { return process_.has_begun(); }
  pid_t pid() const { return process_.pid(); }
  std::string seen_from_outside(const std::string &path) const {
    return "/proc/" + std::to_string(pid()) + "/root" + path;
  }
  std::string mounts() const {
    struct stat status {};
    ck_assert_int_eq(stat(("/proc/" + std::to_string(pid()) + "/ns/mnt").c_str(), &status), 0);
    return std::to_string(status.st_ino);
  }

private:
  ChildProcess process_;
};

} // namespace

START_TEST(temporary_suffixes) {
  struct Case {
    const char *path;
    const char *without;
  };
  for (const Case &c : {
           Case{"/run/admin.sock.1234.tmp", "/run/admin.sock"},
           {"/run/admin.sock.1234", "/run/admin.sock"},
           {"/run/admin.sock.tmp", "/run/admin.sock"},
           {"/run/admin.sock.new", "/run/admin.sock"},
           {"/run/admin.sock", ""},
           {"/run/admin", ""},
           {"/run/admin.", ""},
           {"/run/.tmp", ""},
           {"/run/.12", ""},
           {"/run.1/admin", ""},
           {"/run/admin.1.bak", ""},
           {"/", ""},
           {"", ""},
       })
    assert_text(path_without_temporary_suffix(c.path), c.without);
}
END_TEST

START_TEST(bound_and_renamed) {
  const Folder folder;
  const std::string path = folder / "admin.sock";
  for (const char *name : {"admin.sock.4711.tmp", "admin.sock.new", "quite another"}) {
    Observed observed;
    const std::string temporary = folder / name;
    const UniqueFd listener = listen_on(temporary);
    observed.add(1, temporary);
    observed.look_at_new();
    assert_text(observed.where(1), temporary);
    move(temporary, path);
    observed.look();
    assert_text(observed.where(1), path);
    observed.look();
    assert_text(observed.where(1), path);
    unlink(path.c_str());
    observed.look();
    assert_text(observed.where(1), path + " gone");
    ck_assert(!observed.wants_owner(1));
  }
}
END_TEST

START_TEST(a_watched_path_leads_to_it) {
  const Folder folder;
  const std::string path = folder / "socket";
  const std::string link = folder / "link";
  const UniqueFd listener = listen_on(path);
  ck_assert_int_eq(symlink(path.c_str(), link.c_str()), 0);
  Observed observed({folder / "never there", link});
  observed.add(1, path);
  observed.look_at_new();
  assert_text(observed.where(1), link);
  unlink(link.c_str());
  observed.look();
  assert_text(observed.where(1), path);
}
END_TEST

START_TEST(bound_by_a_relative_path) {
  const Folder folder;
  const UniqueFd watched_one = listen_on(folder / "app.sock");
  const UniqueFd other = listen_on(folder / "other.sock");
  Observed observed({folder / "app.sock"});
  observed.add(1, "app.sock", folder / "app.sock");
  observed.add(2, "./other.sock", folder / "other.sock");
  observed.look_at_new();
  assert_text(observed.where(1), folder / "app.sock");
  assert_text(observed.where(2), "./other.sock");
  observed.look();
  assert_text(observed.where(1), folder / "app.sock");
  assert_text(observed.where(2), "./other.sock");
  unlink((folder / "app.sock").c_str());
  unlink((folder / "other.sock").c_str());
  observed.look();
  assert_text(observed.where(1), folder / "app.sock gone");
  assert_text(observed.where(2), "./other.sock"); // where it was is not known
}
END_TEST

START_TEST(bound_again_shadows_the_first) {
  const Folder folder;
  const std::string path = folder / "socket";
  const std::string other = folder / "other";
  Observed observed;
  const UniqueFd first = listen_on(path);
  const UniqueFd beside = listen_on(other);
  observed.add(1, path);
  observed.add(2, other);
  observed.look();
  unlink(path.c_str());
  const UniqueFd second = listen_on(path);
  observed.add(3, path);
  observed.look();
  assert_text(observed.where(1), path + " shadowed gone");
  assert_text(observed.where(2), other);
  assert_text(observed.where(3), path);
  observed.close(3);
  unlink(path.c_str());
  observed.look();
  assert_text(observed.where(1), path + " gone");
  // In another net namespace the same path is another listener's.
  const UniqueFd third = listen_on(path);
  observed.add(4, path);
  observed.file(4).net_namespace = 42;
  observed.look();
  assert_text(observed.where(1), path + " gone");
  assert_text(observed.where(4), path);
}
END_TEST

START_TEST(first_seen_when_it_was_shadowed_already) {
  const Folder folder;
  const std::string path = folder / "socket";
  const UniqueFd first = listen_on(path);
  Observed observed;
  observed.add(1, path);
  unlink(path.c_str());
  const UniqueFd second = listen_on(path);
  observed.add(2, path);
  observed.look_at_new();
  assert_text(observed.where(1), "?");
  assert_text(observed.where(2), path);
  for (int i = 0; i < 2; ++i) {
    observed.look();
    assert_text(observed.where(1), "?");
    ck_assert(observed.wants_owner(1));
  }
  observed.look(); // as somebody who may not look into other processes
  assert_text(observed.where(1), path + " shadowed");
  observed.own(1, getpid());
  observed.look();
  assert_text(observed.where(1), path + " shadowed gone");
  ck_assert(!observed.wants_owner(1));
}
END_TEST

START_TEST(the_same_inode_of_another_device_is_another_file) {
  const Folder folder;
  const std::string path = folder / "socket";
  const UniqueFd listener = listen_on(path);
  Observed observed;
  observed.add(1, path);
  observed.file(1).device += 1;
  observed.own(1, getpid());
  observed.look();
  const bool has_devices_of_its_own = observed.where(1) == path; // btrfs, overlayfs
  if (!has_devices_of_its_own)
    assert_text(observed.where(1), path + " gone");
}
END_TEST

START_TEST(of_another_mount_namespace) {
  const std::string folder = "/run/check_unix_paths-" + std::to_string(getpid());
  const std::string path = folder + "/app";
  const std::string temporary = path + ".7.tmp";
  const PrivateRun one({path});
  const PrivateRun two({path});
  const PrivateRun three({temporary});
  if (!one.has_begun() || !two.has_begun() || !three.has_begun())
    return; // not permitted here
  ck_assert_int_eq(mkdir(folder.c_str(), 0755), 0);
  const UniqueFd here = listen_on(path);
  Observed observed;
  observed.add(1, path);
  observed.add(2, path, one.seen_from_outside(path));
  observed.add(3, path, two.seen_from_outside(path));
  observed.add(4, temporary, three.seen_from_outside(temporary));
  observed.own(1, getpid());
  observed.own(2, one.pid(), "one.service");
  observed.own(3, two.pid());
  observed.own(4, three.pid(), "three.service");
  move(three.seen_from_outside(temporary), three.seen_from_outside(path));
  observed.look_at_new();
  assert_text(observed.where(1), path);
  assert_text(observed.where(2), "?");
  observed.look();
  unlink(path.c_str());
  rmdir(folder.c_str());
  assert_text(observed.where(1), path);
  assert_text(observed.where(2), path + " of one.service");
  assert_text(observed.where(3), path + " of " + two.mounts());
  assert_text(observed.where(4), path + " of three.service");

  // Two of one unit; and one whose file goes.
  observed.own(3, two.pid(), "one.service");
  unlink(three.seen_from_outside(path).c_str());
  observed.look();
  assert_text(observed.where(1), path + " gone");
  assert_text(observed.where(2), path + " of one.service");
  assert_text(observed.where(3), path + " of one.service-" + two.mounts());
  assert_text(observed.where(4), path + " of three.service gone");
}
END_TEST

START_TEST(gone_before_it_was_seen_from_a_mount_namespace_with_the_same_folder) {
  const Folder folder; // in /tmp, which is everybody's
  const std::string path = folder / "app";
  const PrivateRun service({path});
  if (!service.has_begun())
    return; // not permitted here
  Observed observed;
  observed.add(1, path);
  unlink(path.c_str());
  observed.own(1, service.pid(), "app.service");
  observed.look();
  assert_text(observed.where(1), path + " gone");
}
END_TEST

START_TEST(of_a_process_with_another_root) {
  const Folder folder;
  ck_assert_int_eq(mkdir((folder / "run").c_str(), 0755), 0);
  ChildProcess process([&folder] {
    static UniqueFd listener;
    if (chroot(folder.path().c_str()) != 0)
      return false;
    listener = listen_on("/run/app");
    return static_cast<bool>(listener);
  });
  if (!process.has_begun())
    return; // not permitted here
  Observed observed;
  observed.add(1, "/run/app", folder / "run/app");
  observed.own(1, process.pid(), "app.service");
  observed.look();
  assert_text(observed.where(1), folder / "run/app");
}
END_TEST

int main() {
  return run_tests("unix_paths", temporary_suffixes, bound_and_renamed, a_watched_path_leads_to_it,
                   bound_by_a_relative_path, bound_again_shadows_the_first,
                   first_seen_when_it_was_shadowed_already,
                   the_same_inode_of_another_device_is_another_file, of_another_mount_namespace,
                   gone_before_it_was_seen_from_a_mount_namespace_with_the_same_folder,
                   of_a_process_with_another_root);
}
