#include "folder.h"
#include "own_folder.h"
#include "test_program.h"

#include <cerrno>
#include <cstring>
#include <string>
#include <sys/stat.h>
#include <unistd.h>

using namespace backlog;

namespace {

constexpr uid_t stranger = 65534;

/// "": it can be opened.
std::string refusal_of(const std::string &path) {
  const auto folder = open_own_folder(path);
  if (!folder)
    return folder.error().message();
  struct stat opened {};
  struct stat wanted {};
  ck_assert_int_eq(fstat(folder->get(), &opened), 0);
  ck_assert_int_eq(stat(path.c_str(), &wanted), 0);
  ck_assert(opened.st_dev == wanted.st_dev && opened.st_ino == wanted.st_ino);
  return "";
}

void assert_refused(const std::string &path, const char *why) {
  const std::string refusal = refusal_of(path);
  ck_assert_msg(refusal.find(why) != std::string::npos, "%s: \"%s\" is not \"%s\"", path.c_str(),
                refusal.c_str(), why);
}

/// way/in/run, in a folder of the test's own in /tmp, where the sticky bit is set.
class Tree : public Folder {
public:
  Tree() {
    for (const char *name : {"way", "way/in", "way/in/run", "other", "other/run"})
      ck_assert_int_eq(mkdir((*this / name).c_str(), 0755), 0);
  }
  std::string run() const { return *this / "way/in/run"; }
};

} // namespace

START_TEST(paths_to_an_own_folder) {
  const Tree tree;
  const std::string &base = tree.path();
  for (const char *path : {"/way/in/run", "/way/in/run/", "//way///in/./run", "/way/../way/in/run",
                           "/way/in/run/../run", "/way/in/run/."})
    assert_text(refusal_of(base + path), "");
  ck_assert_int_eq(chdir((base + "/way").c_str()), 0);
  for (const char *path : {"in/run", "./in/run", "../way/in/run", "."})
    assert_text(refusal_of(path), "");
  ck_assert_int_eq(chdir("/"), 0);
  assert_refused(base + "/none/run", "No such file or directory");
  assert_refused(base + "/way/in/none", "No such file or directory");
}
END_TEST

START_TEST(nobody_else_may_write_to_the_folder) {
  const Tree tree;
  for (const mode_t mode : {0775U, 0757U, 01777U}) {
    ck_assert_int_eq(chmod(tree.run().c_str(), mode), 0);
    assert_refused(tree.run(), "is writable by others");
  }
}
END_TEST

START_TEST(nobody_else_may_exchange_a_part_of_the_path) {
  for (const char *part : {"way", "way/in"}) {
    const Tree tree;
    const std::string way = tree / part;
    for (const mode_t mode : {0775U, 0757U, 0777U}) {
      ck_assert_int_eq(chmod(way.c_str(), mode), 0);
      assert_refused(tree.run(), "a folder on its path is writable by others");
    }
    ck_assert_int_eq(chmod(way.c_str(), 01777), 0);
    assert_text(refusal_of(tree.run()), "");
    ck_assert_int_eq(chmod(way.c_str(), 0755), 0);
    if (geteuid() != 0)
      continue;
    ck_assert_int_eq(chown(way.c_str(), stranger, stranger), 0);
    assert_refused(tree.run(), "a folder on its path belongs to another user");
  }
}
END_TEST

START_TEST(the_folder_of_another_user_is_refused) {
  if (geteuid() != 0)
    return;
  const Tree tree;
  ck_assert_int_eq(chown(tree.run().c_str(), stranger, stranger), 0);
  assert_refused(tree.run(), "belongs to another user");
}
END_TEST

START_TEST(links_of_ones_own_are_followed) {
  const Tree tree;
  ck_assert_int_eq(symlink("way", (tree / "relative").c_str()), 0);
  ck_assert_int_eq(symlink((tree / "way").c_str(), (tree / "absolute").c_str()), 0);
  ck_assert_int_eq(symlink("../relative/in", (tree / "other/twice").c_str()), 0);
  assert_text(refusal_of(tree / "relative/in/run"), "");
  assert_text(refusal_of(tree / "absolute/in/run"), "");
  assert_text(refusal_of(tree / "other/twice/run"), "");
  // Their targets are looked at as any path is.
  ck_assert_int_eq(chmod((tree / "way").c_str(), 0777), 0);
  assert_refused(tree / "relative/in/run", "a folder on its path is writable by others");
}
END_TEST

START_TEST(the_folder_itself_is_no_link) {
  const Tree tree;
  ck_assert_int_eq(symlink("way/in/run", (tree / "run").c_str()), 0);
  assert_refused(tree / "run", std::strerror(ELOOP));
}
END_TEST

START_TEST(links_in_a_circle_end) {
  const Tree tree;
  ck_assert_int_eq(symlink("circle", (tree / "circle").c_str()), 0);
  assert_refused(tree / "circle/run", std::strerror(ELOOP));
}
END_TEST

START_TEST(what_others_put_into_a_sticky_folder_is_not_followed) {
  if (geteuid() != 0)
    return;
  const Tree tree;
  const std::string sticky = tree / "way";
  ck_assert_int_eq(chmod(sticky.c_str(), 01777), 0);
  ck_assert_int_eq(symlink("in", (sticky + "/link").c_str()), 0);
  assert_text(refusal_of(sticky + "/link/run"), "");
  ck_assert_int_eq(lchown((sticky + "/link").c_str(), stranger, stranger), 0);
  assert_refused(sticky + "/link/run", "link on its path belongs to another user");
  ck_assert_int_eq(chown((sticky + "/in").c_str(), stranger, stranger), 0);
  assert_refused(tree.run(), "in on its path belongs to another user");
}
END_TEST

START_TEST(a_file_is_no_folder) { assert_refused("/dev/null", std::strerror(ENOTDIR)); }
END_TEST

int main() {
  return run_tests("own_folder", paths_to_an_own_folder, nobody_else_may_write_to_the_folder,
                   nobody_else_may_exchange_a_part_of_the_path,
                   the_folder_of_another_user_is_refused, links_of_ones_own_are_followed,
                   the_folder_itself_is_no_link, links_in_a_circle_end,
                   what_others_put_into_a_sticky_folder_is_not_followed, a_file_is_no_folder);
}
