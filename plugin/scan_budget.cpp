#include "scan_budget.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>

namespace backlog {

namespace {

// Measured with a table of 262144 buckets; a scan that describes all connections at length.
constexpr std::chrono::microseconds assumed_walk{200};
constexpr std::chrono::nanoseconds assumed_per_socket{500};

// A scan that is left out every other time is one message, not one every other interval.
constexpr std::uint64_t plans_until_regular = 60;
constexpr std::uint64_t plans_until_forgotten = 360;

using Milliseconds = std::chrono::duration<double, std::milli>;

ScanBudget::Duration assumed_cost(std::uint64_t sockets) {
  return assumed_walk + assumed_per_socket * static_cast<std::int64_t>(sockets);
}

ScanBudget::Duration part_of(ScanBudget::Duration time, double share) {
  return std::chrono::duration_cast<ScanBudget::Duration>(time * share);
}

std::string text_of(ScanBudget::Duration time) {
  std::array<char, 32> text{};
  const int length = std::snprintf(text.data(), text.size(), "%.3g ms", Milliseconds(time).count());
  return {text.data(), static_cast<std::size_t>(std::max(length, 0))};
}

/// Cuts a word and the white space before it off the front of the text.
std::string_view next_word(std::string_view &text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
  const std::string_view word = text.substr(0, text.find_first_of(" \t"));
  text.remove_prefix(word.size());
  return word;
}

} // namespace

std::optional<std::uint64_t> parse_tcp_sockets(std::string_view sockstat) {
  constexpr std::string_view heading = "TCP:";
  while (!sockstat.starts_with(heading)) {
    const std::size_t end = sockstat.find('\n');
    if (end == std::string_view::npos)
      return std::nullopt;
    sockstat.remove_prefix(end + 1);
  }
  std::string_view line = sockstat.substr(heading.size(), sockstat.find('\n') - heading.size());
  std::optional<std::uint64_t> allocated;
  std::uint64_t time_wait = 0;
  while (!line.empty()) {
    const std::string_view name = next_word(line);
    const std::string_view word = next_word(line);
    std::uint64_t value = 0;
    if (std::from_chars(word.data(), word.data() + word.size(), value).ec != std::errc())
      continue;
    // sockstat_seq_show() in net/ipv4/proc.c: `alloc` counts both families and all namespaces.
    if (name == "alloc")
      allocated = value;
    else if (name == "tw")
      time_wait = value;
  }
  if (!allocated)
    return std::nullopt;
  return *allocated + time_wait;
}

TcpSocketsReader::TcpSocketsReader() : sockstat_("/proc/thread-self/net/sockstat") {}

Result<std::uint64_t> TcpSocketsReader::read() {
  const auto text = sockstat_.read();
  if (!text)
    return text.error();
  if (const auto sockets = parse_tcp_sockets(*text))
    return *sockets;
  return Error{EBADMSG, "read " + sockstat_.path()};
}

ScanBudget::ScanBudget(double share, Duration interval)
    : share_(share), interval_time_(part_of(interval, share)), interval_(interval) {}

std::vector<std::string> ScanBudget::plan(const std::vector<std::string> &wanted, TimePoint now,
                                          std::uint64_t sockets) {
  ++plan_;
  for (auto &[kind, scan] : scans_)
    scan.wanted = false;
  std::vector<std::map<std::string, Scan>::value_type *> turns;
  for (const std::string &kind : wanted) {
    auto &entry = *scans_.try_emplace(kind).first;
    Scan &scan = entry.second;
    scan.wanted = true;
    scan.last_wanted = plan_;
    scan.predicted = assumed_cost(sockets);
    if (scan.last)
      scan.predicted =
          part_of(scan.last->cpu_time, Milliseconds(assumed_cost(sockets)) /
                                           Milliseconds(assumed_cost(scan.last->sockets)));
    turns.push_back(&entry);
  }
  hand_out(part_of(last_plan_ ? now - *last_plan_ : interval_, share_));
  last_plan_ = now;
  std::stable_sort(turns.begin(), turns.end(), [](const auto *a, const auto *b) {
    return a->second.last_run < b->second.last_run;
  });

  std::vector<std::string> chosen;
  Duration left = interval_time_;
  bool has_large = false;
  for (auto *entry : turns) {
    Scan &scan = entry->second;
    const bool large = scan.predicted > interval_time_;
    const bool fits = large ? !has_large : scan.predicted <= left;
    if (!fits || scan.missing() > Duration(0)) {
      scan.last_skipped = plan_;
      continue;
    }
    if (large)
      has_large = true;
    else
      left -= scan.predicted;
    scan.last_run = plan_;
    chosen.push_back(entry->first);
  }
  forget_unwanted();
  return chosen;
}

void ScanBudget::report(const std::string &kind, Duration cpu_time, std::uint64_t sockets) {
  Scan &scan = scans_[kind];
  scan.last = {cpu_time, sockets};
  scan.saved -= cpu_time;
}

std::vector<Fault> ScanBudget::skipped() const {
  std::vector<Fault> faults;
  for (const auto &[kind, scan] : scans_)
    if (scan.last_skipped && plan_ - *scan.last_skipped < plans_until_regular)
      faults.push_back(
          {kind + " in every interval", "a scan for them takes " + text_of(scan.predicted) +
                                            " of CPU time, and all scans together may take " +
                                            text_of(interval_time_) + " an interval"});
  return faults;
}

/// Of the first run the cost is not known; it is paid for afterwards.
ScanBudget::Duration ScanBudget::Scan::missing() const {
  const Duration needed = wanted && last ? predicted : Duration(0);
  return std::max(needed - saved, Duration(0));
}

/// In equal parts; what one does not need goes to the others, and what no one needs is lost.
void ScanBudget::hand_out(Duration time) {
  std::vector<Scan *> needy;
  for (auto &[kind, scan] : scans_)
    if (scan.missing() > Duration(0))
      needy.push_back(&scan);
  std::sort(needy.begin(), needy.end(),
            [](const Scan *a, const Scan *b) { return a->missing() < b->missing(); });
  auto receivers = static_cast<std::int64_t>(needy.size());
  for (Scan *scan : needy) {
    const Duration part = std::min(scan->missing(), time / receivers--);
    scan->saved += part;
    time -= part;
  }
}

void ScanBudget::forget_unwanted() {
  std::erase_if(scans_, [this](const auto &entry) {
    const Scan &scan = entry.second;
    return plan_ - scan.last_wanted >= plans_until_forgotten && scan.saved >= Duration(0);
  });
}

} // namespace backlog
