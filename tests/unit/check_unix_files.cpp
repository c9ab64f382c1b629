#include "test_program.h"
#include "unique_fd.h"
#include "unix_files.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

using namespace backlog;

namespace {

/// A folder that goes with everything in it. That of the program has those of the tests in it,
/// which are processes of their own and do not clean up when they fail.
class TemporaryFolder {
public:
  explicit TemporaryFolder(const std::string &parent = program_folder) {
    std::string pattern = parent + "/check_unix_files_XXXXXX";
    if (mkdtemp(pattern.data()) == nullptr) {
      std::perror(pattern.c_str());
      std::exit(EXIT_FAILURE);
    }
    path_ = pattern;
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder &) = delete;
  TemporaryFolder &operator=(const TemporaryFolder &) = delete;

  const std::string &path() const { return path_; }
  std::string path_of(const char *name) const { return path_ + "/" + name; }

  static inline std::string program_folder;

private:
  std::string path_;
};

UniqueFd listen_on(const std::string &path) {
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  ck_assert_uint_lt(path.size(), sizeof address.sun_path);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  ck_assert_int_eq(bind(fd.get(), reinterpret_cast<sockaddr *>(&address), sizeof address), 0);
  ck_assert_int_eq(listen(fd.get(), 5), 0);
  return fd;
}

/// The files of listeners with made-up cookies.
class Observed {
public:
  /// A new listener, and the file that its path leads to now.
  void add(std::uint64_t cookie, const std::string &path) {
    struct stat status {};
    ck_assert_int_eq(stat(path.c_str(), &status), 0);
    add(cookie, path, static_cast<std::uint32_t>(status.st_ino),
        major(status.st_dev) << 20U | minor(status.st_dev));
  }
  void add(std::uint64_t cookie, std::string_view address, std::uint32_t inode,
           std::uint32_t device) {
    files_.add({.address = address,
                .cookie = cookie,
                .queue_length = 0,
                .limit = 5,
                .file_inode = inode,
                .file_device = device});
  }
  void close(std::uint64_t cookie) { files_.remove(cookie); }

  /// The cookies that are replaced, one digit each.
  std::string replaced() {
    files_.look_at_all();
    return shown();
  }
  /// Likewise, of the paths to which or of which some have come or gone.
  std::string replaced_at_changed_paths() {
    files_.look();
    return shown();
  }
  bool look() { return files_.look(); }

private:
  std::string shown() const {
    std::string cookies;
    for (std::uint64_t cookie = 0; cookie < 10; ++cookie)
      if (files_.is_replaced(cookie))
        cookies += std::to_string(cookie);
    return cookies;
  }

  UnixFiles files_;
};

} // namespace

START_TEST(bound_again_replaces_the_first) {
  const TemporaryFolder folder;
  const std::string path = folder.path_of("socket");
  const std::string other = folder.path_of("other");
  Observed observed;
  const UniqueFd first = listen_on(path);
  observed.add(1, path);
  const UniqueFd beside = listen_on(other);
  observed.add(2, other);
  assert_text(observed.replaced(), "");

  unlink(path.c_str());
  assert_text(observed.replaced(), "");
  const UniqueFd second = listen_on(path);
  observed.add(3, path);
  assert_text(observed.replaced(), "1");

  unlink(path.c_str());
  const UniqueFd third = listen_on(path);
  observed.add(4, path);
  assert_text(observed.replaced(), "13");

  observed.close(1);
  assert_text(observed.replaced(), "3");
  observed.close(3);
  assert_text(observed.replaced(), "");
}
END_TEST

START_TEST(when_the_file_comes_back_so_does_its_listener) {
  const TemporaryFolder folder;
  const std::string path = folder.path_of("socket");
  const std::string aside = folder.path_of("aside");
  Observed observed;
  const UniqueFd first = listen_on(path);
  observed.add(1, path);
  ck_assert_int_eq(rename(path.c_str(), aside.c_str()), 0);
  const UniqueFd second = listen_on(path);
  observed.add(2, path);
  assert_text(observed.replaced(), "1");
  ck_assert_int_eq(rename(aside.c_str(), path.c_str()), 0);
  assert_text(observed.replaced(), "2");
}
END_TEST

