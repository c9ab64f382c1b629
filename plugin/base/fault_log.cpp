#include "fault_log.h"

#include <utility>

namespace backlog {

std::string of_net_namespace(const std::string &name) { return " of net namespace " + name; }

std::vector<FaultLog::Line> FaultLog::update(const std::vector<Fault> &faults) {
  std::vector<Line> lines;
  std::set<std::string> current;
  for (const Fault &fault : faults) {
    if (!current.insert(fault.part).second)
      continue;
    if (!standing_.contains(fault.part))
      lines.push_back({true, "no " + fault.part + ": " + fault.reason});
  }
  for (const std::string &part : standing_)
    if (!current.contains(part))
      lines.push_back({false, part + " can be read again"});
  standing_ = std::move(current);
  return lines;
}

void FaultLog::forget(const std::string &net_namespace) {
  const std::string end = of_net_namespace(net_namespace);
  std::erase_if(standing_, [&](const std::string &part) {
    const std::size_t begin = part.find(end);
    // The namespace's name can be followed by more, as in "SYN queues of net namespace blue in
    // every interval".
    return begin != std::string::npos &&
           (begin + end.size() == part.size() || part[begin + end.size()] == ' ');
  });
}

} // namespace backlog
