#include "check_backlog.h"

#include "backlog/table_reader.h"
#include "config.h"
#include "table_text.h"

#include <array>
#include <charconv>
#include <cstdio>
#include <limits>
#include <memory>
#include <optional>
#include <regex.h>
#include <string_view>

namespace backlog {

namespace {

using layout::Listener;
using layout::State;

enum Status : int { ok, warning, critical, unknown };
constexpr std::array<std::string_view, 4> status_words{"OK", "WARNING", "CRITICAL", "UNKNOWN"};
constexpr std::size_t most_perfdata = 20;
constexpr std::size_t most_named = 3;

constexpr std::string_view usage =
    "usage: check_backlog [OPTIONS]\n"
    "Checks how full the accept queues of this host are, by the table file of collectd's plugin\n"
    "backlog.\n"
    "  -w RANGE   WARNING if the use of a queue, in percent, is outside of it\n"
    "  -c RANGE   CRITICAL if it is; without both: state ok, high, any other -> OK, WARNING,\n"
    "             CRITICAL; in any case CRITICAL: stalled, missing\n"
    "  -n REGEX   only listeners whose name it matches (POSIX extended); UNKNOWN if there is none\n"
    "  -f FILE    the table file (/run/collectd-backlog/table)\n"
    "  -t SECONDS give up after so long (10): UNKNOWN\n"
    "  -v         one line more for each listener that is not OK; twice: for each listener\n"
    "  -V, -h     version, help\n"
    "A RANGE is 90 (0 to 90), 10: (10 or more), ~:90 (90 or less), 10:90; @ in front: inside.\n";

/// A threshold range of the Monitoring Plugins guidelines.
struct Range {
  double first = 0;
  double last = std::numeric_limits<double>::infinity();
  bool inside = false;
  std::string text;

