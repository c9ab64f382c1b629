#include "net_limits.h"

#include <algorithm>
#include <charconv>

namespace backlog {

namespace {

std::optional<std::int64_t> read_number(KernelFile &file) {
  const auto text = file.read();
  return text ? parse_sysctl_number(*text) : std::nullopt;
}

} // namespace

std::optional<std::int64_t> parse_sysctl_number(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() ? std::optional(value) : std::nullopt;
}

NetLimitsReader::NetLimitsReader()
    : somaxconn_("/proc/sys/net/core/somaxconn"),
      tcp_max_syn_backlog_("/proc/sys/net/ipv4/tcp_max_syn_backlog"),
      tcp_syncookies_("/proc/sys/net/ipv4/tcp_syncookies"),
      tcp_abort_on_overflow_("/proc/sys/net/ipv4/tcp_abort_on_overflow"),
      ip_local_port_range_("/proc/sys/net/ipv4/ip_local_port_range"),
      ip_local_reserved_ports_("/proc/sys/net/ipv4/ip_local_reserved_ports") {}

NetLimits NetLimitsReader::read() {
  return NetLimits{
      .somaxconn = read_number(somaxconn_),
      .tcp_max_syn_backlog = read_number(tcp_max_syn_backlog_),
      .tcp_syncookies = read_number(tcp_syncookies_),
      .tcp_abort_on_overflow = read_number(tcp_abort_on_overflow_),
  };
}

std::optional<LocalPorts> NetLimitsReader::read_local_ports() {
  const auto range = ip_local_port_range_.read();
  const auto parsed = range ? parse_port_range(*range) : std::nullopt;
  if (!parsed)
    return std::nullopt;
  LocalPorts ports{*parsed, {}};
  if (const auto reserved = ip_local_reserved_ports_.read())
    ports.reserved = parse_reserved_ports(*reserved).value_or(std::vector<PortRange>());
  return ports;
}

} // namespace backlog
