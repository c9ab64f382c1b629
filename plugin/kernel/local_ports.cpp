#include "local_ports.h"

#include <algorithm>
#include <charconv>

namespace backlog {

namespace {

/// Removes a port and the white space before it from the start of the text.
std::optional<std::uint16_t> take_port(std::string_view &text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc())
    return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return port;
}

bool take(char c, std::string_view &text) {
  const bool is_there = text.starts_with(c);
  text.remove_prefix(is_there ? 1 : 0);
  return is_there;
}

} // namespace

bool LocalPorts::gives_out(std::uint16_t port) const {
  return range.contains(port) &&
         std::none_of(reserved.begin(), reserved.end(),
                      [&](const PortRange &ports) { return ports.contains(port); });
}

std::optional<PortRange> parse_port_range(std::string_view text) {
  const auto first = take_port(text);
  const auto last = take_port(text);
  if (!first || !last)
    return std::nullopt;
  return PortRange{*first, *last};
}

std::optional<std::vector<PortRange>> parse_reserved_ports(std::string_view text) {
  std::vector<PortRange> ranges;
  if (text.ends_with('\n'))
    text.remove_suffix(1);
  while (!text.empty()) {
    const auto first = take_port(text);
    const auto last = take('-', text) ? take_port(text) : first;
    if (!first || !last || (!text.empty() && !take(',', text)))
      return std::nullopt;
    ranges.push_back({*first, *last});
  }
  return ranges;
}

bool is_unstable(bool has_id, bool port_is_given_out, std::chrono::nanoseconds listening_for) {
  return has_id || (port_is_given_out && listening_for < settling_time);
}

} // namespace backlog
