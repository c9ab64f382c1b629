#pragma once

#include <string>

namespace backlog {

/// The first thread of a process can end while others go on (pthread_exit() in main()). Then
/// /proc/PID shows neither descriptors nor namespaces nor a root, which went with that thread
/// (do_exit(), kernel/exit.c); the folders of the other threads do.
/// process: the path of /proc/PID below the folder `at`, or whole with AT_FDCWD. Returns the folder
/// of another thread, /proc/PID/task/TID; empty if the first thread lives, or none does.
std::string folder_of_other_thread(int at, const std::string &process);

} // namespace backlog
