#pragma once

#include "function_ref.h"
#include "sock_diag.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace backlog {

/// A listening Unix socket for which bind() made a file, as unix_diag tells of it.
struct UnixFile {
  std::uint64_t cookie = 0;
  std::string path;                ///< as given to bind(), absolute
  std::uint32_t inode = 0;         ///< as in UnixListener
  std::uint32_t device = 0;        ///< likewise
  std::uint64_t net_namespace = 0; ///< of the socket, by inode
};

/// Whether an address is one for which bind() made a file that can be looked for: a relative one is
/// relative to a directory that nobody knows.
inline bool has_unix_file(const UnixListener &listener) {
  return listener.file_inode != 0 && listener.address.starts_with('/');
}

/// Who has such a socket open.
struct UnixFileOwner {
  pid_t pid = 0; ///< 0: not known
  std::string unit;
  bool is_looked_for = false; ///< it may be known the next time
};

/// Where such a listener is to be found: the file to which a path leads, not the name under which
/// that was bound, since servers bind under another name and rename() it.
struct UnixPlace {
  std::string path;     ///< that leads to the file, or led to it when it was last there
  std::string owned_by; ///< whose mount namespace that is of, by unit or by inode; "": collectd's
  bool counts = true;   ///< false: another listener is what the path leads to

  bool operator==(const UnixPlace &) const = default;
};
using UnixPlaces = std::unordered_map<std::uint64_t, UnixPlace>; ///< by cookie

/// The path to which a server is going to rename() what it has bound: without ".PID.tmp", ".tmp",
/// ".new" or ".PID" at its end; "": there is none of these.
std::string path_without_temporary_suffix(std::string_view path);

/// Finds the places of Unix listeners. To look at a path that somebody else has made can take as
/// long as a dead mount takes: no thread that others wait for may do it.
class UnixPaths {
public:
  /// watched: paths that Watch blocks name; a listener to which one of them leads has that path.
  explicit UnixPaths(std::vector<std::string> watched, std::string proc_root = "/proc");

  /// New ones, as far as their places can be told without their owners.
  void add(std::span<const UnixFile> files);

  using FindOwner = FunctionRef<UnixFileOwner(std::uint64_t cookie)>;
  /// All that are listening now. Looks at those without a place first, then at others in turn, and
  /// forgets those that are gone.
  void update(std::span<const UnixFile> listening, FindOwner find_owner);

  /// Those whose owners would tell more.
  const std::unordered_set<std::uint64_t> &wanting_owner() const { return wanting_owner_; }
  /// Those to whose files nothing leads any more: nobody can connect.
  const std::unordered_set<std::uint64_t> &gone() const { return gone_; }
  /// nullptr: they are as they were when they were taken last.
  std::shared_ptr<const UnixPlaces> take_changed();

private:
  struct Entry {
    UnixFile file;
    std::optional<UnixPlace> found; ///< by the last look; empty: not known yet
    std::optional<UnixPlace> told;  ///< the same, where several have one path
    std::string mounts;             ///< the owner's mount namespace, by inode, if that is another
    bool is_sure = false;           ///< the path was seen to lead to it
    bool is_gone = false;
    unsigned looks_without_owner = 0;
    std::uint64_t seen = 0;   ///< the last update() with it
    std::uint64_t looked = 0; ///< the last update() that looked at it
  };
  struct View;

  void look_at_watched();
  bool look_in_own_view(Entry &entry);
  bool look(Entry &entry, FindOwner find_owner);
  void look_as_owner(Entry &entry, const UnixFileOwner &owner);
  std::string moved_to(const View &view, const UnixFile &file);
  void tell_apart();

  std::vector<std::string> watched_;
  std::unordered_multimap<std::uint32_t, std::string> watched_files_; ///< by inode, as of now
  std::string proc_root_;
  std::unordered_map<std::uint64_t, Entry> entries_; ///< by cookie
  std::unordered_set<std::uint64_t> wanting_owner_;
  std::unordered_set<std::uint64_t> gone_;
  std::uint64_t updates_ = 0;
  unsigned folders_left_ = 0; ///< to be searched in this update
  bool changed_ = false;
};

} // namespace backlog
