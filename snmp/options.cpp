#include "options.h"

#include <array>
#include <cctype>
#include <charconv>
#include <string_view>

namespace backlog {

namespace {

constexpr std::size_t max_root_length = 100; // of the 128 that a name may have
constexpr std::string_view usage =
    "usage: backlog-agentx [OPTIONS]\n"
    "Serves BACKLOG-MIB to the SNMP agent of this host from the table file of collectd's plugin\n"
    "backlog.\n"
    "  --table FILE      the table file (/run/collectd-backlog/table)\n"
    "  --agentx ADDRESS  where the agent listens, as its agentXSocket says: a path, or\n"
    "                    tcp:HOST:PORT (/var/agentx/master)\n"
    "  --root OID        of backlogRoot (1.3.6.1.4.1.8072.9999.9999.4242)\n"
    "  --foreground      do not become a daemon; messages go to stderr\n"
    "  --version, --help\n";

ParsedOptions failure(const std::string &text) {
  return {std::nullopt, "backlog-agentx: " + text + "\n", true};
}

} // namespace

std::optional<Oid> parse_oid(const std::string &text) {
  Oid oid;
  const char *at = text.data();
  const char *end = text.data() + text.size();
  if (at != end && *at == '.')
    ++at;
  while (at != end) {
    std::uint32_t number = 0;
    const auto [rest, error] = std::from_chars(at, end, number);
    if (error != std::errc() || (rest != end && (*rest != '.' || rest + 1 == end)))
      return std::nullopt;
    oid.push_back(number);
    at = rest == end ? rest : rest + 1;
  }
  if (oid.size() < 2 || oid.size() > max_root_length || oid[0] > 2)
    return std::nullopt;
  return oid;
}

ParsedOptions parse_options(const std::vector<std::string> &arguments) {
  Options options;
  for (auto argument = arguments.begin(); argument != arguments.end(); ++argument) {
    std::string name = *argument;
    std::optional<std::string> attached;
    if (const std::size_t equals = name.find('='); equals != std::string::npos) {
      attached = name.substr(equals + 1);
      name.resize(equals);
    }
    const bool takes_value = name == "--table" || name == "--agentx" || name == "--root";
    if (attached && !takes_value)
      return failure("option " + *argument + " is unknown; see --help");
    if (takes_value && !attached) {
      if (++argument == arguments.end())
        return failure("option " + name + " needs a value");
      attached = *argument;
    }
    if (takes_value && attached->empty())
      return failure("option " + name + " needs a value");

    if (name == "--help")
      return {std::nullopt, std::string(usage), false};
    if (name == "--version")
      return {std::nullopt, "backlog-agentx " BACKLOG_VERSION "\n", false};
    if (name == "--foreground") {
      options.foreground = true;
    } else if (name == "--table") {
      options.table = *attached;
    } else if (name == "--agentx") {
      options.agentx = *attached;
    } else if (name == "--root") {
      const std::optional<Oid> root = parse_oid(*attached);
      if (!root)
        return failure("option --root: " + *attached +
                       " is not allowed; allowed is an OID in numbers, as 1.3.6.1.4.1.32473.77");
      options.root = *root;
    } else {
      return failure("option " + *argument + " is unknown; see --help");
    }
  }
  return {std::move(options), "", false};
}

} // namespace backlog
