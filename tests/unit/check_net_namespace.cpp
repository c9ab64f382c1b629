#include "folder.h"
#include "hardship.h"
#include "inhabitant.h"
#include "net_namespace.h"
#include "short_memory.h"
#include "test_program.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

using namespace backlog;

namespace {

NetNamespaceId own_id() {
  struct stat status {};
  ck_assert_int_eq(stat("/proc/thread-self/ns/net", &status), 0);
  return {status.st_dev, status.st_ino};
}

std::vector<NetNamespace> found_by(NetNamespaceFinder finder) {
  auto found = finder.find();
  ck_assert(found);
  return *found;
}

std::optional<NetNamespace> found_at(const std::string &path) {
  for (const NetNamespace &found : found_by(NetNamespaceFinder(std::vector<std::string>{})))
    if (std::find(found.paths.begin(), found.paths.end(), path) != found.paths.end())
      return found;
  return std::nullopt;
}

} // namespace

START_TEST(container_ids) {
  const std::string id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
  const std::string inner = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";
  struct Case {
    std::string cgroup;
    const char *id;
  };
  const Case cases[] = {
      {"0::/system.slice/docker-" + id + ".scope\n", "0123456789ab"},
      {"12:cpu:/docker/" + id + "\n0::/\n", "0123456789ab"},
      {"0::/kubepods.slice/cri-containerd-" + id + ".scope", "0123456789ab"},
      {"0::/system.slice/nginx.service\n", ""},
      {"0::/" + id.substr(1) + "\n", ""},
      {"0::/" + id + "0\n", ""},
      {"0::/docker/" + id + "/kubelet/cri-containerd-" + inner + ".scope\n", "fedcba987654"},
      {"2:cpu:/docker/" + id + "/docker/" + inner + "\n0::/docker/" + id + "\n", "fedcba987654"},
      {"", ""},
  };
  for (const Case &c : cases)
    assert_text(container_id(c.cgroup), c.id);
}
END_TEST

START_TEST(names_are_unique) {
  struct Wanted {
    ino_t inode;
    const char *name;
    bool has_id = false;
  };
  struct Case {
    std::vector<Wanted> wanted;
    std::map<NetNamespaceId, std::string> before;
    std::vector<std::string> names; // those with ids: in brackets
  };
  const Case cases[] = {
      {{{1, "a"}, {2, "b"}, {3, "c", true}}, {}, {"a", "b", "[c]"}},
      // The first of those that want it.
      {{{2, "a"}, {1, "a"}}, {}, {"a", "[a-1]"}},
      {{{1, "c", true}, {2, "c", true}, {3, "c", true}}, {}, {"[c]", "[c-2]", "[c-3]"}},
      // The one that had it keeps it, even if it is no longer the first.
      {{{2, "a"}, {1, "a"}}, {{{0, 1}, "a"}}, {"[a-2]", "a"}},
      {{{1, "a"}, {2, "a"}}, {{{0, 1}, "a-1"}, {{0, 2}, "a"}}, {"[a-1]", "a"}},
      // Nobody is renamed when the other has gone.
      {{{1, "a"}}, {{{0, 1}, "a-1"}, {{0, 2}, "a"}}, {"[a-1]"}},
      // But one that is another by its id, or that now has a file.
      {{{1, "a"}}, {{{0, 1}, "b-1"}}, {"a"}},
      {{{1, "a"}}, {{{0, 1}, "0123456789ab"}}, {"a"}},
      {{{1, "a"}, {2, "b"}}, {{{0, 1}, "b"}}, {"a", "b"}},
      // A name with a suffix may be another's, too.
      {{{1, "a-2"}, {3, "a"}, {2, "a"}}, {}, {"a-2", "a", "[a-2-2]"}},
      // Names of listeners would be the same.
      {{{1, "a.b"}, {2, "a-b"}}, {}, {"a.b", "[a-b-2]"}},
  };
  for (const Case &c : cases) {
    std::vector<NetNamespace> namespaces;
    for (const Wanted &wanted : c.wanted)
      namespaces.push_back({{0, wanted.inode}, wanted.name, wanted.has_id, {}});
    make_names_unique(namespaces, c.before);
    ck_assert_uint_eq(namespaces.size(), c.names.size());
    for (std::size_t i = 0; i < namespaces.size(); ++i)
      assert_text(namespaces[i].has_id ? "[" + namespaces[i].name + "]" : namespaces[i].name,
                  c.names[i]);
  }
}
END_TEST

