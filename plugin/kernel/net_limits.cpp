#include "net_limits.h"

#include <charconv>

namespace backlog {

namespace {

/// Cuts a decimal number and the white space before it off the front of the text.
template <class Number> std::optional<Number> take_number(std::string_view &text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
  Number value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc())
    return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return value;
}

std::optional<std::int64_t> read_number(KernelFile &file) {
  const auto text = file.read();
  return text ? parse_sysctl_number(*text) : std::nullopt;
}

} // namespace

std::optional<std::int64_t> parse_sysctl_number(std::string_view text) {
  return take_number<std::int64_t>(text);
}

std::optional<PortRange> parse_port_range(std::string_view text) {
  const auto first = take_number<std::uint16_t>(text);
  const auto last = take_number<std::uint16_t>(text);
  if (!first || !last)
    return std::nullopt;
  return PortRange{*first, *last};
}

NetLimitsReader::NetLimitsReader()
    : somaxconn_("/proc/sys/net/core/somaxconn"),
      tcp_max_syn_backlog_("/proc/sys/net/ipv4/tcp_max_syn_backlog"),
      tcp_syncookies_("/proc/sys/net/ipv4/tcp_syncookies"),
      tcp_abort_on_overflow_("/proc/sys/net/ipv4/tcp_abort_on_overflow"),
      ip_local_port_range_("/proc/sys/net/ipv4/ip_local_port_range") {}

NetLimits NetLimitsReader::read() {
  return NetLimits{
      .somaxconn = read_number(somaxconn_),
      .tcp_max_syn_backlog = read_number(tcp_max_syn_backlog_),
      .tcp_syncookies = read_number(tcp_syncookies_),
      .tcp_abort_on_overflow = read_number(tcp_abort_on_overflow_),
  };
}

std::optional<PortRange> NetLimitsReader::read_port_range() {
  const auto text = ip_local_port_range_.read();
  return text ? parse_port_range(*text) : std::nullopt;
}

} // namespace backlog
