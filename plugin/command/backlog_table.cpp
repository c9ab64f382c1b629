#include "backlog/command_line.h"
#include "backlog/table_reader.h"
#include "check_backlog.h"
#include "config.h"
#include "listener_name.h"
#include "listener_selection.h"
#include "live_table.h"
#include "number.h"
#include "openmetrics_text.h"
#include "table_access.h"
#include "table_text.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <clocale>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <sys/ioctl.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

using namespace backlog;

constexpr std::string_view usage =
    "usage: backlog-table [OPTIONS] [LISTENER...]\n"
    "Shows the accept queues of this host, the worst first, as collectd's plugin backlog has\n"
    "published them. A LISTENER is a name, a /regex/ over names, an address as 127.0.0.1:80,\n"
    "*:443, [::1]:9000 or :80 (any address), a Unix path, or @name: only those are shown.\n"
    "  --watch           show it again each second, until Ctrl-C\n"
    "  --json            as JSON\n"
    "  --openmetrics     as metrics for Prometheus\n"
    "  --audit           limits, who set them, what would have been enough, and what to write\n"
    "                    where\n"
    "  --servers FILE    where servers have their backlog, for --audit; goes before\n"
    "                    /etc/collectd/backlog-servers\n"
    "  --oid NAME        the listener's index in BACKLOG-MIB\n"
    "  --live [SECONDS]  sample this host for so long (1), without collectd\n"
    "  -f, --table FILE  the table file (/run/collectd-backlog/table)\n"
    "  -V, --version     the version\n"
    "  -h, --help        this text\n"
    "Called as check_backlog it is a monitoring plugin; see check_backlog -h.\n";

constexpr std::chrono::seconds watch_period{1};
constexpr std::chrono::milliseconds signal_period{100}; // how soon a signal is noticed
constexpr const char *clear_screen = "\x1b[H\x1b[J";    // keeps what has scrolled away
constexpr double shortest_live_seconds = 0.001;
constexpr double longest_live_seconds = 3600;

struct Options {
  std::string table = default_table_file;
  bool watch = false;
  bool json = false;
  bool openmetrics = false;
  bool audit = false;
  std::optional<std::string> oid;
  std::optional<std::chrono::milliseconds> live;
  ServerSettings servers;
  ListenerSelection listeners;
  std::string asked_for; ///< those arguments, for people
  std::set<int> given;   ///< keys of the options
};

volatile std::sig_atomic_t ended = 0;

int fail(const std::string &text) {
  (void)std::fprintf(stderr, "backlog-table: %s\n", text.c_str());
  return EXIT_FAILURE;
}

std::optional<double> parse_seconds(const std::string &text) {
  const auto seconds = parse_number<double>(text);
  return seconds && *seconds >= shortest_live_seconds && *seconds <= longest_live_seconds
             ? seconds
             : std::nullopt;
}

enum LongOption : int { watch = 256, json, openmetrics, audit, servers, oid, live };
constexpr std::array known_options{
    CommandOption{'f', "table", CommandOption::Value::required},
    CommandOption{watch, "watch"},
    CommandOption{json, "json"},
    CommandOption{openmetrics, "openmetrics"},
    CommandOption{audit, "audit"},
    CommandOption{servers, "servers", CommandOption::Value::required},
    CommandOption{oid, "oid", CommandOption::Value::required},
    CommandOption{live, "live", CommandOption::Value::optional},
    CommandOption{'V', "version"},
    CommandOption{'h', "help"}};

/// Two options of which one would be without effect.
struct Exclusion {
  int one;
  int other;
  const char *allowed;
};
constexpr const char *one_form = "allowed is one of --json, --openmetrics, --audit and --oid";
constexpr const char *oid_alone = "allowed beside --oid is --table";
constexpr const char *live_without_table = "allowed is --live, which samples this host, or --table";
constexpr const char *servers_for_audit = "allowed beside --servers is --audit";
constexpr std::array exclusions{Exclusion{json, openmetrics, one_form},
                                Exclusion{json, audit, one_form},
                                Exclusion{json, oid, one_form},
                                Exclusion{openmetrics, audit, one_form},
                                Exclusion{openmetrics, oid, one_form},
                                Exclusion{audit, oid, one_form},
                                Exclusion{watch, oid, oid_alone},
                                Exclusion{live, oid, oid_alone},
                                Exclusion{servers, oid, oid_alone},
                                Exclusion{live, 'f', live_without_table},
                                Exclusion{servers, json, servers_for_audit},
                                Exclusion{servers, openmetrics, servers_for_audit}};

std::string option_name(int key) {
  const auto *const option =
      std::find_if(known_options.begin(), known_options.end(),
                   [key](const CommandOption &known) { return known.key == key; });
  return "--" + std::string(option->name);
}

/// Returns what is wrong with the options together; empty for nothing.
std::string conflict(const Options &options) {
  for (const Exclusion &pair : exclusions)
    if (options.given.contains(pair.one) && options.given.contains(pair.other))
      return "options " + option_name(pair.one) + " and " + option_name(pair.other) +
             " exclude each other; " + pair.allowed;
  if (options.given.contains(servers) && !options.audit)
    return std::string("option --servers is without effect; ") + servers_for_audit;
  return "";
}

