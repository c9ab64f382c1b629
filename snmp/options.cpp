#include "options.h"

#include "backlog/command_line.h"

#include <array>
#include <cctype>
#include <charconv>
#include <string_view>

namespace backlog {

namespace {

constexpr std::size_t max_root_length = 100; // of the 128 sub-identifiers that a name may have
constexpr std::string_view usage =
    "usage: backlog-agentx [OPTIONS]\n"
    "Serves BACKLOG-MIB to the SNMP agent of this host from the table file of collectd's plugin\n"
    "backlog.\n"
    "  -f, --table FILE  the table file (/run/collectd-backlog/table)\n"
    "  --agentx ADDRESS  where the agent listens, as its agentXSocket says: a path, or\n"
    "                    tcp:HOST:PORT (/var/agentx/master)\n"
    "  --root OID        of backlogRoot (1.3.6.1.4.1.8072.9999.9999.4242)\n"
    "  --foreground      do not become a daemon; messages go to stderr\n"
    "  -V, --version     the version\n"
    "  -h, --help        this text\n";

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
  using Value = CommandOption::Value;
  enum : int { agentx = 256, root, foreground };
  static constexpr std::array known{CommandOption{'f', "table", Value::required},
                                    CommandOption{agentx, "agentx", Value::required},
                                    CommandOption{root, "root", Value::required},
                                    CommandOption{foreground, "foreground"},
                                    CommandOption{'V', "version"},
                                    CommandOption{'h', "help"}};
  Options options;
  CommandLine line(arguments, known);
  while (const auto given = line.next()) {
    switch (given->key) {
    case 'f':
      options.table = *given->value;
      break;
    case agentx:
      options.agentx = *given->value;
      break;
    case root:
      if (const std::optional<Oid> oid = parse_oid(*given->value))
        options.root = *oid;
      else
        return failure("option " + given->shown + ": " + shown_argument(*given->value) +
                       " is not allowed; allowed is an OID in numbers, as 1.3.6.1.4.1.32473.77");
      break;
    case foreground:
      options.foreground = true;
      break;
    case 'V':
      return {std::nullopt, "backlog-agentx " BACKLOG_VERSION "\n", false};
    default:
      return {std::nullopt, std::string(usage), false};
    }
  }
  if (!line.fault().empty())
    return failure(line.fault() + "; see --help");
  if (!line.rest().empty())
    return failure(shown_argument(line.rest().front()) + " is not an option; see --help");
  return {std::move(options), "", false};
}

} // namespace backlog