START_TEST(of_too_many_the_first_are_kept) {
  const auto make = [](ino_t inode, const char *name, bool has_id) {
    return NetNamespace{{0, inode}, name, has_id, {}};
  };
  const std::vector<NetNamespace> all{make(1, "1", true), make(2, "2", true), make(3, "3", true),
                                      make(4, "blue", false)};
  struct Case {
    std::vector<NetNamespace> before;
    std::size_t most;
    std::string kept;
  };
  const Case cases[] = {
      {{}, 4, "1 2 3 blue "},     {{}, 3, "1 2 blue "},
      {{}, 1, "blue "},           {{}, 0, ""},
      {{all[2]}, 3, "1 3 blue "}, {{all[2], all[1]}, 3, "2 3 blue "},
      {{all[2]}, 1, "blue "},
  };
  for (const Case &c : cases) {
    std::vector<NetNamespace> namespaces = all;
    ck_assert_uint_eq(keep_most(namespaces, c.before, c.most), all.size() - c.most);
    std::string kept;
    for (const NetNamespace &entry : namespaces)
      kept += entry.name + " ";
    assert_text(kept, c.kept);
  }
}
END_TEST

START_TEST(own_namespace_is_not_found) {
  for (const NetNamespace &found : found_by(NetNamespaceFinder()))
    ck_assert(found.id != own_id());
}
END_TEST

START_TEST(namespace_of_a_process_is_found_entered_and_left) {
  Inhabitant inhabitant;
  if (!inhabitant.has_begun())
    return;
  const auto found = found_at(inhabitant.path());
  ck_assert(found.has_value());
  ck_assert(found->has_id && !found->name.empty());

  const NetNamespaceId before = own_id();
  auto there = NetNamespaceSwitch::make();
  ck_assert(there);
  NetNamespaceId inside;
  ck_assert(!there->run_in(*found, [&] { inside = own_id(); }));
  ck_assert(inside == found->id);
  ck_assert(own_id() == before);

  bool thrown = false;
  try {
    (void)there->run_in(*found, [] { throw std::bad_alloc(); });
  } catch (const std::bad_alloc &) {
    thrown = true;
  }
  ck_assert(thrown && own_id() == before);

  inhabitant.end();
  const Failure gone =
      there->run_in(*found, [] { ck_abort_msg("entered a namespace that is gone"); });
  ck_assert(gone && gone->code == ENOENT);
}
END_TEST

START_TEST(a_switch_does_not_allocate) {
  Inhabitant inhabitant;
  if (!inhabitant.has_begun())
    return;
  const auto found = found_at(inhabitant.path());
  ck_assert(found.has_value());
  auto there = NetNamespaceSwitch::make();
  NetNamespaceId visited;
  const std::size_t before = allocation_count;
  const Failure failure = there->run_in(*found, [&] { visited = own_id(); });
  ck_assert_uint_eq(allocation_count - before, 0);
  ck_assert(!failure && visited == found->id);
}
END_TEST

START_TEST(files_that_come_and_go_are_noticed) {
  const Folder folder;
  const std::string files = folder / "netns";
  const std::string file = files + "/blue";
  const auto let_a_moment_pass = [] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  };
  NetNamespaceFinder finder({files});
  const auto list = [&] { ck_assert(finder.find(NetNamespaceFinder::Look::at_files)); };
  ck_assert(finder.files_changed()); // there is no list yet
  list();
  ck_assert(!finder.files_changed());
  ck_assert_int_eq(mkdir(files.c_str(), 0755), 0);
  ck_assert(finder.files_changed());
  list();
  ck_assert(finder.files_changed()); // another one of the same moment would not be noticed
  let_a_moment_pass();
  list();
  ck_assert(!finder.files_changed());
  // Before a namespace is mounted on it, which does not show.
  ck_assert(UniqueFd(open(file.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600)));
  let_a_moment_pass();
  ck_assert(finder.files_changed());
  list();
  ck_assert(finder.files_changed());
  ck_assert_int_eq(unlink(file.c_str()), 0);
  let_a_moment_pass();
  list();
  ck_assert(!finder.files_changed());
}
END_TEST

START_TEST(those_without_a_file_stay_in_a_list_of_files) {
  NetNamespaceFinder finder(std::vector<std::string>{});
  Inhabitant inhabitant;
  if (!inhabitant.has_begun())
    return;
  const std::string path = inhabitant.path();
  const auto is_found = [&](NetNamespaceFinder::Look look) {
    const auto found = finder.find(look);
    ck_assert(found);
    return std::any_of(found->begin(), found->end(), [&](const NetNamespace &each) {
      return std::find(each.paths.begin(), each.paths.end(), path) != each.paths.end();
    });
  };
  using enum NetNamespaceFinder::Look;
  ck_assert(!is_found(at_files));
  ck_assert(is_found(everywhere));
  ck_assert(is_found(at_files));
  inhabitant.end();
  ck_assert(is_found(at_files));
  ck_assert(!is_found(everywhere));
  ck_assert(!is_found(at_files));
}
END_TEST

