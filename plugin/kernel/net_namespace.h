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

/// Identifies a net namespace while it lives, by its file in nsfs.
struct NetNamespaceId {
  dev_t device = 0;
  ino_t inode = 0;

  auto operator<=>(const NetNamespaceId &) const = default; // NOLINT(modernize-use-nullptr)
};

/// A net namespace other than collectd's own.
struct NetNamespace {
  NetNamespaceId id;
  /// Unique: from its file, unless a container runtime made that; else its container's id; else the
  /// runtime's file, or its inode.
  std::string name;
  bool has_id = false;            ///< its successor will have another name
  std::vector<std::string> paths; ///< where it can be opened: its file, or some of its processes

  bool operator==(const NetNamespace &) const = default;
};

/// How a net namespace appears in names.
struct NamespaceLabel {
  std::string name;    ///< "" for collectd's own
  bool has_id = false; ///< see NetNamespace
};

/// Finds net namespaces by their files and by the processes in them. It skips what it may not look
/// at, which takes ptrace access, and remembers that.
class NetNamespaceFinder {
public:
  explicit NetNamespaceFinder(std::vector<std::string> folders = {"/run/netns",
                                                                  "/run/docker/netns"},
                              std::string proc = "/proc");

  enum class Look : std::uint8_t {
    everywhere,
    /// Keeps those without a file from the last list, since looking at all processes takes long.
    /// Files of container runtimes do not count: without the processes the names are not known.
    at_files,
  };
  /// Returns all but the calling thread's own, sorted by name. It fails only for lack of
  /// descriptors or memory.
  Result<std::vector<NetNamespace>> find(Look look = Look::everywhere);
  /// Whether the files may have changed since the last list.
  bool files_changed() const;
  /// Whether namespaces without a file may have been missed.
  bool refused() const;
  /// Why the last list misses some that have a file; what: the folder.
  const Failure &folder_refusal() const { return folder_refusal_; }

private:
  /// State of a folder when it was listed.
  struct Listed {
    dev_t device = 0; ///< 0, like inode, if the folder did not exist
    ino_t inode = 0;
    std::chrono::nanoseconds changed{0}; ///< since the epoch, by the kernel's coarse clock
    /// False if a change within the clock's tick would not show, or a file is not a namespace yet.
    bool is_settled = false;
  };
  using Places = std::map<NetNamespaceId, std::size_t>; ///< positions in a list
  /// A file that a container runtime made.
  struct RuntimeFile {
    std::string name;
    std::string path;
  };

  Failure find_files(std::vector<NetNamespace> &found, Places &places);
  Failure find_by_processes(std::vector<NetNamespace> &found, Places &places);
  /// Those whose processes it may not look at, or that have none.
  void find_by_runtime_files(std::vector<NetNamespace> &found, Places &places) const;
  static Listed state_of(const std::string &folder);

  std::vector<std::string> folders_;
  std::string proc_;
  std::vector<Listed> listed_; ///< one for each folder
  std::map<NetNamespaceId, RuntimeFile> runtime_files_;
  std::vector<NetNamespace> without_file_; ///< from the last list; runtimes' files do not count
  bool refused_ = false;
  Failure folder_refusal_;
  std::map<NetNamespaceId, std::string> names_; ///< from the last list
};

/// The id of a container in the text of /proc/PID/cgroup: the first 12 of its 64 hex digits; of
/// nested containers the innermost. Empty if there is none.
std::string container_id(std::string_view cgroup);

/// Whether a file of a net namespace has a name that the next start of its container changes:
/// docker takes part of a random id, podman (netns-) and CNI plugins (cni-) a UUID.
bool is_made_by_runtime(std::string_view folder, std::string_view name);

/// Keeps at most `most` namespaces: first those with a file, then those kept before, then the
/// others in order. Returns how many it dropped.
std::size_t keep_most(std::vector<NetNamespace> &namespaces,
                      const std::vector<NetNamespace> &before, std::size_t most);

/// Makes names unique by appending - and the inode. Of namespaces with one name, the one that had
/// it before keeps it, else the first. A changed name stays the same as long as the conflict lasts.
void make_names_unique(std::vector<NetNamespace> &namespaces,
                       const std::map<NetNamespaceId, std::string> &before);

/// The thread is in a net namespace that it cannot leave, so it must end.
class NamespaceLost : public std::runtime_error {
public:
  using std::runtime_error::runtime_error;
};

/// Takes the calling thread into other net namespaces and back to the one in which the switch was
/// made. It keeps nothing of another namespace open, since that would keep a deleted one alive.
class NetNamespaceSwitch {
public:
  static Result<NetNamespaceSwitch> make();

  /// Calls run() inside the namespace. Returns ENOENT if it is gone. Throws NamespaceLost.
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
