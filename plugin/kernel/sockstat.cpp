#include "sockstat.h"

#include "number.h"

#include <algorithm>
#include <cerrno>

namespace backlog {

namespace {

/// Removes a word and the white space before it from the start of the text.
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
    const auto value = parse_number<std::uint64_t>(word);
    if (!value)
      continue;
    // sockstat_seq_show() in net/ipv4/proc.c: `alloc` counts both families in all namespaces.
    if (name == "alloc")
      allocated = value;
    else if (name == "tw")
      time_wait = *value;
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

} // namespace backlog