START_TEST(another_namespace_at_the_same_path_is_not_entered) {
  Inhabitant inhabitant;
  if (!inhabitant.has_begun())
    return;
  auto found = found_at(inhabitant.path());
  ck_assert(found.has_value());
  ++found->id.inode;
  auto there = NetNamespaceSwitch::make();
  const Failure failure =
      there->run_in(*found, [] { ck_abort_msg("entered the wrong namespace"); });
  ck_assert(failure && failure->code == ENOENT);
}
END_TEST

START_TEST(what_ends_while_it_is_entered_is_gone) {
  auto there = NetNamespaceSwitch::make();
  ck_assert(there);
  for (int i = 0; i < 100; ++i) {
    Inhabitant inhabitant;
    if (!inhabitant.has_begun())
      return;
    const NetNamespace ending = inhabitant.net_namespace("ending");
    std::thread end([&] { inhabitant.end(); });
    Failure failure;
    while (!failure)
      failure = there->run_in(ending, [] {});
    end.join();
    ck_assert_int_eq(failure->code, ENOENT);
  }
}
END_TEST

START_TEST(files_of_one_name_are_told_apart) {
  Inhabitant first;
  Inhabitant second;
  if (!first.has_begun() || !second.has_begun())
    return;
  const Folder blue;
  const Folder other;
  ck_assert_int_eq(symlink(second.path().c_str(), (other / "blue").c_str()), 0);
  NetNamespaceFinder finder({blue.path(), other.path()});
  const auto name_at = [&](const std::string &path) {
    const auto list = finder.find();
    ck_assert(list);
    for (const NetNamespace &found : *list)
      if (found.paths.front() == path)
        return found.name;
    return std::string();
  };
  assert_text(name_at(other / "blue"), "blue");
  ck_assert_int_eq(symlink(first.path().c_str(), (blue / "blue").c_str()), 0);
  for (int list = 0; list < 3; ++list) {
    assert_text(name_at(other / "blue"), "blue");
    ck_assert(name_at(blue / "blue").starts_with("blue-"));
  }
}
END_TEST

START_TEST(files_name_namespaces_the_first_of_them) {
  Inhabitant inhabitant;
  if (!inhabitant.has_begun())
    return;
  char folder[] = "/tmp/check_net_namespace.XXXXXX";
  ck_assert(mkdtemp(folder) != nullptr);
  const std::string base = folder;
  // As bind mounts are, a link leads to the namespace's file.
  for (const char *name : {"/green", "/blue", "/nothing"})
    ck_assert_int_eq(
        symlink(std::string(name) == "/nothing" ? "/dev/null" : inhabitant.path().c_str(),
                (base + name).c_str()),
        0);
  const auto namespaces = found_by(NetNamespaceFinder({base}));
  const auto named = std::count_if(namespaces.begin(), namespaces.end(), [](const auto &found) {
    return found.name == "blue" && !found.has_id;
  });
  const bool others = std::any_of(namespaces.begin(), namespaces.end(), [](const auto &found) {
    return found.name == "green" || found.name == "nothing";
  });
  for (const char *name : {"/green", "/blue", "/nothing"})
    unlink((base + name).c_str());
  rmdir(folder);
  ck_assert_int_eq(named, 1);
  ck_assert(!others);
}
END_TEST

START_TEST(names_of_container_runtimes) {
  struct Case {
    const char *folder;
    const char *name;
    bool is_made_by_runtime;
  };
  for (const Case &c : std::initializer_list<Case>{
           {"/run/docker/netns", "0b7ab3cf8fbd", true},
           {"/run/docker/netns", "default", true},
           {"/run/netns", "cni-01234567-89ab-cdef-0123-456789abcdef", true},
           {"/run/netns", "netns-01234567-89ab-cdef-0123-456789abcdef", true},
           {"/run/netns", "cni-01234567-89ab-cdef-0123-456789abcde", false},
           {"/run/netns", "cni-01234567-89ab-cdef-0123-456789abcdef0", false},
           {"/run/netns", "cni-01234567x89ab-cdef-0123-456789abcdef", false},
           {"/run/netns", "cni-", false},
           {"/run/netns", "01234567-89ab-cdef-0123-456789abcdef", false},
           {"/run/netns", "0b7ab3cf8fbd", false},
           {"/run/netns", "blue", false},
       })
    ck_assert_msg(is_made_by_runtime(c.folder, c.name) == c.is_made_by_runtime, "%s/%s", c.folder,
                  c.name);
}
END_TEST

