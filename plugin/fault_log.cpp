#include "fault_log.h"

#include <utility>

namespace backlog {

std::vector<FaultLog::Line> FaultLog::update(const std::vector<Fault> &faults) {
  std::vector<Line> lines;
  std::map<std::string, std::string> current;
  for (const Fault &fault : faults) {
    if (!current.emplace(fault.part, fault.reason).second)
      continue;
    if (!standing_.contains(fault.part))
      lines.push_back({true, "no " + fault.part + ": " + fault.reason});
  }
  for (const auto &[part, reason] : standing_)
    if (!current.contains(part))
      lines.push_back({false, part + " can be read again"});
  standing_ = std::move(current);
  return lines;
}

} // namespace backlog
