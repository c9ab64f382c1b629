#include "table_text.h"

#include "utf8.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cinttypes>
#include <cstdarg>
#include <cstdio>
#include <langinfo.h>
#include <optional>
#include <string_view>
#include <tuple>

namespace backlog {

namespace {

using layout::Listener;
using layout::text_of;

constexpr std::size_t bar_columns = 20;
constexpr std::size_t longest_name = 48; // on a screen

__attribute__((format(printf, 1, 2))) std::string formatted(const char *format, ...) {
  std::array<char, 1024> text{};
  va_list arguments;
  va_start(arguments, format);
  // NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): it does not see through va_start()
  (void)std::vsnprintf(text.data(), text.size(), format, arguments);
  va_end(arguments);
  return text.data();
}

bool has(const Listener &listener, std::uint32_t bit) { return (listener.has & bit) != 0; }

std::string count_text(bool known, std::uint64_t count) {
  return known ? std::to_string(count) : "-";
}

/// Draws the length as #, the rest up to the peak as +, and free room as dots.
std::string bar(const Listener &listener) {
  if (!has(listener, layout::has_queue))
    return std::string(bar_columns, ' ');
  const auto part = [&](double percent) {
    return static_cast<std::size_t>(
        std::lround(std::clamp(percent, 0.0, 100.0) / 100 * bar_columns));
  };
  const double capacity = static_cast<double>(layout::capacity(listener));
  const std::size_t peak = part(listener.used_percent);
  const std::size_t length =
      std::min(part(100 * static_cast<double>(listener.length) / capacity), peak);
  return std::string(length, '#') + std::string(peak - length, '+') +
         std::string(bar_columns - peak, '.');
}

bool begins_character(char byte) { return (static_cast<unsigned char>(byte) & 0xc0U) != 0x80; }

/// Cuts to columns, counting one per character.
std::string cut(std::string text, std::size_t columns) {
  if (columns == 0)
    return text;
  std::size_t used = 0;
  for (std::size_t i = 0; i < text.size(); ++i)
    if (begins_character(text[i]) && ++used > columns) {
      text.resize(i);
      break;
    }
  return text;
}

std::size_t name_columns(const std::vector<const Listener *> &listeners) {
  std::size_t columns = 8;
  for (const Listener *listener : listeners)
    columns = std::max(columns, text_of(listener->name).size());
  return columns;
}

std::string padded(std::string_view text, std::size_t columns) {
  std::string result(text.substr(0, columns));
  result.resize(columns, ' ');
  return result;
}

class JsonObject {
public:
  JsonObject &add(std::string_view key, const std::string &value) {
    text_ += (text_.empty() ? "" : ",") + quoted_text(key) + ":" + value;
    return *this;
  }
  JsonObject &text(std::string_view key, std::string_view value) {
    return value.empty() ? *this : add(key, quoted_text(value));
  }
  JsonObject &number(std::string_view key, std::uint64_t value) {
    return add(key, std::to_string(value));
  }
  JsonObject &signed_number(std::string_view key, std::int64_t value) {
    return add(key, std::to_string(value));
  }
  JsonObject &real(std::string_view key, double value) {
    return add(key, formatted("%.6g", value));
  }
  std::string str() const { return "{" + text_ + "}"; }

private:
  std::string text_;
};

void add_later_figures(const Listener &listener, JsonObject &object) {
  const auto number = [&](std::string_view key, std::uint32_t bit, std::uint64_t value) {
    if (has(listener, bit))
      object.number(key, value);
  };
  const auto real = [&](std::string_view key, std::uint32_t bit, double value) {
    if (has(listener, bit))
      object.real(key, value);
  };
  number("arrivals", layout::has_arrivals, listener.arrivals);
  number("accepts", layout::has_accepts, listener.accepts);
  number("peak_bound", layout::has_peak_bound, listener.peak_bound);
  number("day_peak", layout::has_day_peak, listener.day_peak);
  number("enough", layout::has_enough, listener.enough);
  real("wait_mean_seconds", layout::has_wait_mean, listener.wait_mean_seconds);
  real("wait_p50_seconds", layout::has_wait_quantiles, listener.wait_p50_seconds);
  real("wait_p99_seconds", layout::has_wait_quantiles, listener.wait_p99_seconds);
  number("recent_peak", layout::has_recent, listener.recent_peak);
  number("recent_peak_capacity", layout::has_recent, listener.recent_peak_capacity);
  real("recent_used_percent", layout::has_recent, listener.recent_used_percent);
  number("recent_dropped", layout::has_recent_dropped, listener.recent_dropped);
  number("recent_overflows", layout::has_recent_dropped, listener.recent_overflows);
  if (has(listener, layout::has_recent))
    object.text("recent_state", name_of(listener.recent_state))
        .text("recent_severity", name_of(listener.recent_severity));
}

/// The objects of a listener's clients; see layout::Listener::clients.
std::string clients_json(std::string_view text, std::uint64_t &counted) {
  constexpr std::string_view separator = ", ";
  constexpr std::string_view from = " from ";
  std::string list;
  while (!text.empty()) {
    const std::string_view entry = text.substr(0, text.find(separator));
    text.remove_prefix(std::min(text.size(), entry.size() + separator.size()));
    JsonObject object;
    const std::size_t before = std::min(entry.find(from), entry.size());
    const std::size_t begin = std::min(before + from.size(), entry.size());
    std::string_view client = before == entry.size() ? entry : entry.substr(begin);
    const std::size_t owner = client.find(" (");
    const bool has_owner = owner != std::string_view::npos && client.ends_with(')') &&
                           client.find_first_not_of("0123456789abcdef.:") == owner;
    if (has_owner)
      object.text("client", client.substr(0, owner))
          .text("owner", client.substr(owner + 2, client.size() - owner - 3));
    else
      object.text("client", client);
    std::uint64_t count = 0;
    const char *end = entry.data() + before;
    const auto [after, error] = std::from_chars(entry.data(), end, count);
    if (before < entry.size() && error == std::errc())
      object.number("count", count);
    constexpr std::string_view of = " of ";
    const std::string_view rest(after, static_cast<std::size_t>(end - after));
    if (rest.starts_with(of))
      (void)std::from_chars(after + of.size(), end, counted);
    list += (list.empty() ? "" : ",") + object.str();
  }
  return "[" + list + "]";
}

std::string listener_json(const Listener &listener, const TableContents &contents) {
  JsonObject object;
  object.text("name", text_of(listener.name))
      .text("address_name", text_of(listener.address_name))
      .text("state", name_of(listener.state))
      .text("cause", name_of(listener.cause))
      .text("severity", name_of(listener.severity))
      .text("alarm_state", name_of(listener.alarm_state))
      .text("alarm_cause", name_of(listener.alarm_cause))
      .add("stable", has(listener, layout::is_stable) ? "true" : "false")
      .add("expected", has(listener, layout::is_expected) ? "true" : "false")
      .text("limit_source", name_of(listener.limit_source));
  if (has(listener, layout::has_queue))
    object.number("length", listener.length)
        .number("peak", listener.peak)
        .number("peak_capacity", listener.peak_capacity)
        .number("limit", listener.limit)
        .number("capacity", layout::capacity(listener))
        .real("used_percent", listener.used_percent)
        .real("mean", listener.mean)
        .real("full_percent", listener.full_percent)
        .number("members", listener.members);
  if (has(listener, layout::has_dropped))
    object.number("dropped", listener.dropped).number("overflows", listener.overflows);
  if (has(listener, layout::has_overflow_kinds))
    object.number("syn_overflows", listener.syn_overflows)
        .number("ack_overflows", listener.ack_overflows);
  if (has(listener, layout::has_syn_length))
    object.number("syn_length", listener.syn_length);
  if (has(listener, layout::has_oldest_wait))
    object.real("oldest_wait_seconds", listener.oldest_wait_seconds);
  add_later_figures(listener, object);
  object.text("namespace", text_of(contents.namespaces[listener.net_namespace].name))
      .text("owner", text_of(listener.owner))
      .text("path", text_of(listener.path));
  if (const std::string_view clients = text_of(listener.clients); !clients.empty()) {
    std::uint64_t counted = 0;
    object.add("clients", clients_json(clients, counted));
    if (counted > 0)
      object.number("clients_counted", counted);
  }
  object.text("waits_for", waited_for(contents, listener));
  if (listener.port != 0)
    object.number("port", listener.port);
  return object.text("message", text_of(listener.message)).str();
}

std::string namespace_json(const layout::Namespace &record) {
  JsonObject object;
  object.text("name", text_of(record.name));
  const auto sysctl = [&](std::string_view key, std::uint32_t bit, std::int64_t value) {
    if ((record.has & bit) != 0)
      object.signed_number(key, value);
  };
  sysctl("somaxconn", layout::has_somaxconn, record.somaxconn);
  sysctl("tcp_max_syn_backlog", layout::has_tcp_max_syn_backlog, record.tcp_max_syn_backlog);
  sysctl("tcp_syncookies", layout::has_tcp_syncookies, record.tcp_syncookies);
  sysctl("tcp_abort_on_overflow", layout::has_tcp_abort_on_overflow, record.tcp_abort_on_overflow);
  if ((record.has & layout::has_unattributed) != 0)
    object.number("dropped_unattributed", record.unattributed);
  if ((record.has & layout::has_syn_total) != 0)
    object.number("syn_length", record.syn_total);
  for (std::size_t i = 0; i < layout::counter_names.size(); ++i)
    if ((record.has_counter & (1U << i)) != 0)
      object.number(layout::counter_names[i], record.counters[i]);
  return object.str();
}

template <class Items, class Text> std::string json_list(const Items &items, Text text) {
  std::string list;
  for (const auto &item : items)
    list += (list.empty() ? "\n    " : ",\n    ") + text(item);
  return "[" + list + "]";
}

/// Which segments were dropped; "" if there were none, or if it is not known.
std::string drops_text(const Listener &listener) {
  if (!has(listener, layout::has_overflow_kinds) || listener.dropped == 0)
    return "";
  const auto counted = [](std::uint64_t count, const char *one, const char *many) {
    return std::to_string(count) + " " + (count == 1 ? one : many);
  };
  std::string text = "dropped: " + counted(listener.syn_overflows, "SYN", "SYNs") + " and " +
                     counted(listener.ack_overflows, "final ACK", "final ACKs") +
                     " at a full queue";
  const std::uint64_t known = listener.syn_overflows + listener.ack_overflows;
  if (listener.overflows > known)
    text += ", " + std::to_string(listener.overflows - known) + " more before events";
  if (listener.dropped > listener.overflows)
    text += ", " + std::to_string(listener.dropped - listener.overflows) + " otherwise";
  return text;
}

/// How long those had waited who were accepted; "" if it is not known.
std::string waits_text(const Listener &listener) {
  std::string text;
  if (has(listener, layout::has_wait_quantiles))
    text = "half up to " + formatted("%.3g", listener.wait_p50_seconds) + " s, 99 % up to " +
           formatted("%.3g", listener.wait_p99_seconds) + " s";
  if (has(listener, layout::has_wait_mean))
    text += (text.empty() ? "" : ", ") + formatted("%.3g", listener.wait_mean_seconds) +
            " s on average";
  return text.empty() ? "" : "accepted after: " + text;
}

/// The lines below a listener.
std::vector<std::string> remarks(const Listener &listener, bool utf8) {
  std::vector<std::string> lines;
  if (const std::string text = to_say(listener); !text.empty()) {
    lines.push_back("    " + people_text(text, utf8));
    if (const std::string dropped = drops_text(listener); !dropped.empty())
      lines.push_back("    " + dropped);
    if (const std::string waited = waits_text(listener); !waited.empty())
      lines.push_back("    " + waited);
    if (!text_of(listener.clients).empty())
      lines.push_back("    waiting: " + people_text(text_of(listener.clients), utf8));
  }
  return lines;
}

std::size_t lines_of(const Listener &listener) { return 1 + remarks(listener, false).size(); }

/// Short intervals are not whole seconds.
std::string measured_text(std::int64_t ns) {
  constexpr std::int64_t short_ns = 10'000'000'000;
  return ns < short_ns ? number_text(static_cast<double>(ns) / 1e9) + " s" : span_text(ns);
}

/// The first lines: the age of the table, and whether it can be trusted.
std::string heading(const TableContents &contents, std::int64_t now_ns, const Screen &screen) {
  const std::size_t count = contents.listeners.size();
  return formatted("%zu listener%s, %s ago, over %s%s%s%s", count, count == 1 ? "" : "s",
                   span_text(age_ns(contents.header, now_ns)).c_str(),
                   measured_text(contents.header.measured_ns).c_str(),
                   is_complete(contents) ? "" : "; others could not be read",
                   is_stale(contents.header, now_ns) ? "; STALE" : "",
                   screen.ends_by_key ? "; Ctrl-C ends" : "");
}

std::string line(const std::string &text, const Screen &screen) {
  return cut(text, screen.columns) + "\n";
}

/// Drops the listeners that do not fit below the head, and says how many.
template <class Lines>
std::string leave_out(std::vector<const Listener *> &listeners, const Screen &screen,
                      std::size_t head, Lines lines) {
  if (screen.rows == 0)
    return "";
  const std::size_t others = head + 2; // the line that says so, and the cursor
  std::size_t used = 0;
  const auto first_without_room =
      std::find_if(listeners.begin(), listeners.end(), [&](const Listener *listener) {
        used += lines(*listener);
        return used + others > screen.rows;
      });
  const auto left_out = listeners.end() - first_without_room;
  listeners.erase(first_without_room, listeners.end());
  return left_out == 0 ? "" : formatted("... and %td more\n", left_out);
}

std::string owner_of(const Listener &listener, const Screen &screen) {
  const std::string_view owner = text_of(listener.owner);
  return owner.empty() ? "-" : people_text(owner, screen.utf8);
}

/// Whether the plugin looked so seldom that it matters what may have been between two looks.
bool looks_seldom(const layout::Header &header) {
  constexpr double seldom_seconds = 0.1;
  return (header.has & layout::has_period) != 0 && header.period_seconds >= seldom_seconds;
}

std::string peak_text(const Listener &listener, bool seldom) {
  std::string text = count_text(has(listener, layout::has_queue), listener.peak);
  if (seldom && has(listener, layout::has_peak_bound) && listener.peak_bound > listener.peak)
    text += ", at most " + std::to_string(listener.peak_bound);
  return text;
}

constexpr std::size_t state_columns = 8;

/// The figures of a listener, in the order of the columns.
std::array<std::string, 5> figures_of(const Listener &listener, bool seldom) {
  const bool queue = has(listener, layout::has_queue);
  return {count_text(queue, listener.length), peak_text(listener, seldom),
          count_text(queue, listener.limit),
          queue ? formatted("%.0f%%", listener.used_percent) : "-",
          count_text(has(listener, layout::has_dropped), listener.dropped)};
}

/// At least as wide as the heads of the columns.
std::array<std::size_t, 5> figure_columns(const std::vector<const Listener *> &listeners,
                                          bool seldom) {
  std::array<std::size_t, 5> columns{7, 7, 7, 5, 8};
  for (const Listener *listener : listeners) {
    const auto figures = figures_of(*listener, seldom);
    for (std::size_t i = 0; i < columns.size(); ++i)
      columns.at(i) = std::max(columns.at(i), figures.at(i).size());
  }
  return columns;
}

std::string flush_right(const std::string &text, std::size_t columns) {
  return std::string(columns - std::min(columns, text.size()), ' ') + text;
}

std::string row_text(std::string_view name, std::string_view state,
                     const std::array<std::string, 5> &figures,
                     const std::array<std::size_t, 5> &columns, const std::string &bar,
                     const std::string &owner) {
  std::string text = std::string(name) + "  " + padded(state, state_columns) + " ";
  for (std::size_t i = 0; i < 4; ++i)
    text += " " + flush_right(figures.at(i), columns.at(i));
  return text + "  " + bar + " " + flush_right(figures[4], columns[4]) + "  " + owner;
}

std::string_view colour_of(const Listener &listener) {
  constexpr std::string_view red = "\x1b[31m";
  constexpr std::string_view yellow = "\x1b[33m";
  constexpr std::string_view green = "\x1b[32m";
  using layout::Severity;
  using layout::State;
  if (listener.severity == Severity::failure)
    return red;
  if (listener.severity == Severity::warning || listener.state == State::high)
    return yellow;
  return listener.state == State::ok ? green : red;
}

/// Limit, peak of the last day, limit that would have been enough, members.
using AuditFigures = std::array<std::string, 4>;

AuditFigures audit_figures(const Listener &listener) {
  return {std::to_string(listener.limit),
          count_text(has(listener, layout::has_day_peak), listener.day_peak),
          count_text(has(listener, layout::has_enough), listener.enough),
          std::to_string(listener.members)};
}

std::array<std::size_t, 4> audit_columns(const std::vector<const Listener *> &listeners) {
  std::array<std::size_t, 4> columns{7, 7, 7, 7};
  for (const Listener *listener : listeners) {
    const AuditFigures figures = audit_figures(*listener);
    for (std::size_t i = 0; i < columns.size(); ++i)
      columns.at(i) = std::max(columns.at(i), figures.at(i).size());
  }
  return columns;
}

std::string audit_row(const std::string &name, const AuditFigures &figures,
                      const std::array<std::size_t, 4> &columns, std::string_view set_by,
                      const std::string &owner) {
  constexpr std::size_t set_by_columns = 11; // of "application"
  return name + " " + flush_right(figures[0], columns[0]) + "  " + padded(set_by, set_by_columns) +
         " " + flush_right(figures[1], columns[1]) + " " + flush_right(figures[2], columns[2]) +
         " " + flush_right(figures[3], columns[3]) + "  " + owner;
}

/// Says what to write where to make the limit large enough. Known servers always have this line, so
/// that a limit can be planned before it is too small.
std::string written_where(const Listener &listener, const layout::Namespace &net_namespace,
                          const ServerSettings &servers) {
  // What is written is the limit of each member.
  const std::uint64_t limit = listener.limit / std::max<std::uint64_t>(1, listener.members);
  const bool too_small = has(listener, layout::has_enough) && listener.enough > limit;
  const ServerSetting *server = servers.find(text_of(listener.owner));
  const bool above_somaxconn =
      too_small && (net_namespace.has & layout::has_somaxconn) != 0 &&
      listener.enough > static_cast<std::uint64_t>(net_namespace.somaxconn);
  std::string text;
  if (above_somaxconn)
    text = "sysctl net.core.somaxconn=" + std::to_string(listener.enough) + ", then ";
  if (server == nullptr)
    return too_small ? text + "raise the backlog of its listen() to " +
                           std::to_string(listener.enough) + ", then restart it"
                     : "";
  text +=
      (too_small ? server->place_of(listener.enough) : server->place) + "; then " + server->effect;
  return too_small ? text : text + " (default " + server->initial + ")";
}

/// Colours the state, which begins at `begin`.
std::string coloured(std::string line, std::size_t begin, const Listener &listener) {
  constexpr std::string_view plain = "\x1b[0m";
  const std::size_t end = begin + name_of(listener.state).size();
  if (line.size() < end)
    return line;
  line.insert(end, plain);
  return line.insert(begin, colour_of(listener));
}

} // namespace

std::string span_text(std::int64_t ns) {
  const std::int64_t seconds = (ns + 500'000'000) / 1'000'000'000;
  if (seconds < 120)
    return std::to_string(seconds) + " s";
  if (seconds < 7200)
    return std::to_string(seconds / 60) + " min";
  if (seconds < 172800)
    return std::to_string(seconds / 3600) + " h";
  return std::to_string(seconds / 86400) + " d";
}

bool is_complete(const TableContents &contents) {
  return (contents.header.has & layout::is_complete) != 0;
}

std::string number_text(double value) {
  std::string text = formatted("%.2f", value);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.')
    text.pop_back();
  return text;
}

std::string recent_text(const Listener &listener) {
  std::string text = "in the last " + span_text(layout::recent_ns) + ": " +
                     number_text(listener.recent_used_percent) + "% used, peak " +
                     std::to_string(listener.recent_peak);
  if (has(listener, layout::has_queue))
    text += " of " + std::to_string(listener.recent_peak_capacity);
  if (has(listener, layout::has_recent_dropped) && listener.recent_overflows > 0)
    text += ", " + std::to_string(listener.recent_overflows) +
            (listener.recent_overflows == 1 ? " overflow" : " overflows");
  return text;
}

std::string to_say(const Listener &listener) {
  if (listener.alarm_state > listener.state) {
    const std::string_view owner = text_of(listener.owner);
    std::string text(text_of(listener.name));
    if (!owner.empty())
      text.append(" (").append(owner).append(")");
    text.append(": the alarm stands, ").append(name_of(listener.alarm_state));
    if (listener.alarm_cause != layout::Cause::none)
      text.append(" by ").append(name_of(listener.alarm_cause));
    if (has(listener, layout::has_recent))
      text.append("; ").append(recent_text(listener));
    return text;
  }
  const bool has_message = listener.state != layout::State::ok ||
                           listener.cause != layout::Cause::none ||
                           !has(listener, layout::has_queue);
  return has_message ? std::string(text_of(listener.message)) : "";
}

bool locale_is_utf8() { return std::string_view(::nl_langinfo(CODESET)) == "UTF-8"; }

std::string people_text(std::string_view field, bool utf8) {
  if (!utf8)
    return std::string(field);
  const auto byte_at = [&](std::size_t i) -> std::optional<char> {
    constexpr std::size_t escape_bytes = 4;
    if (i + escape_bytes > field.size() || field[i] != '\\' || field[i + 1] != 'x')
      return std::nullopt;
    const std::string_view digits = field.substr(i + 2, 2);
    const char *end = digits.data() + digits.size();
    unsigned byte = 0;
    if (std::from_chars(digits.data(), end, byte, 16).ptr != end)
      return std::nullopt;
    return static_cast<char>(byte);
  };
  std::string text;
  std::size_t i = 0;
  while (i < field.size()) {
    if (field[i] != '\\') {
      text += field[i++];
      continue;
    }
    std::string bytes; // of the escapes from here on
    while (bytes.size() < 4)
      if (const auto byte = byte_at(i + 4 * bytes.size()))
        bytes += *byte;
      else
        break;
    const std::size_t length = utf8_character(bytes);
    const std::size_t escaped =
        length > 0 ? 4 * length : std::min<std::size_t>(2, field.size() - i);
    text += length > 0 ? bytes.substr(0, length) : std::string(field.substr(i, escaped));
    i += escaped;
  }
  return text;
}

std::string quoted_text(std::string_view text) {
  std::string result = "\"";
  for (const char c : people_text(text, true)) {
    if (c == '"' || c == '\\')
      result += '\\';
    result += c;
  }
  return result + '"';
}

std::vector<const Listener *> worst_first(const TableContents &contents) {
  std::vector<const Listener *> rows;
  for (const Listener &listener : contents.listeners)
    rows.push_back(&listener);
  std::stable_sort(rows.begin(), rows.end(), [](const Listener *a, const Listener *b) {
    return std::tuple(b->severity, b->state, b->used_percent) <
           std::tuple(a->severity, a->state, a->used_percent);
  });
  return rows;
}

std::string table_text(const TableContents &contents, std::int64_t now_ns, const Screen &screen) {
  std::vector<const Listener *> listeners = worst_first(contents);
  const std::string rest = leave_out(listeners, screen, 2, lines_of);
  std::size_t name = name_columns(listeners);
  if (screen.columns > 0)
    name = std::min(name, longest_name);
  const bool seldom = looks_seldom(contents.header);
  const auto columns = figure_columns(listeners, seldom);
  std::string text = line(heading(contents, now_ns, screen), screen) +
                     line(row_text(padded("LISTENER", name), "STATE",
                                   {"WAITING", "PEAK", "LIMIT", "USED", "DROPPED"}, columns,
                                   padded("0 % . . . . .  100 %", bar_columns), "OWNER"),
                          screen);
  for (const Listener *row : listeners) {
    const std::string shown =
        line(row_text(padded(text_of(row->name), name), name_of(row->state),
                      figures_of(*row, seldom), columns, bar(*row), owner_of(*row, screen)),
             screen);
    text += screen.colours ? coloured(shown, name + 2, *row) : shown;
    for (const std::string &remark : remarks(*row, screen.utf8))
      text += line(remark, screen);
  }
  return text + rest;
}

std::string audit_text(const TableContents &contents, std::int64_t now_ns, const Screen &screen,
                       const ServerSettings &servers) {
  std::string text = line(heading(contents, now_ns, screen), screen);
  std::size_t head = 2;
  for (const layout::Namespace &record : contents.namespaces) {
    if ((record.has & layout::has_somaxconn) == 0)
      continue;
    text += line(formatted("net.core.somaxconn %" PRId64 " in ", record.somaxconn) +
                     std::string(text_of(record.name)),
                 screen);
    ++head;
  }
  std::vector<const Listener *> listeners;
  for (const Listener &listener : contents.listeners)
    if (has(listener, layout::has_queue))
      listeners.push_back(&listener);
  const auto what_to_write = [&](const Listener &listener) {
    return written_where(listener, contents.namespaces[listener.net_namespace], servers);
  };
  const std::string rest = leave_out(listeners, screen, head, [&](const Listener &listener) {
    return std::size_t{what_to_write(listener).empty() ? 1U : 2U};
  });
  const std::size_t name = name_columns(listeners);
  const auto columns = audit_columns(listeners);
  text += line(audit_row(padded("LISTENER", name), {"LIMIT", "PEAK", "ENOUGH", "MEMBERS"}, columns,
                         "SET BY", "OWNER"),
               screen);
  for (const Listener *row : listeners) {
    text += line(audit_row(padded(text_of(row->name), name), audit_figures(*row), columns,
                           name_of(row->limit_source), owner_of(*row, screen)),
                 screen);
    if (const std::string where = what_to_write(*row); !where.empty())
      text += line("    " + where, screen);
  }
  return text + rest;
}

std::string table_json(const TableContents &contents, std::int64_t now_ns) {
  const layout::Header &header = contents.header;
  JsonObject object;
  object.add("taken_at", formatted("%.3f", static_cast<double>(header.taken_at_ns) / 1e9))
      .real("age_seconds", static_cast<double>(age_ns(header, now_ns)) / 1e9)
      .add("stale", is_stale(header, now_ns) ? "true" : "false")
      .add("complete", is_complete(contents) ? "true" : "false")
      .real("interval_seconds", static_cast<double>(header.interval_ns) / 1e9)
      .real("measured_seconds", static_cast<double>(header.measured_ns) / 1e9);
  object.text("events", name_of(header.events));
  if ((header.has & layout::has_period) != 0)
    object.real("period_seconds", header.period_seconds);
  if ((header.has & layout::has_cpu) != 0)
    object.real("cpu_percent", header.cpu_percent);
  object.number("recent_seconds", layout::recent_ns / 1'000'000'000);
  if ((header.has & layout::has_host_dropped) != 0)
    object.number("dropped", header.dropped);
  if ((header.has & layout::has_host) != 0)
    object.number("unreported", header.unreported);
  object
      .add("namespaces", json_list(contents.namespaces,
                                   [](const auto &record) { return namespace_json(record); }))
      .add("listeners", json_list(worst_first(contents), [&](const Listener *listener) {
             return listener_json(*listener, contents);
           }));
  return object.str() + "\n";
}

} // namespace backlog