/// Returns the exit status if there is nothing to show. `--live 5` works like `--live=5`, because
/// no listener's name is a number.
std::optional<int> take_live(CommandLine &line, std::optional<std::string> value,
                             Options &options) {
  if (!value)
    value = line.take_value([](std::string_view text) {
      return text.find_first_not_of("0123456789.") == std::string_view::npos;
    });
  const std::optional<double> seconds = value ? parse_seconds(*value) : std::optional(1.0);
  if (!seconds)
    return fail("option --live: " + shown_argument(*value) +
                " is not a number of seconds from 0.001 to 3600");
  options.live = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::duration<double>(*seconds));
  return std::nullopt;
}

/// Refuses a name that no listener can have.
std::optional<int> take_oid(const std::string &name, Options &options) {
  if (name.size() > listener_name_max_bytes ||
      name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_-") != std::string::npos)
    return fail("option --oid: " + shown_argument(name) +
                " is no listener's name; allowed are at most " +
                std::to_string(listener_name_max_bytes) + " bytes of a-z, 0-9, _ and -");
  options.oid = name;
  return std::nullopt;
}

/// Refuses an unreadable file or a wrong line, since the user named the file.
std::optional<int> take_servers(const std::string &file, Options &options) {
  if (::access(file.c_str(), R_OK) != 0)
    return fail("option --servers: " + shown_argument(file) + ": " + std::strerror(errno));
  const std::vector<std::string> faults = options.servers.add_file(file);
  return faults.empty() ? std::nullopt : std::optional(fail("option --servers: " + faults.front()));
}

std::optional<int> take(CommandLine &line, const CommandLine::Given &given, Options &options) {
  switch (given.key) {
  case 'f':
    options.table = *given.value;
    return std::nullopt;
  case watch:
    options.watch = true;
    return std::nullopt;
  case json:
    options.json = true;
    return std::nullopt;
  case openmetrics:
    options.openmetrics = true;
    return std::nullopt;
  case audit:
    options.audit = true;
    return std::nullopt;
  case servers:
    return take_servers(*given.value, options);
  case oid:
    return take_oid(*given.value, options);
  case live:
    return take_live(line, given.value, options);
  case 'V':
    (void)std::puts("backlog-table " BACKLOG_VERSION);
    return EXIT_SUCCESS;
  default:
    (void)std::fputs(std::string(usage).c_str(), stdout);
    return EXIT_SUCCESS;
  }
}

/// Returns the exit status if there is nothing to show.
std::optional<int> parse(const std::vector<std::string> &arguments, Options &options) {
  CommandLine line(arguments, known_options);
  while (const auto given = line.next()) {
    if (const std::optional<int> status = take(line, *given, options))
      return status;
    options.given.insert(given->key);
  }
  if (!line.fault().empty())
    return fail(line.fault() + "; see --help");
  if (const std::string wrong = conflict(options); !wrong.empty())
    return fail(wrong);
  if (options.oid && !line.rest().empty())
    return fail("option --oid and " + shown_argument(line.rest().front()) +
                " exclude each other; " + oid_alone);
  for (const std::string &argument : line.rest()) {
    if (const auto wrong = options.listeners.add(argument))
      return fail(*wrong);
    options.asked_for += (options.asked_for.empty() ? "" : ", ") + shown_argument(argument);
  }
  return std::nullopt;
}

bool is_terminal() { return ::isatty(STDOUT_FILENO) != 0; }

/// Honours NO_COLOR (no-color.org).
bool has_colours() {
  const char *no_colour = std::getenv("NO_COLOR");
  const char *terminal = std::getenv("TERM");
  return is_terminal() && (no_colour == nullptr || *no_colour == '\0') &&
         (terminal == nullptr || std::string_view(terminal) != "dumb");
}

/// The size of the terminal. The height matters only for what is shown again and again.
Screen screen(const Options &options) {
  Screen screen;
  screen.colours = has_colours();
  screen.utf8 = locale_is_utf8();
  screen.ends_by_key = options.watch && is_terminal();
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0) {
    screen.columns = size.ws_col;
    screen.rows = options.watch ? size.ws_row : std::size_t{0};
  }
  return screen;
}

std::string shown(const TableContents &contents, const Options &options) {
  if (options.json)
    return table_json(contents, clock_ns());
  if (options.openmetrics)
    return openmetrics_text(contents, clock_ns(), !options.listeners.empty());
  if (options.audit)
    return audit_text(contents, clock_ns(), screen(options), options.servers);
  return table_text(contents, clock_ns(), screen(options));
}

bool print(const std::string &text) {
  if (std::fputs(text.c_str(), stdout) >= 0 && std::fflush(stdout) == 0)
    return true;
  (void)fail(std::string("standard output: ") + std::strerror(errno));
  return false;
}

bool is_screen(const Options &options) { return options.watch && is_terminal(); }

bool clear(const Options &options) { return !is_screen(options) || print(clear_screen); }

