#include "fault_log.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <string_view>

namespace backlog {

std::string of_net_namespace(const std::string &name) { return " of net namespace " + name; }

void FaultLog::update(const std::vector<Fault> &faults, std::vector<LogLine> &log) {
  std::vector<LogLine> lines;
  std::map<std::string, FaultSpell> standing = standing_;
  std::set<std::string_view> current;
  for (const Fault &fault : faults)
    if (current.insert(fault.part).second && standing[fault.part].fails())
      lines.push_back({LogLine::Level::warning, "no " + fault.part + ": " + fault.reason});
  for (auto each = standing.begin(); each != standing.end();) {
    if (current.contains(each->first) || !each->second.goes_well()) {
      ++each;
      continue;
    }
    lines.push_back({LogLine::Level::notice, each->first + " can be read again"});
    each = standing.erase(each);
  }
  log.reserve(log.size() + lines.size());
  std::move(lines.begin(), lines.end(), std::back_inserter(log));
  standing_.swap(standing);
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
