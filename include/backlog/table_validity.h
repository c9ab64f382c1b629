#pragma once

#include "backlog/table.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string_view>

/// The faults for which a reader refuses a record. The writer checks the same before it writes, so
/// that one bad record cannot cost readers the whole table.
namespace backlog::layout {

constexpr std::int64_t longest_interval_ns = 366LL * 86400 * 1'000'000'000;

inline bool is_amount(double value) { return std::isfinite(value) && value >= 0; }
inline bool is_percent(double value) { return is_amount(value) && value <= 100; }

/// Printable ASCII, ended by a NUL inside the field.
template <std::size_t size> bool is_text(const Text<size> &field) {
  const std::string_view text = text_of(field);
  return text.size() < size &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

/// Not empty, and without blanks.
template <std::size_t size> bool is_name(const Text<size> &field) {
  const std::string_view text = text_of(field);
  return !text.empty() && is_text(field) && text.find(' ') == std::string_view::npos;
}

/// The fault of a header apart from its sizes; "" if it has none. Likewise for the records below.
inline std::string_view fault_of(const Header &header) {
  if (header.taken_at_ns < 0 || header.taken_at_boot_ns < 0 || header.measured_ns < 0 ||
      header.counted_since_ns < 0 || header.interval_ns <= 0 ||
      header.interval_ns > longest_interval_ns)
    return "has impossible times";
  if (!is_amount(header.period_seconds) || !is_amount(header.cpu_percent) ||
      (header.has & ~header_values) != 0 || !is_known(header.events))
    return "has impossible figures";
  return "";
}

inline std::string_view fault_of(const Namespace &record) {
  if (!is_name(record.name))
    return "has no name";
  if ((record.has & ~namespace_values) != 0 || (record.has_counter >> counter_names.size()) != 0 ||
      record.counted_since_ns < 0)
    return "has impossible figures";
  return "";
}

/// namespaces: how many namespaces the table has.
inline std::string_view fault_of(const Listener &record, std::size_t namespaces) {
  if (!is_name(record.name))
    return "has no name";
  if (!is_text(record.owner) || !is_text(record.path) || !is_text(record.message) ||
      !is_text(record.clients) || !is_text(record.address_name))
    return "has text that does not end or is not ASCII";
  const bool known = is_known(record.state) && is_known(record.cause) &&
                     is_known(record.limit_source) && is_known(record.severity) &&
                     is_known(record.alarm_state) && is_known(record.alarm_cause) &&
                     is_known(record.recent_state) && is_known(record.recent_severity) &&
                     is_known(record.address_type);
  const bool possible = is_amount(record.mean) && is_percent(record.used_percent) &&
                        is_percent(record.full_percent) && is_amount(record.oldest_wait_seconds) &&
                        is_percent(record.recent_used_percent) &&
                        is_amount(record.wait_mean_seconds) && is_amount(record.wait_p50_seconds) &&
                        is_amount(record.wait_p99_seconds) && is_amount(record.wait_seconds) &&
                        std::is_sorted(record.wait_counts.begin(), record.wait_counts.end()) &&
                        record.counted_since_ns >= 0;
  if (record.net_namespace >= namespaces || (record.has & ~listener_values) != 0 || !known ||
      !possible)
    return "has impossible figures";
  return "";
}

} // namespace backlog::layout
