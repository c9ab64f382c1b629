#pragma once

#include <string>
#include <vector>

namespace backlog {

struct CheckResult {
  int status = 3; ///< 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN
  std::string output;
};

/// check_backlog: a check as the Monitoring Plugins guidelines define it.
CheckResult check_backlog(const std::vector<std::string> &arguments);

} // namespace backlog