  bool alerts(double value) const { return (value >= first && value <= last) == inside; }
};

std::optional<double> parse_number(std::string_view text) {
  double number = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || rest != text.data() + text.size() || !std::isfinite(number))
    return std::nullopt;
  return number;
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
  else if (const auto number = first.empty() ? std::optional(0.0) : parse_number(first))
    range.first = *number;
  else
    return std::nullopt;
  if (last.empty() && colon == std::string_view::npos)
    return std::nullopt;
  if (!last.empty()) {
    const auto number = parse_number(last);
    if (!number)
      return std::nullopt;
    range.last = *number;
  }
  return range.first <= range.last ? std::optional(range) : std::nullopt;
}

struct FreeRegex {
  void operator()(regex_t *regex) const {
    ::regfree(regex);
    delete regex;
  }
};

struct CheckOptions {
  std::string table = default_table_file;
  std::optional<Range> warning;
  std::optional<Range> critical;
  std::unique_ptr<regex_t, FreeRegex> names;
  int verbosity = 0;
  std::optional<CheckResult> at_once; ///< nothing to check
};

CheckResult bad_option(const std::string &text) {
  return {unknown, "BACKLOG UNKNOWN - " + text + "; see check_backlog -h\n"};
}

std::optional<CheckResult> take_option(char option, const std::string &value,
                                       CheckOptions &options) {
  switch (option) {
  case 'w':
  case 'c': {
    const std::optional<Range> range = parse_range(value);
    if (!range)
      return bad_option(std::string("option -") + option + ": " + value + " is no range");
    (option == 'w' ? options.warning : options.critical) = range;
    return std::nullopt;
  }
  case 'n':
    options.names.reset(new regex_t);
    if (::regcomp(options.names.get(), value.c_str(), REG_EXTENDED | REG_NOSUB) != 0) {
      delete options.names.release();
      return bad_option("option -n: " + value + " is no regular expression");
    }
    return std::nullopt;
  case 'f':
    options.table = value;
    return std::nullopt;
  case 't': {
    const std::optional<double> seconds = parse_number(value);
    if (!seconds || *seconds < 1 || *seconds > 3600)
      return bad_option("option -t: " + value + " is no number of seconds from 1 to 3600");
    ::alarm(static_cast<unsigned>(*seconds));
    return std::nullopt;
  }
  default:
    return bad_option(std::string("option -") + option + " is unknown");
  }
}

constexpr std::array<std::pair<std::string_view, char>, 9> long_options{{{"--warning", 'w'},
                                                                         {"--critical", 'c'},
                                                                         {"--name", 'n'},
                                                                         {"--file", 'f'},
                                                                         {"--timeout", 't'},
                                                                         {"--verbose", 'v'},
                                                                         {"--version", 'V'},
                                                                         {"--help", 'h'},
                                                                         {"--table", 'f'}}};

CheckOptions parse(const std::vector<std::string> &arguments) {
  CheckOptions options;
  const auto fail = [&](CheckResult result) { options.at_once = std::move(result); };
  for (auto argument = arguments.begin(); argument != arguments.end() && !options.at_once;
       ++argument) {
    char option = 0;
    std::optional<std::string> value;
    if (argument->starts_with("--")) {
      const std::size_t equals = argument->find('=');
      for (const auto &[name, letter] : long_options)
        if (argument->substr(0, equals) == name)
          option = letter;
      if (equals != std::string::npos)
        value = argument->substr(equals + 1);
    } else if (argument->size() > 1 && argument->front() == '-') {
      option = (*argument)[1];
      if (argument->size() > 2)
        value = argument->substr(2);
    }
    if (option == 'v' && (!value || value->find_first_not_of('v') == std::string::npos)) {
      options.verbosity += 1 + static_cast<int>(value ? value->size() : 0);
    } else if (option == 'V' && !value) {
      fail({unknown, "check_backlog " BACKLOG_VERSION "\n"});
    } else if (option == 'h' && !value) {
      fail({unknown, std::string(usage)});
    } else if (option == 0 || std::string_view("wcnft").find(option) == std::string_view::npos) {
      fail(bad_option("option " + *argument + " is unknown"));
    } else if (!value && ++argument == arguments.end()) {
      fail(bad_option(std::string("option -") + option + " needs a value"));
      break;
    } else if (auto result = take_option(option, value ? *value : *argument, options)) {
      fail(std::move(*result));
    }
  }
  return options;
}

Status status_of(const Listener &listener, const CheckOptions &options) {
  const bool has_queue = (listener.has & layout::has_queue) != 0;
  if (listener.state == State::stalled) // which no use of a queue expresses
    return critical;
  if (!has_queue || (!options.warning && !options.critical)) {
    if (listener.state == State::ok)
      return ok;
    return listener.state == State::high ? warning : critical;
  }
  if (options.critical && options.critical->alerts(listener.used_percent))
    return critical;
  return options.warning && options.warning->alerts(listener.used_percent) ? warning : ok;
}

/// Without an exponent, which perfdata may not have.
std::string number(double value) {
  std::array<char, 32> buffer{};
  (void)std::snprintf(buffer.data(), buffer.size(), "%.2f", value);
  std::string text(buffer.data());
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.')
    text.pop_back();
  return text;
}

std::string line_of(const Listener &listener) {
  if (has_to_say(listener))
    return std::string(layout::text_of(listener.message));
  const std::string text = std::string(layout::text_of(listener.name)) + " " +
                           std::string(layout::name_of(listener.state)) + ", ";
  if ((listener.has & layout::has_queue) == 0)
    return text + "not listening";
  return text + number(listener.used_percent) + "% used, peak " + std::to_string(listener.peak) +
         " of " + std::to_string(layout::capacity(listener));
}

/// Where the text is shown '|' would begin perfdata.
std::string without_bars(std::string text) {
  for (char &c : text)
    if (c == '|')
      c = '/';
  return text;
}

std::string perfdata(const std::vector<const Listener *> &listeners, const CheckOptions &options) {
  std::string text;
  std::size_t shown = 0;
  for (const Listener *listener : listeners) {
    if ((listener->has & layout::has_queue) == 0)
      continue;
    if (shown++ == most_perfdata)
      break;
    text += (text.empty() ? "" : " ") + std::string(layout::text_of(listener->name)) + "=" +
            number(listener->used_percent) + "%;" + (options.warning ? options.warning->text : "") +
            ";" + (options.critical ? options.critical->text : "") + ";0;100";
  }
  return text;
}

CheckResult check(const TableContents &contents, const CheckOptions &options) {
  Status worst = ok;
  std::vector<const Listener *> listeners;
  for (const Listener *listener : worst_first(contents)) {
    const std::string name(layout::text_of(listener->name));
    if (options.names && ::regexec(options.names.get(), name.c_str(), 0, nullptr, 0) != 0)
      continue;
    listeners.push_back(listener);
    worst = std::max(worst, status_of(*listener, options));
  }
  if (worst == ok && !is_complete(contents))
    return {unknown, "BACKLOG UNKNOWN - not all listeners could be read: see collectd's log\n"};
  if (options.names && listeners.empty())
    return {unknown, "BACKLOG UNKNOWN - no listener of that name\n"};

  std::string text = "BACKLOG " + std::string(status_words[worst]) + " - ";
  std::string details;
  std::size_t named = 0;
  for (const Status wanted : {critical, warning}) {
    for (const Listener *listener : listeners) {
      if (status_of(*listener, options) != wanted)
        continue;
      if (named++ < most_named)
        text += (named > 1 ? "; " : "") + without_bars(line_of(*listener));
    }
  }
  if (named == 0)
    text += std::to_string(listeners.size()) +
            (listeners.size() == 1 ? " listener" : " listeners") +
            (listeners.empty() ? "" : ", worst " + without_bars(line_of(*listeners.front())));
  else if (named > most_named)
    text += "; and " + std::to_string(named - most_named) + " more";
  if (options.verbosity > 0)
    for (const Listener *listener : listeners)
      if (options.verbosity > 1 || status_of(*listener, options) != ok)
        details += std::string(status_words[status_of(*listener, options)]) + ": " +
                   without_bars(line_of(*listener)) + "\n";
  const std::string data = perfdata(listeners, options);
  return {worst, text + (data.empty() ? "" : " | " + data) + "\n" + details};
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
    return {unknown, "BACKLOG UNKNOWN - " + options.table + ": " + refusal + "\n"};
  if (const std::int64_t now = clock_ns(); is_stale(contents->header, now))
    return {unknown, "BACKLOG UNKNOWN - the table is stale, " +
                         span_text(age_ns(contents->header, now)) + " old: is collectd at work?\n"};
  return check(*contents, options);
}

} // namespace backlog
