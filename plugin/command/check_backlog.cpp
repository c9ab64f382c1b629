#include "check_backlog.h"

#include "backlog/command_line.h"
#include "backlog/table_reader.h"
#include "config.h"
#include "listener_selection.h"
#include "name_filter.h"
#include "number.h"
#include "table_access.h"
#include "table_text.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <string_view>
#include <tuple>

namespace backlog {

namespace {

using layout::Listener;
using layout::State;

enum Status : int { ok, warning, critical, unknown };
constexpr std::array<std::string_view, 4> status_words{"OK", "WARNING", "CRITICAL", "UNKNOWN"};
constexpr unsigned long default_perfdata = 20; // some 3 kB; Nagios takes 8
constexpr unsigned long most_perfdata = 1000;
constexpr std::size_t most_named = 3;

constexpr std::string_view usage =
    "usage: check_backlog [OPTIONS]\n"
    "Checks how full the accept queues of this host are, by the table file of collectd's plugin\n"
    "backlog.\n"
    "  -w, --warning RANGE   WARNING if the use of a queue, in percent, is outside of it\n"
    "  -c, --critical RANGE  CRITICAL if it is; without both: the alarm that stands, warning or\n"
    "                        failure -> WARNING, CRITICAL; in any case CRITICAL: stalled, missing\n"
    "  --last                by the last interval alone, instead of the worst of five minutes\n"
    "  -n, --name REGEX      only listeners whose name it matches (POSIX extended); UNKNOWN if\n"
    "                        there is none\n"
    "  -p, --perfdata COUNT  figures of at most so many listeners (20), the expected ones first\n"
    "  -f, --table FILE      the table file (/run/collectd-backlog/table); also --file\n"
    "  -t, --timeout SECONDS give up after so long (10): UNKNOWN\n"
    "  -v, --verbose         one line more for each listener that is not OK; twice: for each\n"
    "  -V, --version         the version\n"
    "  -h, --help            this text\n"
    "A RANGE is 90 (0 to 90), 10: (10 or more), ~:90 (90 or less), 10:90; @ in front: inside.\n";

/// A threshold range as the Monitoring Plugins guidelines define it.
struct Range {
  double first = 0;
  double last = std::numeric_limits<double>::infinity();
  bool inside = false;
  std::string text;