int show(TableContents contents, const Options &options) {
  options.listeners.keep_selected(contents);
  if (contents.listeners.empty() && !options.listeners.empty() && !options.watch)
    return fail(options.asked_for + ": no listener of that name or address");
  return clear(options) && print(shown(contents, options)) ? EXIT_SUCCESS : EXIT_FAILURE;
}

/// Returns false if a signal has asked the program to end.
bool pause(std::chrono::milliseconds time) {
  const auto end = std::chrono::steady_clock::now() + time;
  while (ended == 0 && std::chrono::steady_clock::now() < end)
    std::this_thread::sleep_for(std::min<std::chrono::steady_clock::duration>(
        signal_period, end - std::chrono::steady_clock::now()));
  return ended == 0;
}

/// Prints the listener's index in the table, or the index that it would have alone.
int print_index(const std::string &name, const Options &options) {
  std::uint32_t index = layout::name_index(name);
  const auto [contents, refusal] = read_table_file(options.table);
  if (contents) {
    std::vector<std::string_view> names;
    for (const layout::Listener &listener : contents->listeners)
      names.push_back(layout::text_of(listener.name));
    const std::vector<std::uint32_t> indexes = name_indexes(names);
    auto own = std::find(names.begin(), names.end(), name);
    for (std::size_t i = 0; i < names.size() && own == names.end(); ++i)
      if (layout::text_of(contents->listeners[i].address_name) == name)
        own = names.begin() + static_cast<std::ptrdiff_t>(i);
    const auto holder = std::find(indexes.begin(), indexes.end(), index);
    if (own != names.end())
      index = indexes[static_cast<std::size_t>(own - names.begin())];
    else if (holder != indexes.end())
      return fail(name + " is not in the table, and its index is that of " +
                  std::string(names[static_cast<std::size_t>(holder - indexes.begin())]));
  }
  if (!print(std::to_string(index) + "\n"))
    return EXIT_FAILURE;
  return contents
             ? EXIT_SUCCESS
             : fail(options.table + ": " + refusal + "; this is the index of the name on its own");
}

int show_live(const Options &options) {
  LiveTable live;
  if (const Failure failure = live.start())
    return fail(failure->message());
  while (pause(*options.live)) {
    const Result<TableContents> contents = live.take(*options.live);
    if (!contents)
      return fail(contents.error().message());
    if (const int status = show(*contents, options); status != EXIT_SUCCESS || !options.watch)
      return status;
  }
  return EXIT_SUCCESS;
}

int show_table(const Options &options) {
  const auto [contents, refusal] = read_table_file(options.table);
  if (contents)
    return show(*contents, options);
  if (options.openmetrics) // or what was written before would be shown on
    print(openmetrics_without_table());
  return fail(why_unreadable(options.table, refusal));
}

/// Goes on while there is no table, since collectd may come back.
int watch_table(const Options &options) {
  std::string said;
  do {
    const auto [contents, refusal] = read_table_file(options.table);
    if (contents && show(*contents, options) != EXIT_SUCCESS)
      return EXIT_FAILURE;
    if (!contents && (is_screen(options) || refusal != said) && clear(options))
      (void)fail(why_unreadable(options.table, refusal));
    said = refusal;
  } while (pause(watch_period));
  return EXIT_SUCCESS;
}

int run(const std::vector<std::string> &arguments) {
  Options options;
  if (const std::optional<int> status = parse(arguments, options))
    return *status;
  if (options.audit)
    for (const char *file : {"/etc/collectd/backlog-servers", SERVERS_FILE})
      for (const std::string &fault : options.servers.add_file(file))
        (void)fail(fault);
  if (options.oid)
    return print_index(*options.oid, options);
  for (const int number : {SIGINT, SIGTERM}) {
    struct sigaction action {};
    action.sa_handler = [](int) { ended = 1; };
    if (options.watch)
      ::sigaction(number, &action, nullptr);
  }
  int status = EXIT_SUCCESS;
  if (options.live)
    status = show_live(options);
  else
    status = options.watch ? watch_table(options) : show_table(options);
  return ended != 0 ? EXIT_SUCCESS : status;
}

/// Reports UNKNOWN to the monitoring system when the time is up.
void end_late(int) {
  constexpr std::string_view text = "BACKLOG UNKNOWN - no answer in time\n";
  [[maybe_unused]] const ssize_t written = ::write(STDOUT_FILENO, text.data(), text.size());
  ::_exit(3);
}

} // namespace

int main(int argc, char **argv) {
  const std::vector<std::string> arguments(argv + std::min(argc, 1), argv + argc);
  const std::string_view program = argc > 0 ? argv[0] : "";
  const bool check = program.substr(program.rfind('/') + 1) == "check_backlog";
  (void)std::setlocale(LC_CTYPE, "");
  try {
    if (!check)
      return run(arguments);
    (void)std::signal(SIGALRM, end_late);
    const CheckResult result = check_backlog(arguments);
    return print(result.output) ? result.status : 3;
  } catch (const std::exception &exception) {
    if (!check)
      return fail(exception.what());
    print(std::string("BACKLOG UNKNOWN - ") + exception.what() + "\n");
    return 3;
  }
}
