#include "net_counters.h"

#include "number.h"

namespace backlog {

namespace {

/// Returns the section of /proc/net/netstat or /proc/net/snmp that has the counter.
constexpr std::string_view section_of(Counter counter) {
  switch (counter) {
  case Counter::RetransSegs:
  case Counter::PassiveOpens:
  case Counter::AttemptFails:
    return "Tcp";
  default:
    return "TcpExt";
  }
}

/// Removes the text before the separator from the start, and returns it.
std::string_view next(std::string_view &text, char separator) {
  const std::size_t end = text.find(separator);
  const std::string_view head = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return head;
}

void take_value(std::string_view section, std::string_view name, std::string_view text,
                NetCounters &counters) {
  for (std::size_t i = 0; i < layout::counter_names.size(); ++i) {
    if (layout::counter_names[i] != name || section_of(static_cast<Counter>(i)) != section)
      continue;
    if (const auto value = parse_number<std::uint64_t>(text))
      counters.values[i] = *value;
    return;
  }
}

} // namespace

void parse_net_counters(std::string_view text, NetCounters &counters) {
  while (!text.empty()) {
    std::string_view names = next(text, '\n');
    std::string_view values = next(text, '\n');
    const std::string_view section = next(names, ':');
    if (section != next(values, ':'))
      return;
    next(names, ' ');
    next(values, ' ');
    while (!names.empty() && !values.empty()) {
      const std::string_view name = next(names, ' ');
      take_value(section, name, next(values, ' '), counters);
    }
  }
}

// /proc/net belongs to the process's main thread, so thread-self is read instead.
NetCountersReader::NetCountersReader()
    : netstat_("/proc/thread-self/net/netstat"), snmp_("/proc/thread-self/net/snmp") {}

Result<NetCounters> NetCountersReader::read() {
  Result<NetCounters> counters = read_netstat();
  if (!counters)
    return counters;
  if (const auto text = snmp_.read())
    parse_net_counters(*text, *counters);
  return counters;
}

std::optional<std::uint64_t> NetCountersReader::read_passive_opens() {
  NetCounters counters;
  if (const auto text = snmp_.read())
    parse_net_counters(*text, counters);
  return counters[Counter::PassiveOpens];
}

Result<NetCounters> NetCountersReader::read_netstat() {
  const auto text = netstat_.read();
  if (!text)
    return text.error();
  NetCounters counters;
  parse_net_counters(*text, counters);
  return counters;
}

} // namespace backlog
