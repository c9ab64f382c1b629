#pragma once

#include <set>
#include <string>
#include <vector>

namespace backlog {

/// A part of the output that cannot be had at present.
struct Fault {
  std::string part;   ///< what is absent, e.g. "TCP listeners"
  std::string reason; ///< e.g. "open sock_diag socket: Protocol not supported"
};

/// Follows the part in the faults of a net namespace that is not collectd's own.
std::string of_net_namespace(const std::string &name);

/// Turns the faults of each interval into one line when a part goes and one when it is back.
class FaultLog {
public:
  struct Line {
    bool begins; ///< false: the fault has ended
    std::string text;
  };

  std::vector<Line> update(const std::vector<Fault> &faults);
  /// Of a net namespace that has ended: its faults end without a line.
  void forget(const std::string &net_namespace);

private:
  std::set<std::string> standing_; ///< parts
};

} // namespace backlog
