#pragma once

#include "sock_diag.h"

#include <cstdint>
#include <string>
#include <unordered_map>
#include <unordered_set>

namespace backlog {

/// Which of several Unix listeners of one path can be connected to. After unlink() and another
/// bind() both are listening, but only one is the file that the path leads to now.
class UnixFiles {
public:
  /// A listener that was not there before. Those without a file of an absolute path are passed
  /// over.
  void add(const UnixListener &listener);

  /// Looks at the paths that have several listeners, after listeners have come or gone. alive
  /// tells by cookie who is still there. Where no listener is the path's file, as for a
  /// path of another mount namespace, all of them count.
  void look(FunctionRef<bool(std::uint64_t)> alive);

  /// Whether nobody can connect to it any more by its path.
  bool is_replaced(std::uint64_t cookie) const { return replaced_.contains(cookie); }

private:
  struct File {
    std::string path;
    std::uint32_t inode = 0;
    std::uint32_t device = 0;
  };

  std::unordered_map<std::uint64_t, File> files_; ///< by cookie
  std::unordered_set<std::uint64_t> replaced_;
};

} // namespace backlog