  bool alerts(double value) const { return (value >= first && value <= last) == inside; }
};

std::optional<double> parse_finite(std::string_view text) {
  const auto number = parse_number<double>(text);
  return number && std::isfinite(*number) ? number : std::nullopt;
}

std::optional<Range> parse_range(std::string_view text) {
  Range range;
  range.text = text;
  if (text.starts_with('@')) {
    range.inside = true;
    text.remove_prefix(1);
  }
  const std::size_t colon = text.find(':');
  const std::string_view first = colon == std::string_view::npos ? "" : text.substr(0, colon);
  const std::string_view last = colon == std::string_view::npos ? text : text.substr(colon + 1);
  if (first == "~")
    range.first = -std::numeric_limits<double>::infinity();
  else if (const auto number = first.empty() ? std::optional(0.0) : parse_finite(first))
    range.first = *number;
  else
    return std::nullopt;
  if (last.empty() && colon == std::string_view::npos)
    return std::nullopt;
  if (!last.empty()) {
    const auto number = parse_finite(last);
    if (!number)
      return std::nullopt;
    range.last = *number;
  }
  return range.first <= range.last ? std::optional(range) : std::nullopt;
}

struct CheckOptions {
  std::string table = default_table_file;
  std::optional<Range> warning;
  std::optional<Range> critical;
  NameFilter names;
  unsigned long perfdata = default_perfdata; ///< listeners
  int verbosity = 0;
  bool last = false;                  ///< judges the last interval alone
  std::optional<CheckResult> at_once; ///< the result, if there is nothing to check
};

/// Replaces '|', which would begin the perfdata.
std::string without_bars(std::string text) {
  for (char &c : text)
    if (c == '|')
      c = '/';
  return text;
}

CheckResult bad_option(const std::string &text) {
  return {unknown, "BACKLOG UNKNOWN - " + without_bars(text) + "; see check_backlog -h\n"};
}

constexpr int last = 256;
constexpr std::array known_options{CommandOption{'w', "warning", CommandOption::Value::required},
                                   CommandOption{'c', "critical", CommandOption::Value::required},
                                   CommandOption{last, "last"},
                                   CommandOption{'n', "name", CommandOption::Value::required},
                                   CommandOption{'p', "perfdata", CommandOption::Value::required},
                                   CommandOption{'f', "table", CommandOption::Value::required},
                                   CommandOption{'f', "file", CommandOption::Value::required},
                                   CommandOption{'t', "timeout", CommandOption::Value::required},
                                   CommandOption{'v', "verbose"},
                                   CommandOption{'V', "version"},
                                   CommandOption{'h', "help"}};

std::optional<CheckResult> take_range(const CommandLine::Given &given,
                                      std::optional<Range> &range) {
  range = parse_range(*given.value);
  if (range)
    return std::nullopt;
  return bad_option("option " + given.shown + ": " + shown_argument(*given.value) +
                    " is not a range");
}

std::optional<CheckResult> take_names(const CommandLine::Given &given, CheckOptions &options) {
  options.names = NameFilter();
  if (!options.names.add_regex(*given.value))
    return std::nullopt;
  return bad_option("option " + given.shown + ": " + shown_argument(*given.value) +
                    " is not a regular expression");
}

std::optional<CheckResult> take_perfdata(const CommandLine::Given &given, CheckOptions &options) {
  const auto count = parse_number<unsigned long>(*given.value);
  if (!count || *count > most_perfdata)
    return bad_option("option " + given.shown + ": " + shown_argument(*given.value) +
                      " is not a number of listeners from 0 to 1000");
  options.perfdata = *count;
  return std::nullopt;
}

std::optional<CheckResult> take_timeout(const CommandLine::Given &given) {
  const std::optional<double> seconds = parse_finite(*given.value);
  if (!seconds || *seconds < 1 || *seconds > 3600)
    return bad_option("option " + given.shown + ": " + shown_argument(*given.value) +
                      " is not a number of seconds from 1 to 3600");
  ::alarm(static_cast<unsigned>(*seconds));
  return std::nullopt;
}

std::optional<CheckResult> take_option(const CommandLine::Given &given, CheckOptions &options) {
  switch (given.key) {
  case 'w':
    return take_range(given, options.warning);
  case 'c':
    return take_range(given, options.critical);
  case 'n':
    return take_names(given, options);
  case 'p':
    return take_perfdata(given, options);
  case 't':
    return take_timeout(given);
  case 'f':
    options.table = *given.value;
    return std::nullopt;
  case last:
    options.last = true;
    return std::nullopt;
  case 'v':
    ++options.verbosity;
    return std::nullopt;
  case 'V':
    return CheckResult{unknown, "check_backlog " BACKLOG_VERSION "\n"};
  default:
    return CheckResult{unknown, std::string(usage)};
  }
}

CheckOptions parse(const std::vector<std::string> &arguments) {
  CheckOptions options;
  CommandLine line(arguments, known_options);
  while (const auto given = line.next())
    if ((options.at_once = take_option(*given, options)))
      return options;
  if (!line.fault().empty())
    options.at_once = bad_option(line.fault());
  else if (!line.rest().empty())
    options.at_once = bad_option(shown_argument(line.rest().front()) + " is not an option");
  return options;
}

Status status_of(State state) {
  if (state == State::ok)
    return ok;
  return state == State::high ? warning : critical;
}

/// The judged figures of a listener, of one interval or of the last minutes.
struct Judged {
  State state = State::ok;
  layout::Severity severity = layout::Severity::okay; ///< of the active alarm
  double used_percent = 0;
};

Judged last_of(const Listener &listener) {
  return {listener.state, layout::Severity::okay, listener.used_percent};
}

/// The active alarm and the worst of the last minutes.
Judged recent_of(const Listener &listener) {
  Judged judged{std::max(listener.state, listener.alarm_state), listener.severity,
                listener.used_percent};
  if ((listener.has & layout::has_recent) != 0) {
    judged.state = std::max(judged.state, listener.recent_state);
    judged.severity = std::max(judged.severity, listener.recent_severity);
    judged.used_percent = std::max(judged.used_percent, listener.recent_used_percent);
  }
  return judged;
}

Judged judged(const Listener &listener, const CheckOptions &options) {
  return options.last ? last_of(listener) : recent_of(listener);
}

/// Without an alarm the state decides, because Notify can leave states out.
Status status_of(const Judged &judged, bool has_queue, const CheckOptions &options) {
  if (judged.state >= State::stalled) // stalled and missing do not show in the use of the queue
    return critical;
  if (!has_queue || (!options.warning && !options.critical)) {
    if (judged.severity == layout::Severity::okay)
      return status_of(judged.state);
    return judged.severity == layout::Severity::warning ? warning : critical;
  }
  if (options.critical && options.critical->alerts(judged.used_percent))
    return critical;
  return options.warning && options.warning->alerts(judged.used_percent) ? warning : ok;
}

bool has_queue(const Listener &listener) { return (listener.has & layout::has_queue) != 0; }

Status status_of(const Listener &listener, const CheckOptions &options) {
  return status_of(judged(listener, options), has_queue(listener), options);
}

/// Whether the status comes from the last minutes only: neither the last interval nor an alarm
/// gives it.
bool is_over(const Listener &listener, const CheckOptions &options) {
  if (options.last || (listener.has & layout::has_recent) == 0)
    return false;
  const Judged now{std::max(listener.state, listener.alarm_state), listener.severity,
                   listener.used_percent};
  return status_of(listener, options) > status_of(now, has_queue(listener), options);
}

std::string line_of(const Listener &listener, const CheckOptions &options) {
  const bool over = is_over(listener, options);
  const bool of_interval = options.last && listener.alarm_state > listener.state;
  if (std::string text = to_say(listener); !text.empty() && !over && !of_interval)
    return people_text(text, locale_is_utf8());
  std::string text = std::string(layout::text_of(listener.name)) + " " +
                     std::string(layout::name_of(listener.state)) + ", ";
  if (over && listener.recent_state != State::ok)
    text.append("was ").append(layout::name_of(listener.recent_state)).append(" ");
  if (!options.last && (listener.has & layout::has_recent) != 0)
    return text + recent_text(listener);
  if (!has_queue(listener))
    return text + "not listening";
  return text + number_text(listener.used_percent) + "% used, peak " +
         std::to_string(listener.peak) + " of " + std::to_string(listener.peak_capacity);
}

/// The peak, and the connections that fitted then.
std::pair<std::uint64_t, std::uint64_t> peak_of(const Listener &listener,
                                                const CheckOptions &options) {
  const bool is_recent = !options.last && (listener.has & layout::has_recent) != 0;
  return is_recent ? std::pair(listener.recent_peak, listener.recent_peak_capacity)
                   : std::pair(listener.peak, listener.peak_capacity);
}

/// A dot parts what is measured, for no listener's name has one; two colons would be read into the
/// labels behind them by Icinga (PluginUtility::SplitPerfdata()).
std::string figures_of(const Listener &listener, const CheckOptions &options) {
  const std::string name(layout::text_of(listener.name));
  const auto [peak, capacity] = peak_of(listener, options);
  std::string text = " " + name + "=" + number_text(judged(listener, options).used_percent) + "%;" +
                     (options.warning ? options.warning->text : "") + ";" +
                     (options.critical ? options.critical->text : "") + ";0;100 " + name +
                     ".peak=" + std::to_string(peak) + ";;;0;" + std::to_string(capacity);
  if ((listener.has & layout::has_dropped) != 0)
    text += " " + name + ".dropped=" + std::to_string(listener.dropped) + "c";
  return text;
}

/// Figures of so many listeners, whatever their state, because a graph must neither begin nor end
/// with an incident.
/// Expected listeners come first, then others by name. Listeners with unstable names are included
/// only if there are no others.
std::string listeners_perfdata(std::vector<const Listener *> listeners,
                               const CheckOptions &options) {
  std::erase_if(listeners, [](const Listener *listener) { return !has_queue(*listener); });
  const auto place = [](const Listener *listener) {
    return std::tuple((listener->has & layout::is_stable) == 0,
                      (listener->has & layout::is_expected) == 0, layout::text_of(listener->name));
  };
  std::sort(listeners.begin(), listeners.end(),
            [&](const Listener *a, const Listener *b) { return place(a) < place(b); });
  const auto first_unstable =
      std::find_if(listeners.begin(), listeners.end(), [](const Listener *listener) {
        return (listener->has & layout::is_stable) == 0;
      });
  if (first_unstable != listeners.begin())
    listeners.erase(first_unstable, listeners.end());
  if (listeners.size() > options.perfdata)
    listeners.resize(options.perfdata);
  std::string text;
  for (const Listener *listener : listeners)
    text += figures_of(*listener, options);
  return text;
}

/// Figures of the whole come first, because a transport cuts long output at its end.
std::string perfdata(const TableContents &contents, const std::vector<const Listener *> &listeners,
                     const CheckOptions &options) {
  std::array<std::size_t, layout::state_names.size()> counts{};
  for (const Listener *listener : listeners)
    ++counts.at(static_cast<std::size_t>(judged(*listener, options).state));
  std::string text = "all.listeners=" + std::to_string(listeners.size()) + ";;;0";
  for (std::size_t state = 1; state < counts.size(); ++state)
    text.append(" all.").append(layout::state_names.at(state)).append("=") +=
        std::to_string(counts.at(state)) + ";;;0";
  if (options.names.empty() && (contents.header.has & layout::has_host_dropped) != 0)
    text += " all.dropped=" + std::to_string(contents.header.dropped) + "c";
  return text + listeners_perfdata(listeners, options);
}

CheckResult check(const TableContents &contents, const CheckOptions &options) {
  Status worst = ok;
  std::vector<const Listener *> listeners;
  for (const Listener *listener : worst_first(contents)) {
    if (!selects_by_name(options.names, *listener))
      continue;
    listeners.push_back(listener);
    worst = std::max(worst, status_of(*listener, options));
  }
  if (worst == ok && !is_complete(contents))
    return {unknown, "BACKLOG UNKNOWN - not all listeners could be read: see collectd's log\n"};
  if (listeners.empty())
    return {unknown, !options.names.empty()
                         ? "BACKLOG UNKNOWN - no listener of that name\n"
                         : "BACKLOG UNKNOWN - no listener to check: nothing listens, or "
                           "Listener in collectd's configuration selects nothing\n"};

  std::string text = "BACKLOG " + std::string(status_words[worst]) + " - ";
  std::string details;
  std::size_t named = 0;
  for (const Status wanted : {critical, warning}) {
    for (const Listener *listener : listeners) {
      if (status_of(*listener, options) != wanted)
        continue;
      if (named++ < most_named)
        text += (named > 1 ? "; " : "") + without_bars(line_of(*listener, options));
    }
  }
  if (named == 0)
    text += std::to_string(listeners.size()) +
            (listeners.size() == 1 ? " listener" : " listeners") + ", worst " +
            without_bars(line_of(*listeners.front(), options));
  else if (named > most_named)
    text += "; and " + std::to_string(named - most_named) + " more";
  if (options.verbosity > 0)
    for (const Listener *listener : listeners)
      if (options.verbosity > 1 || status_of(*listener, options) != ok)
        details += std::string(status_words[status_of(*listener, options)]) + ": " +
                   without_bars(line_of(*listener, options)) + "\n";
  return {worst, text + " | " + perfdata(contents, listeners, options) + "\n" + details};
}

} // namespace

CheckResult check_backlog(const std::vector<std::string> &arguments) {
  constexpr unsigned default_timeout_seconds = 10;
  ::alarm(default_timeout_seconds);
  const CheckOptions options = parse(arguments);
  if (options.at_once)
    return *options.at_once;
  const auto [contents, refusal] = read_table_file(options.table);
  if (!contents)
    return {unknown, "BACKLOG UNKNOWN - " + why_unreadable(options.table, refusal) + "\n"};
  if (const std::int64_t now = clock_ns(); is_stale(contents->header, now))
    return {unknown, "BACKLOG UNKNOWN - the table is stale, " +
                         span_text(age_ns(contents->header, now)) + " old: is collectd running?\n"};
  return check(*contents, options);
}

} // namespace backlog
