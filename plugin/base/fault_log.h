#pragma once

#include "fault_spell.h"
#include "log_line.h"

#include <map>
#include <string>
#include <vector>

namespace backlog {

/// A part of the output that is not available at present.
struct Fault {
  std::string part;   ///< e.g. "TCP listeners"
  std::string reason; ///< e.g. "open sock_diag socket: Protocol not supported"
};

/// Suffix of the part, for a net namespace other than collectd's own.
std::string of_net_namespace(const std::string &name);

/// Turns the faults of each interval into a warning when a fault begins and a notice when it has
/// not been seen for three intervals, so that a fault in every other interval is not logged again
/// and again.
class FaultLog {
public:
  /// Adds the lines to the log. If it throws, nothing has changed.
  void update(const std::vector<Fault> &faults, std::vector<LogLine> &log);
  /// Forgets the faults of a net namespace that is gone; they end without a line.
  void forget(const std::string &net_namespace);

private:
  std::map<std::string, FaultSpell> standing_; ///< by name of the faulty part
};

} // namespace backlog
