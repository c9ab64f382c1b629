#include "recent_worst.h"

#include <algorithm>
#include <iterator>

namespace backlog {

void WorstFigures::add(const WorstFigures &other) {
  if (other.peak > peak)
    peak_capacity = other.peak_capacity;
  peak = std::max(peak, other.peak);
  used_percent = std::max(used_percent, other.used_percent);
  dropped += other.dropped;
  overflows += other.overflows;
  enough = std::max(enough, other.enough);
  state = std::max(state, other.state);
  severity = std::max(severity, other.severity);
}

void RecentWorst::forget(std::vector<Part> &parts, TimePoint now) const {
  // The oldest part kept began at or before the start of the span.
  const std::int64_t oldest = number_of(now) - parts_;
  std::erase_if(parts, [&](const Part &part) { return part.number < oldest; });
}

WorstFigures RecentWorst::add(const std::string &name, const WorstFigures &interval,
                              TimePoint now) {
  const bool remembers = interval != WorstFigures{};
  const auto found = remembers ? listeners_.try_emplace(name).first : listeners_.find(name);
  if (found == listeners_.end())
    return interval;
  std::vector<Part> &parts = found->second;
  forget(parts, now);
  if (remembers && (parts.empty() || parts.back().number != number_of(now)))
    parts.push_back({number_of(now), {}});
  if (remembers)
    parts.back().figures.add(interval);
  WorstFigures worst;
  for (const Part &part : parts)
    worst.add(part.figures);
  return worst;
}

void RecentWorst::prune(TimePoint now) {
  for (auto entry = listeners_.begin(); entry != listeners_.end();) {
    forget(entry->second, now);
    entry = entry->second.empty() ? listeners_.erase(entry) : std::next(entry);
  }
}

} // namespace backlog
