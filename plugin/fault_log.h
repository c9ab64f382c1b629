#pragma once

#include <map>
#include <string>
#include <vector>

namespace backlog {

/// A part of the output that cannot be had at present.
struct Fault {
  std::string part;   ///< what is absent, e.g. "TCP listeners"
  std::string reason; ///< e.g. "open sock_diag socket: Protocol not supported"
};

/// Turns the faults of each interval into one line when a part goes and one when it is back.
class FaultLog {
public:
  struct Line {
    bool begins; ///< false: the fault has ended
    std::string text;
  };

  std::vector<Line> update(const std::vector<Fault> &faults);

private:
  std::map<std::string, std::string> standing_; ///< reason by part
};

} // namespace backlog
