#pragma once

#include "mib_view.h"

#include <optional>
#include <string>
#include <vector>

namespace backlog {

/// What the command line of backlog-agentx says; the initial values are the defaults.
struct Options {
  std::string table = "/run/collectd-backlog/table";
  std::string agentx; ///< empty: net-snmp's own default
  Oid root{1, 3, 6, 1, 4, 1, 8072, 9999, 9999, 4242};
  bool foreground = false;
};

struct ParsedOptions {
  std::optional<Options> options; ///< empty: nothing to run
  std::string output;             ///< to print
  bool failed = false;
};

ParsedOptions parse_options(const std::vector<std::string> &arguments);

/// 1.3.6.1.4.1..., with or without a dot in front; empty: it is none.
std::optional<Oid> parse_oid(const std::string &text);

} // namespace backlog
