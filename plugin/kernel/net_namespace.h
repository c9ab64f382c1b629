#pragma once

#include "result.h"
#include "unique_fd.h"

#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

namespace backlog {

/// Identity of a net namespace while it lives: its file in nsfs.
struct NetNamespaceId {
  dev_t device = 0;
  ino_t inode = 0;

  auto operator<=>(const NetNamespaceId &) const = default; // NOLINT(modernize-use-nullptr)
};

/// A net namespace other than collectd's own.
struct NetNamespace {
  NetNamespaceId id;
  std::string name;    ///< no other's: of its file, else its container's id, else its inode
  bool has_id = false; ///< not named by a file alone: the next one has another name
  std::vector<std::string> paths; ///< where it can be opened: its file, or some of its processes

  bool operator==(const NetNamespace &) const = default;
};

/// How a net namespace shows in names.
struct NamespaceLabel {
  std::string name;    ///< "" for collectd's own
  bool has_id = false; ///< as in NetNamespace
};

/// Finds namespaces by their files and by the processes that live in them. What may not be looked
/// at (that takes ptrace access) is passed over, and remembered.
class NetNamespaceFinder {
public:
  explicit NetNamespaceFinder(std::vector<std::string> folders = {"/run/netns",
                                                                  "/run/docker/netns"},
                              std::string proc = "/proc");

  enum class Look : std::uint8_t {
    everywhere,
    at_files, ///< those without a file are as in the last list: to look at all processes takes long
  };
  /// All but the calling thread's own, in order of names. It fails for want of descriptors or
  /// memory only.
  Result<std::vector<NetNamespace>> find(Look look = Look::everywhere);
  /// Whether there may be other files than in the last list.
  bool files_changed() const;
  /// Whether some of no file may have been missed.
  bool refused() const;
  /// Why some with a file were missed in the last list; what: the folder.
  const Failure &folder_refusal() const { return folder_refusal_; }

private:
  /// A folder when it was listed.
  struct Listed {
    dev_t device = 0; ///< and inode 0: it was not there
    ino_t inode = 0;
    std::chrono::nanoseconds changed{0}; ///< since the epoch, by the kernel's coarse clock
    /// False: a change of the same moment would not show, or a file is still to become a namespace.
    bool is_settled = false;
  };
  using Places = std::map<NetNamespaceId, std::size_t>; ///< in a list

  Failure find_files(std::vector<NetNamespace> &found, Places &places);
  Failure find_by_processes(std::vector<NetNamespace> &found, Places &places);
  static Listed state_of(const std::string &folder);

  std::vector<std::string> folders_;
  std::string proc_;
  std::vector<Listed> listed_;             ///< of each folder
  std::vector<NetNamespace> without_file_; ///< of the last list
  bool refused_ = false;
  Failure folder_refusal_;
  std::map<NetNamespaceId, std::string> names_; ///< of the last list
};

/// The id of a container in the text of /proc/PID/cgroup: the first 12 of its 64 hex digits, and of
/// containers within each other the innermost one's; empty: none.
std::string container_id(std::string_view cgroup);

/// Keeps at most so many: first those with a file, then those that were there before, then the
/// others in their order. Returns how many were left out.
std::size_t keep_most(std::vector<NetNamespace> &namespaces,
                      const std::vector<NetNamespace> &before, std::size_t most);

/// Appends - and its inode to a name that another has, too, or that shows as another's does. Of
/// those that want a name, the one that had it before has it, else the first of them; and what was
/// given before is kept as long as the same name is wanted.
void make_names_unique(std::vector<NetNamespace> &namespaces,
                       const std::map<NetNamespaceId, std::string> &before);

/// The thread is in a net namespace that it cannot leave, and must end.
class NamespaceLost : public std::runtime_error {
public:
  using std::runtime_error::runtime_error;
};

/// Takes the calling thread into other namespaces and back into the one in which the switch was
/// made. Nothing of another namespace stays open: that would keep a deleted one alive.
class NetNamespaceSwitch {
public:
  static Result<NetNamespaceSwitch> make();

  /// Calls run() in there. ENOENT: there is no such namespace any more. Throws NamespaceLost.
  template <class Run> Failure run_in(const NetNamespace &net_namespace, Run run) {
    if (Failure failure = enter(net_namespace))
      return failure;
    try {
      run();
    } catch (const std::exception &) {
      leave();
      throw;
    }
    leave();
    return std::nullopt;
  }

private:
  explicit NetNamespaceSwitch(UniqueFd own) : own_(std::move(own)) {}
  Failure enter(const NetNamespace &net_namespace);
  void leave();

  UniqueFd own_;
};

} // namespace backlog
