#pragma once

#include "sock_diag.h"

#include <cstdint>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace backlog {

/// Which of several Unix listeners of one path can be connected to. After unlink() and another
/// bind() both are listening, but only one is the file that the path leads to now. Where no
/// listener is the path's file, as for a path of another mount namespace, all of them count.
class UnixFiles {
public:
  /// A listener that was not there before. Those without a file of an absolute path are passed
  /// over.
  void add(const UnixListener &listener);
  /// It is gone.
  void remove(std::uint64_t cookie);

  /// Looks at the paths of several listeners to which some have come, or of which some have gone,
  /// since the last look. Returns whether others are replaced than before.
  bool look();
  /// At all paths of several listeners: a file may have been renamed.
  bool look_at_all();

  /// Whether nobody can connect to it any more by its path.
  bool is_replaced(std::uint64_t cookie) const {
    return !replaced_.empty() && replaced_.contains(cookie);
  }
  /// All of those, by cookie.
  const std::unordered_set<std::uint64_t> &replaced() const { return replaced_; }

private:
  struct File {
    std::string path;
    std::uint32_t inode = 0;
    std::uint32_t device = 0;
  };

  bool look_at(const std::string &path);
  bool set_replaced(std::uint64_t cookie, bool replaced);

  std::unordered_map<std::uint64_t, File> files_;                         ///< by cookie
  std::unordered_map<std::string, std::vector<std::uint64_t>> listeners_; ///< cookies by path
  std::unordered_set<std::string> shared_; ///< paths of several listeners
  std::vector<std::string> changed_;       ///< those to look at; they are or were shared
  std::unordered_set<std::uint64_t> replaced_;
};

} // namespace backlog
