#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <unordered_map>

namespace backlog {

/// A listening socket, as far as its owner is concerned.
struct OwnedSocket {
  std::uint64_t cookie = 0;
  std::uint32_t inode = 0;     ///< of the socket in sockfs; 0: no process can be found by it
  std::uint64_t cgroup_id = 0; ///< of its creator; 0: unknown, 1: the root, tells nothing
  bool is_waited_at = false;   ///< connections wait to be accepted
};

/// Whose a listening socket is. What is unknown or not permitted is empty.
struct Owner {
  std::string process; ///< comm of the lowest of the pids that have the socket open
  pid_t pid = 0;
  std::string unit; ///< see unit_of_cgroup()
  /// Only a service manager has it open, which listens for a service until that is started
  /// (systemd.socket(5)). It never accepts, and nobody is to restart it.
  bool is_manager = false;

  /// What a message shows: the unit, else the process and its pid, else nothing.
  std::string text() const;

  bool operator==(const Owner &) const = default;
};

/// What an operator calls a cgroup, by its path below the cgroup2 mount: "docker 0a1b2c3d4e5f"
/// (containerd, cri-o, podman, container), "pod 0a1b2c3d-1111", "lxc web", or the systemd unit,
/// "nginx.service". Of nested ones the outermost, which this host's own tools know. Empty for
/// sessions and other scopes of users, whose names say less than the process.
std::string unit_of_cgroup(std::string_view path);

/// The same of a process, by the text of its /proc/PID/cgroup: of its cgroup2, else of systemd's
/// hierarchy of version 1.
std::string unit_of_process(std::string_view cgroup);

/// Where cgroup2 is mounted: alone, or beside version 1 (hybrid). Empty: nowhere.
std::string cgroup2_mount();

/// The owners of all listening sockets, remembered by cookie. Nothing is held open between two
/// calls.
class OwnerCache {
public:
  using Clock = std::chrono::steady_clock;
  using TimePoint = Clock::time_point;

  explicit OwnerCache(std::string proc_root = "/proc", std::string cgroup_root = cgroup2_mount());

  /// Takes all sockets that are listening now, and forgets those that are gone.
  /// The names of the processes are read anew: exec() and prctl() change them.
  void update(std::span<const OwnedSocket> listening, TimePoint now = Clock::now());
  /// Whether there are new sockets, or some whose process has let go of them, or one that only a
  /// manager has: where connections wait, and once a minute.
  bool wants_scan() const;
  /// Looks for the owners of all of these by one scan of /proc and one of the cgroups, if there are
  /// any. A process that was not found is looked for again in the next two scans that others
  /// cause, then never: most of the time it is not permitted, or the socket is the kernel's.
  void scan();

  /// Null for a socket that was not listening at the last update(). Valid until the next one.
  const Owner *find(std::uint64_t cookie) const;

  /// Whether the next scan looks for the process that has it open.
  bool is_looked_for(std::uint64_t cookie) const;

  /// Whether there was a socket without an owner while processes may not be looked into. Once so,
  /// always so, since a process does not get back what it may do.
  bool refused() const { return refused_; }

  /// How often /proc was scanned.
  std::uint64_t scans() const { return scans_; }
  /// How often the cgroups were walked, which is done where they may not be opened by their id.
  std::uint64_t walks() const { return walks_; }

private:
  enum class Search { wanted, with_others, over };
  struct Entry {
    Owner owner;
    std::uint64_t seen = 0; ///< the last update() with it
    std::uint64_t cgroup_id = 0;
    std::uint32_t inode = 0;
    int fd = -1;                    ///< by which the process has the socket open
    Search search = Search::wanted; ///< for the process
    unsigned scans_left = 0;        ///< while searched for with others
    bool unit_wanted = false;
    std::string socket_unit;  ///< by cgroup_id
    std::string process_unit; ///< of the process that has it open

    void choose_unit();
  };
  struct ProcessNames;

  void forget_gone();
  void review(int proc);
  void find_processes(int proc);
  void find_units();
  bool lacks_owner() const;

  std::string proc_root_;
  std::string cgroup_root_;
  std::unordered_map<std::uint64_t, Entry> entries_;     ///< by cookie
  std::unordered_map<std::uint64_t, std::string> units_; ///< by cgroup id
  TimePoint looked_for_services_{};                      ///< of sockets that only a manager has
  std::uint64_t updates_ = 0;
  std::uint64_t scans_ = 0;
  std::uint64_t walks_ = 0;
  bool refused_ = false;
};

} // namespace backlog
