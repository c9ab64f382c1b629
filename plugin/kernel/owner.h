#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace backlog {

/// A listening socket, with what finds its owner.
struct OwnedSocket {
  std::uint64_t cookie = 0;
  /// Inode of the socket in sockfs; 0 if it cannot be used to find a process.
  std::uint32_t inode = 0;
  /// Cgroup of the creator; 0 if unknown, 1 for the root, which says nothing.
  std::uint64_t cgroup_id = 0;
  bool is_waited_at = false; ///< connections wait to be accepted
};

/// The owner of a listening socket. A field is empty if unknown or not permitted.
struct Owner {
  std::string process; ///< comm of the process with the lowest pid that has the socket open
  pid_t pid = 0;
  std::string unit; ///< see unit_of_cgroup()
  /// Only a service manager has the socket open, which listens until it starts the service
  /// (systemd.socket(5)). A manager never accepts, and restarting it is no remedy.
  bool is_manager = false;

  /// The owner in a message: the unit, else process and pid, else empty.
  std::string text() const;

  bool operator==(const Owner &) const = default;
};

/// An operator's name for a cgroup, from its path below the cgroup2 mount: "docker 0a1b2c3d4e5f"
/// (or containerd, cri-o, podman, container), "pod 0a1b2c3d-1111", "lxc web", or the systemd unit,
/// "nginx.service". Of nested ones it takes the outermost, which this host's own tools know. Empty
/// for sessions and other scopes of users, where the process says more.
std::string unit_of_cgroup(std::string_view path);

/// The same for a process, from the text of its /proc/PID/cgroup: its cgroup2, else systemd's
/// hierarchy of version 1.
std::string unit_of_process(std::string_view cgroup);

/// Cuts what setproctitle() adds to a process's name: the program of "gunicorn: master" is
/// gunicorn.
std::string_view program_of(std::string_view process);

/// A process that has some sockets open.
struct SocketHolder {
  Owner owner;
  std::vector<std::uint32_t> held;  ///< inodes of those looked for that no earlier holder has
  std::vector<std::uint32_t> noted; ///< inodes of those to be noted
};

/// Looks for the processes that have the sockets open, by ascending pid but those with very many
/// descriptors last, until it has found all.
/// Removes those it finds from `wanted`. noted: which of these the same processes have open, too.
/// in: the processes to look into; empty for all.
std::vector<SocketHolder> find_socket_holders(std::unordered_set<std::uint32_t> &wanted,
                                              const std::unordered_set<std::uint32_t> &noted,
                                              std::span<const pid_t> in = {},
                                              const std::string &proc_root = "/proc");

/// Where cgroup2 is mounted, alone or beside version 1 (hybrid). Empty if it is not.
std::string cgroup2_mount();

/// The owners of all listening sockets, cached by cookie. It keeps no descriptor between two calls.
class OwnerCache {
public:
  using Clock = std::chrono::steady_clock;
  using TimePoint = Clock::time_point;

  explicit OwnerCache(std::string proc_root = "/proc", std::string cgroup_root = cgroup2_mount());

  /// Adds the sockets that are new in listening and forgets those that are missing. It reads the
  /// names of processes anew, because exec() and prctl() change them.
  void update(std::span<const OwnedSocket> listening, TimePoint now = Clock::now());
  /// Whether a scan is needed: for new sockets, for sockets whose process has closed them, and for
  /// those that only a manager or nobody any more has, when connections wait there and else once a
  /// minute.
  bool wants_scan() const;
  /// Looks for the owners of all these by one scan of /proc and one of the cgroups. If it does not
  /// find a process, it tries again in the next two scans that other sockets cause, then never:
  /// usually it is not permitted, or the socket is the kernel's.
  void scan();

  /// Returns null if the socket was not in the last update(). Valid until the next one.
  const Owner *find(std::uint64_t cookie) const;

  /// Whether the next scan looks for the process that has the socket open.
  bool is_looked_for(std::uint64_t cookie) const;

  /// Whether a socket had no owner while the thread may not look into processes. This stays true,
  /// because a process does not regain its permissions.
  bool refused() const { return refused_; }

  /// How often it has scanned /proc.
  std::uint64_t scans() const { return scans_; }
  /// How often it has walked the cgroups, which it does where it may not open them by id.
  std::uint64_t walks() const { return walks_; }

private:
  enum class Search { wanted, with_others, over };
  struct Entry {
    Owner owner;
    std::uint64_t seen = 0; ///< the last update() that had it
    std::uint64_t cgroup_id = 0;
    std::uint32_t inode = 0;
    int fd = -1;                    ///< descriptor by which the process has the socket open
    Search search = Search::wanted; ///< state of the search for the process
    unsigned scans_left = 0;        ///< scans left in Search::with_others
    bool unit_wanted = false;
    std::string socket_unit;  ///< from cgroup_id
    std::string process_unit; ///< unit of the process that has the socket open
    bool had_process = false; ///< one could be found so far, if there was any

    void choose_unit();
    /// Whether it waits for a process that will accept: only a manager has it, or nobody, as while
    /// it is on its way to another process (SCM_RIGHTS).
    bool may_get_process() const { return owner.is_manager || (had_process && owner.pid == 0); }
  };
  struct ProcessNames;

  void forget_gone();
  void review(int proc);
  void find_processes(int proc);
  void find_units();
  bool lacks_owner() const;

  std::string proc_root_;
  std::string cgroup_root_;
  std::unordered_map<std::uint64_t, Entry> entries_;     ///< keyed by cookie
  std::unordered_map<std::uint64_t, std::string> units_; ///< keyed by cgroup id
  TimePoint looked_for_services_{}; ///< last scan for sockets that only a manager has
  std::uint64_t updates_ = 0;
  std::uint64_t scans_ = 0;
  std::uint64_t walks_ = 0;
  bool refused_ = false;
};

} // namespace backlog