START_TEST(only_paths_that_changed_are_looked_at) {
  const TemporaryFolder folder;
  const std::string path = folder.path_of("socket");
  const std::string aside = folder.path_of("aside");
  Observed observed;
  const UniqueFd first = listen_on(path);
  observed.add(1, path);
  ck_assert(!observed.look());
  ck_assert_int_eq(rename(path.c_str(), aside.c_str()), 0);
  const UniqueFd second = listen_on(path);
  observed.add(2, path);
  ck_assert(observed.look());
  ck_assert(!observed.look());
  assert_text(observed.replaced_at_changed_paths(), "1");
  ck_assert_int_eq(rename(aside.c_str(), path.c_str()), 0);
  const std::string other = folder.path_of("other");
  const UniqueFd beside = listen_on(other);
  observed.add(3, other);
  assert_text(observed.replaced_at_changed_paths(), "1");
  observed.close(2);
  ck_assert(observed.look());
  assert_text(observed.replaced_at_changed_paths(), "");
}
END_TEST

START_TEST(all_count_where_the_path_leads_to_none_of_them) {
  const TemporaryFolder folder;
  const std::string path = folder.path_of("socket");
  Observed observed;
  observed.add(1, path, 100, 7);
  observed.add(2, path, 101, 7);
  assert_text(observed.replaced(), "");
  const UniqueFd here = listen_on(path); // but they are of other mount namespaces
  assert_text(observed.replaced(), "");
}
END_TEST

START_TEST(the_same_inode_of_another_device_is_another_file) {
  const TemporaryFolder folder;
  const std::string path = folder.path_of("socket");
  const UniqueFd fd = listen_on(path);
  struct stat status {};
  ck_assert_int_eq(stat(path.c_str(), &status), 0);
  const auto device =
      static_cast<std::uint32_t>(major(status.st_dev) << 20U | minor(status.st_dev));
  Observed observed;
  observed.add(1, path, static_cast<std::uint32_t>(status.st_ino), device + 1);
  observed.add(2, path);
  assert_text(observed.replaced(), "1");
}
END_TEST

START_TEST(listeners_without_an_absolute_path_are_never_replaced) {
  Observed observed;
  observed.add(1, "socket", 100, 7);
  observed.add(2, "socket", 101, 7);
  observed.add(3, std::string_view("\0abstract", 9), 0, 0);
  observed.add(4, "/no/file", 0, 0);
  observed.add(5, "/no/file", 0, 0);
  assert_text(observed.replaced(), "");
}
END_TEST

START_TEST(kernel_tells_the_file_of_the_path) {
  auto diag = SockDiag::open();
  const TemporaryFolder folder;
  const std::string path = folder.path_of("socket");
  const UniqueFd first = listen_on(path);
  unlink(path.c_str());
  const UniqueFd second = listen_on(path);
  UnixFiles files;
  std::map<std::uint64_t, std::uint32_t> inodes; // by cookie
  if (!diag || diag->dump_unix_listeners([&](const UnixListener &listener) {
        files.add(listener);
        if (listener.address == path)
          inodes[listener.cookie] = listener.file_inode;
      }))
    return; // no unix_diag here
  ck_assert_uint_eq(inodes.size(), 2);
  struct stat status {};
  ck_assert_int_eq(stat(path.c_str(), &status), 0);
  files.look();
  for (const auto &[cookie, inode] : inodes)
    ck_assert_int_eq(files.is_replaced(cookie), inode != static_cast<std::uint32_t>(status.st_ino));
}
END_TEST

int main() {
  const TemporaryFolder folder(std::filesystem::temp_directory_path());
  TemporaryFolder::program_folder = folder.path();
  return run_tests(
      "unix_files", bound_again_replaces_the_first, when_the_file_comes_back_so_does_its_listener,
      only_paths_that_changed_are_looked_at, all_count_where_the_path_leads_to_none_of_them,
      the_same_inode_of_another_device_is_another_file,
      listeners_without_an_absolute_path_are_never_replaced, kernel_tells_the_file_of_the_path);
}
