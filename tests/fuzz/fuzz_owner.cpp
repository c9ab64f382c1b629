// Any text as the path of a cgroup and as /proc/PID/cgroup: both ways to a unit lead to the same,
// and what a message shows of it is one line.

#include "cgroup_path.h"
#include "fuzz_input.h"
#include "net_namespace.h"
#include "owner.h"
#include "utf8.h"

#include <algorithm>

using namespace backlog;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
  const std::string text(FuzzInput(data, size).rest());
  const std::string unit = unit_of_cgroup(text);
  const std::string process_unit = unit_of_process(text);
  for (const std::string &shown : {printable(unit), printable(process_unit)})
    require(std::none_of(shown.begin(), shown.end(),
                         [](char c) { return (c >= 0 && c < ' ') || c == '\x7f'; }));
  if (text.starts_with('/') && text.find('\n') == std::string::npos)
    require(unit_of_process("0::" + text + "\n") == unit);

  const std::string container = container_id(text);
  require(container.empty() || (container.size() == shown_container_id_digits && is_id(container)));
  return 0;
}
