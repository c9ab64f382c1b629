#include "fault_log.h"

#include <set>
#include <string_view>

namespace backlog {

std::string of_net_namespace(const std::string &name) { return " of net namespace " + name; }

std::vector<FaultLog::Line> FaultLog::update(const std::vector<Fault> &faults) {
  std::vector<Line> lines;
  std::set<std::string_view> current;
  for (const Fault &fault : faults)
    if (current.insert(fault.part).second && standing_[fault.part].fails())
      lines.push_back({true, "no " + fault.part + ": " + fault.reason});
  for (auto standing = standing_.begin(); standing != standing_.end();) {
    if (current.contains(standing->first) || !standing->second.goes_well()) {
      ++standing;
      continue;
    }
    lines.push_back({false, standing->first + " can be read again"});
    standing = standing_.erase(standing);
  }
  return lines;
}

void FaultLog::forget(const std::string &net_namespace) {
  const std::string end = of_net_namespace(net_namespace);
  std::erase_if(standing_, [&](const auto &standing) {
    const std::string &part = standing.first;
    const std::size_t begin = part.find(end);
    // The namespace's name can be followed by more, as in "SYN queues of net namespace blue in
    // every interval".
    return begin != std::string::npos &&
           (begin + end.size() == part.size() || part[begin + end.size()] == ' ');
  });
}

} // namespace backlog
