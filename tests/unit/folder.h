#pragma once

#include "test_program.h"

#include <cstdlib>
#include <string>
#include <unistd.h>

/// A folder of the test's own that goes with it.
class Folder {
public:
  Folder() { ck_assert_ptr_nonnull(::mkdtemp(path_.data())); }
  Folder(const Folder &) = delete;
  Folder &operator=(const Folder &) = delete;
  ~Folder() { ck_assert_int_eq(std::system(("rm -rf '" + path_ + "'").c_str()), 0); }

  std::string operator/(const char *name) const { return path_ + "/" + name; }
  const std::string &path() const { return path_; }

private:
  std::string path_ = "/tmp/collectd-backlog-XXXXXX";
};
