#pragma once

#include "mib_view.h"

#include <optional>
#include <string>
#include <vector>

namespace backlog {

/// The command line of backlog-agentx; the initial values are the defaults.
struct Options {
  std::string table = "/run/collectd-backlog/table";
  std::string agentx; ///< empty for net-snmp's default
  Oid root{1, 3, 6, 1, 4, 1, 8072, 9999, 9999, 4242};
  bool foreground = false;
};

struct ParsedOptions {
  std::optional<Options> options; ///< empty if there is nothing to run
  std::string output;             ///< text to print
  bool failed = false;
};

ParsedOptions parse_options(const std::vector<std::string> &arguments);

/// Parses 1.3.6.1.4.1..., with or without a leading dot; empty if the text is no OID.
std::optional<Oid> parse_oid(const std::string &text);

} // namespace backlog
