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

/// A listening Unix socket with a file made by bind(), as unix_diag describes it.
struct UnixFile {
  std::uint64_t cookie = 0;
  std::string path;                ///< as given to bind()
  std::uint32_t inode = 0;         ///< see UnixListener
  std::uint32_t device = 0;        ///< see UnixListener
  std::uint64_t net_namespace = 0; ///< inode of the socket's net namespace
};

/// Whether bind() made a file.
inline bool has_unix_file(const UnixListener &listener) { return listener.file_inode != 0; }

/// Whether a path given to bind() is one that can be looked up. A relative one cannot, since its
/// directory is unknown.
inline bool is_whole_path(std::string_view path) { return path.starts_with('/'); }

/// The process that has such a socket open.
struct UnixFileOwner {
  pid_t pid = 0; ///< 0 if unknown
  std::string unit;
  bool is_looked_for = false; ///< it may be known next time
};

/// Where a Unix listener can be reached: the path that leads to its file. This can differ from the
/// path given to bind(), because servers bind a temporary name and rename() it.
struct UnixPlace {
  std::string path;     ///< leads to the file, or did when it was last there
  std::string owned_by; ///< unit or inode of the path's mount namespace; "" for collectd's
  bool counts = true;   ///< false if the path leads to another listener

  bool operator==(const UnixPlace &) const = default;
};
using UnixPlaces = std::unordered_map<std::uint64_t, UnixPlace>; ///< keyed by cookie

/// The path to which a server will rename() its file: without ".PID.tmp", ".tmp", ".new" or ".PID"
/// at the end. "" if it has none of these.
std::string path_without_temporary_suffix(std::string_view path);

/// Finds the places of Unix listeners. Looking at a foreign path can take as long as a dead mount
/// takes, so no thread that others wait for may do it.
class UnixPaths {
public:
  /// watched: paths in Watch blocks; a listener to which one of them leads gets that path.
  explicit UnixPaths(std::vector<std::string> watched, std::string proc_root = "/proc");

  /// Adds new listeners, and finds the places that do not depend on the owner.
  void add(std::span<const UnixFile> files);

  using FindOwner = FunctionRef<UnixFileOwner(std::uint64_t cookie)>;
  /// Takes all current listeners and forgets those that are gone. Looks at listeners without a
  /// place first, then at others in turn.
  void update(std::span<const UnixFile> listening, FindOwner find_owner);

  /// The listeners whose owners would help to find their places.
  const std::unordered_set<std::uint64_t> &wanting_owner() const { return wanting_owner_; }
  /// The listeners that nobody can reach, because no path leads to their files any more.
  const std::unordered_set<std::uint64_t> &gone() const { return gone_; }
  /// Returns the places, or nullptr if they have not changed since the last call.
  std::shared_ptr<const UnixPlaces> take_changed();

private:
  struct Entry {
    UnixFile file;
    std::optional<UnixPlace> found; ///< result of the last look; empty if unknown
    std::optional<UnixPlace>
        resolved;         ///< found, after several listeners on one path were resolved apart
    std::string mounts;   ///< inode of the owner's mount namespace if it is not collectd's
    bool is_sure = false; ///< the path was seen to lead to the file
    bool is_gone = false;
    unsigned looks_without_owner = 0;
    std::uint64_t seen = 0;   ///< last update() that had the listener
    std::uint64_t looked = 0; ///< last update() that looked at it
  };
  struct View;

  void look_at_watched();
  bool look_in_own_view(Entry &entry);
  bool look(Entry &entry, FindOwner find_owner);
  void look_as_owner(Entry &entry, const UnixFileOwner &owner);
  std::string moved_to(const View &view, const UnixFile &file);
  void resolve_shared_paths();

  std::vector<std::string> watched_;
  /// Keyed by inode; refreshed in each update.
  std::unordered_multimap<std::uint32_t, std::string> watched_files_;
  std::string proc_root_;
  std::unordered_map<std::uint64_t, Entry> entries_; ///< keyed by cookie
  std::unordered_set<std::uint64_t> wanting_owner_;
  std::unordered_set<std::uint64_t> gone_;
  std::uint64_t updates_ = 0;
  unsigned folders_left_ = 0; ///< that this update may still search
  bool changed_ = false;
};

} // namespace backlog
