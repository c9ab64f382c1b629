// Any text as the files of /proc that the plugin reads. What was read of them, written as the
// kernel writes it, is read as the same.

#include "fuzz_input.h"
#include "local_ports.h"
#include "net_counters.h"
#include "net_limits.h"
#include "sockstat.h"

#include <map>
#include <string>

using namespace backlog;

namespace {

constexpr const char *section_names[] = {"TcpExt", "Tcp", "Ip"};

void check_counters(std::string_view text) {
  NetCounters counters;
  parse_net_counters(text, counters);
  // Nobody but the parser knows which counter is of which section: in each of them once.
  std::string written;
  for (const char *section : section_names) {
    std::string names = std::string(section) + ":";
    std::string values = names;
    for (std::size_t i = 0; i < layout::counter_names.size(); ++i)
      if (counters.values[i]) {
        names.append(" ").append(layout::counter_names[i]);
        values.append(" ").append(std::to_string(*counters.values[i]));
      }
    written.append(names).append("\n").append(values).append("\n");
  }
  NetCounters again;
  parse_net_counters(written, again);
  require(again.values == counters.values);
}

void check_sockstat(std::string_view text) {
  const auto sockets = parse_tcp_sockets(text);
  if (sockets)
    require(parse_tcp_sockets("sockets: used 5\nTCP: inuse 1 orphan 0 tw 0 alloc " +
                              std::to_string(*sockets) + " mem 1\n") == sockets);
}

void check_ports(std::string_view text) {
  const auto range = parse_port_range(text);
  if (range)
    require(parse_port_range(std::to_string(range->first) + "\t" + std::to_string(range->last) +
                             "\n") == range);
  const auto reserved = parse_reserved_ports(text);
  if (!reserved)
    return;
  std::string written;
  for (const PortRange &ports : *reserved)
    written += (written.empty() ? "" : ",") + std::to_string(ports.first) + "-" +
               std::to_string(ports.last);
  require(parse_reserved_ports(written + "\n") == reserved);
  const LocalPorts ports{range.value_or(PortRange{1, 65535}), *reserved};
  for (const PortRange &one : *reserved)
    require(one.first > one.last || !ports.gives_out(one.first));
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
  const std::string text = std::string(FuzzInput(data, size).rest());
  check_counters(text);
  check_sockstat(text);
  check_ports(text);
  if (const auto number = parse_sysctl_number(text))
    require(parse_sysctl_number(std::to_string(*number) + "\n") == number);
  return 0;
}
