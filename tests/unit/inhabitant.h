#pragma once

#include "child_process.h"
#include "net_namespace.h"
#include "test_program.h"

#include <functional>
#include <sched.h>
#include <string>
#include <sys/stat.h>

/// A process in a net namespace of its own; it has not begun where that is not permitted.
class Inhabitant : public ChildProcess {
public:
  /// begin: what it does in there; it tells whether it could.
  explicit Inhabitant(const std::function<bool()> &begin = [] { return true; })
      : ChildProcess([&] { return unshare(CLONE_NEWNET) == 0 && begin(); }) {}

  std::string path() const { return "/proc/" + std::to_string(pid()) + "/ns/net"; }

  backlog::NetNamespace net_namespace(const std::string &name) const {
    struct stat status {};
    ck_assert_int_eq(stat(path().c_str(), &status), 0);
    return {{status.st_dev, status.st_ino}, name, false, {path()}};
  }
};
