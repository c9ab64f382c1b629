// Any text as the path of a cgroup and as /proc/PID/cgroup: what a message shows of it is one line,
// and both ways to a unit lead to the same.

#include "cgroup_path.h"
#include "fuzz_input.h"
#include "net_namespace.h"
#include "owner.h"
#include "utf8.h"

using namespace backlog;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
  const std::string text(FuzzInput(data, size).rest());
  const std::string unit = unit_of_cgroup(text);
  require(printable(unit) == unit);

  const std::string process_unit = unit_of_process(text);
  require(printable(process_unit) == process_unit);
  if (text.starts_with('/') && text.find('\n') == std::string::npos)
    require(unit_of_process("0::" + text + "\n") == unit);

  const std::string container = container_id(text);
  require(container.empty() || (container.size() == shown_container_id_digits && is_id(container)));
  return 0;
}