/// A runtime's file leads in, but its name is no name for series; and it is one of the places to
/// enter by.
START_TEST(a_file_of_a_container_runtime_is_no_lasting_name) {
  Inhabitant inhabitant;
  if (!inhabitant.has_begun())
    return;
  const Folder folder;
  const Folder empty_proc;
  const char *name = "cni-01234567-89ab-cdef-0123-456789abcdef";
  ck_assert_int_eq(symlink(inhabitant.path().c_str(), (folder / name).c_str()), 0);
  const auto found = [&](NetNamespaceFinder &finder, NetNamespaceFinder::Look look) {
    const auto list = finder.find(look);
    ck_assert(list);
    const auto entry = std::find_if(list->begin(), list->end(), [&](const NetNamespace &each) {
      return each.paths.front() == folder / name;
    });
    return entry == list->end() ? std::nullopt : std::optional(*entry);
  };
  using enum NetNamespaceFinder::Look;

  NetNamespaceFinder finder({folder.path()});
  ck_assert(!found(finder, at_files));
  const auto with_processes = found(finder, everywhere);
  ck_assert(with_processes && with_processes->has_id);
  ck_assert_uint_eq(with_processes->paths.size(), 2);
  ck_assert(found(finder, at_files) == with_processes);

  NetNamespaceFinder blind({folder.path()}, empty_proc.path());
  const auto alone = found(blind, everywhere);
  ck_assert(alone && alone->has_id);
  assert_text(alone->name, name);
  auto there = NetNamespaceSwitch::make();
  ck_assert(there);
  ck_assert(!there->run_in(*alone, [] {}));
}
END_TEST

START_TEST(a_list_that_cannot_be_had_is_no_empty_list) {
  const Folder folder;
  NetNamespaceFinder finder({folder / "none", folder.path()});
  ck_assert(finder.find());
  ck_assert(!finder.folder_refusal());
  {
    const NoDescriptors none;
    const auto found = finder.find();
    ck_assert(!found && found.error().code == EMFILE);
  }
  ck_assert_int_eq(chmod(folder.path().c_str(), 0), 0);
  {
    const WithoutCapabilities none{CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH};
    ck_assert(finder.find()); // what others there are
    ck_assert(finder.folder_refusal() && finder.folder_refusal()->code == EACCES);
    assert_text(finder.folder_refusal()->what, folder.path());
  }
  ck_assert_int_eq(chmod(folder.path().c_str(), S_IRWXU), 0);
  ck_assert(finder.find());
  ck_assert(!finder.folder_refusal());
}
END_TEST

/// From an exception that leaves a noexcept function no handler saves the daemon.
START_TEST(without_memory_a_list_ends_with_an_exception) {
  const Folder folder;
  Inhabitant inhabitant;
  ck_assert_int_eq(symlink("/proc/self/ns/net", (folder / "blue").c_str()), 0);
  // One process, however many the host has.
  const std::string proc = folder / "proc";
  ck_assert_int_eq(mkdir(proc.c_str(), S_IRWXU), 0);
  const std::string process = inhabitant.path().substr(0, inhabitant.path().find("/ns/"));
  ck_assert_int_eq(symlink(process.c_str(), (proc + "/1").c_str()), 0);
  NetNamespaceFinder finder({folder.path()}, proc);
  std::size_t failed = 0;
  for (bool found = false; !found; ++failed) {
    allocations_left = failed;
    try {
      found = bool(finder.find());
    } catch (const std::bad_alloc &) {
    }
    allocations_left.reset();
  }
  ck_assert_uint_gt(failed, 10);
}
END_TEST

int main() {
  return run_tests(
      "net_namespace", container_ids, names_are_unique, of_too_many_the_first_are_kept,
      what_ends_while_it_is_entered_is_gone, files_of_one_name_are_told_apart,
      own_namespace_is_not_found, namespace_of_a_process_is_found_entered_and_left,
      a_switch_does_not_allocate, files_that_come_and_go_are_noticed,
      those_without_a_file_stay_in_a_list_of_files,
      another_namespace_at_the_same_path_is_not_entered, names_of_container_runtimes,
      a_file_of_a_container_runtime_is_no_lasting_name, files_name_namespaces_the_first_of_them,
      a_list_that_cannot_be_had_is_no_empty_list, without_memory_a_list_ends_with_an_exception);
}
