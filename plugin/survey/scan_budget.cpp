#include "scan_budget.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

namespace backlog {

namespace {

// Measured with a table of 262144 buckets, for a scan that describes all connections at length.
constexpr std::chrono::microseconds assumed_walk{200};
constexpr std::chrono::nanoseconds assumed_per_socket{500};

// Keeps a scan that is left out every other time one fault, instead of one every other interval.
constexpr std::uint64_t intervals_until_regular = 60;
constexpr std::uint64_t until_forgotten = 6;      // times as long
constexpr std::chrono::minutes until_regular{10}; // whichever is longer

using Milliseconds = std::chrono::duration<double, std::milli>;

std::chrono::duration<double> assumed_cost(std::uint64_t sockets) {
  return assumed_walk + assumed_per_socket * static_cast<double>(sockets);
}

ScanBudget::Duration part_of(ScanBudget::Duration time, double share) {
  return std::chrono::duration_cast<ScanBudget::Duration>(time * share);
}

std::string text_of(ScanBudget::Duration time) {
  std::array<char, 32> text{};
  const int length = std::snprintf(text.data(), text.size(), "%.3g ms", Milliseconds(time).count());
  return {text.data(), static_cast<std::size_t>(std::max(length, 0))};
}

} // namespace

ScanBudget::ScanBudget(double share, Duration interval)
    : share_(share), interval_(interval), interval_time_(part_of(interval, share)),
      until_regular_(std::max<std::uint64_t>(
          intervals_until_regular,
          static_cast<std::uint64_t>(Duration(until_regular) / std::max(interval, Duration(1))))) {}

void ScanBudget::begin(const std::vector<std::string> &wanted, TimePoint now, std::uint64_t sockets,
                       std::string_view at_the_end) {
  ++number_;
  sockets_ = sockets;
  left_ = interval_time_;
  had_large_ = false;
  turns_.clear();
  for (const std::string &kind : wanted) {
    auto &entry = *scans_.try_emplace(kind).first;
    Scan &scan = entry.second;
    scan.last_wanted = number_;
    if (scan.last)
      scan.predicted =
          part_of(scan.last->cpu_time, assumed_cost(sockets) / assumed_cost(scan.last->sockets));
    turns_.push_back(&entry);
  }
  std::stable_sort(turns_.begin(), turns_.end(), [](const auto *a, const auto *b) {
    return a->second.last_run > b->second.last_run;
  });
  const bool is_due = !turns_.empty() && turns_.back()->first == at_the_end;
  reserved_ = is_due ? turns_.back() : nullptr;
  std::stable_partition(turns_.begin(), turns_.end(),
                        [&](const auto *entry) { return entry->first == at_the_end; });
  spare_ += part_of(begun_ ? now - *begun_ : interval_, share_);
  begun_ = now;
  hand_out_spare();
  forget_unwanted();
}

std::optional<std::string> ScanBudget::next() {
  const auto may_run = [this](const auto *entry) {
    const Scan &scan = entry->second;
    Duration left = left_;
    bool had_large = had_large_;
    if (reserved_ != nullptr && entry != reserved_ && missing(reserved_->second) <= Duration(0)) {
      const bool is_large = reserved_->second.predicted > interval_time_;
      had_large = had_large || is_large;
      left -= is_large ? Duration(0) : reserved_->second.predicted;
    }
    const bool fits =
        scan.predicted > interval_time_ ? !had_large : left > Duration(0) && scan.predicted <= left;
    return fits && missing(scan) <= Duration(0);
  };
  const auto turn = std::find_if(turns_.rbegin(), turns_.rend(), may_run);
  if (turn == turns_.rend()) {
    for (auto *entry : turns_)
      entry->second.last_skipped = number_;
    return std::nullopt;
  }
  const std::string kind = (*turn)->first;
  turns_.erase(std::next(turn).base());
  return kind;
}

void ScanBudget::report(const std::string &kind, Duration cpu_time) {
  Scan &scan = scans_[kind];
  if (scan.predicted > interval_time_)
    had_large_ = true;
  else
    left_ -= cpu_time;
  scan.last = {cpu_time, sockets_};
  scan.last_run = number_;
  scan.saved -= cpu_time;
}

std::vector<Fault> ScanBudget::skipped() const {
  std::vector<Fault> faults;
  for (const auto &[kind, scan] : scans_) {
    if (!scan.last_skipped || number_ - *scan.last_skipped >= until_regular_)
      continue;
    std::string reason =
        "all scans together may take " + text_of(interval_time_) + " of CPU time per interval";
    if (scan.last)
      reason += ", this one takes " + text_of(scan.predicted);
    faults.push_back({kind + " in every interval", std::move(reason)});
  }
  return faults;
}

/// CPU time that the scan still lacks; a scan that is not wanted only has to be paid for.
ScanBudget::Duration ScanBudget::missing(const Scan &scan) const {
  const Duration needed = scan.last_wanted == number_ ? scan.predicted : Duration(0);
  return needed - scan.saved;
}

/// Divides the spare time in equal parts. What one scan does not need goes to the others, and an
/// interval's worth of what nobody needs is kept.
void ScanBudget::hand_out_spare() {
  std::vector<Scan *> needy;
  for (auto &[kind, scan] : scans_)
    if (missing(scan) > Duration(0))
      needy.push_back(&scan);
  std::sort(needy.begin(), needy.end(),
            [this](const Scan *a, const Scan *b) { return missing(*a) < missing(*b); });
  auto receivers = static_cast<std::int64_t>(needy.size());
  for (Scan *scan : needy) {
    const Duration part = std::min(missing(*scan), spare_ / receivers--);
    scan->saved += part;
    spare_ -= part;
  }
  spare_ = std::min(spare_, interval_time_);
}

void ScanBudget::forget_unwanted() {
  std::erase_if(scans_, [this](const auto &entry) {
    const Scan &scan = entry.second;
    return number_ - scan.last_wanted >= until_forgotten * until_regular_ &&
           scan.saved >= Duration(0);
  });
}

} // namespace backlog
