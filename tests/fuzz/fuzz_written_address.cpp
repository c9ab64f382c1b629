// Any text as the address of a <Watch>: refused, or of the listeners whose names it gives, and the
// same address however it is written.

#include "fuzz_input.h"
#include "listener_name.h"
#include "written_address.h"

#include <arpa/inet.h>
#include <array>
#include <netinet/in.h>

using namespace backlog;

namespace {

/// As ss(8) writes it.
std::string text_of(const WrittenAddress &written) {
  const std::string device = written.device.empty() ? "" : "%" + written.device;
  std::string port = ":" + std::to_string(written.address.port);
  if (written.host == WrittenAddress::Host::anywhere)
    return port;
  if (written.host == WrittenAddress::Host::all)
    return "*" + device + port;
  std::array<char, INET6_ADDRSTRLEN> host{};
  inet_ntop(written.address.ipv6 ? AF_INET6 : AF_INET, written.address.bytes.data(), host.data(),
            host.size());
  if (!written.address.ipv6)
    return host.data() + device + port;
  return "[" + std::string(host.data()) + "]" + device + port;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
  const std::string text(FuzzInput(data, size).rest());
  const auto written = parse_written_address(text);
  if (!written)
    return 0;
  const auto again = parse_written_address(text_of(*written));
  require(again && again->host == written->host && again->address == written->address &&
          again->device == written->device);

  const auto names = written->names();
  require(names.empty() == (written->host == WrittenAddress::Host::anywhere));
  for (const std::string &name : names)
    require(is_listener_name(name));

  TcpAddress listener = written->address;
  listener.device = written->device.empty() ? 0 : 1;
  listener.v6only = listener.ipv6;
  require(written->is_of(listener, written->device));
  require(names.empty() || name_tcp_listener(listener, written->device, "").text == names.front() ||
          written->host == WrittenAddress::Host::all);
  ++listener.port;
  require(!written->is_of(listener, written->device));
  return 0;
}
