#include "table_text.h"

#include <algorithm>
#include <array>
#include <cinttypes>
#include <cstdarg>
#include <cstdio>
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
  // NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): it is not seen through va_start()
  (void)std::vsnprintf(text.data(), text.size(), format, arguments);
  va_end(arguments);
  return text.data();
}

bool has(const Listener &listener, std::uint32_t bit) { return (listener.has & bit) != 0; }

std::string count_text(bool known, std::uint64_t count) {
  return known ? std::to_string(count) : "-";
}

/// The length as #, up to the peak as +, and free room as dots.
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

std::string cut(std::string text, std::size_t columns) {
  if (columns > 0 && text.size() > columns)
    text.resize(columns);
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

/// Texts of the table hold printable ASCII only.
std::string json_text(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\')
      result += '\\';
    result += c;
  }
  return result + '"';
}

class JsonObject {
public:
  JsonObject &add(std::string_view key, const std::string &value) {
    text_ += (text_.empty() ? "" : ",") + json_text(key) + ":" + value;
    return *this;
  }
  JsonObject &text(std::string_view key, std::string_view value) {
    return value.empty() ? *this : add(key, json_text(value));
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

std::string listener_json(const Listener &listener, const TableContents &contents) {
  JsonObject object;
  object.text("name", text_of(listener.name))
      .text("state", name_of(listener.state))
      .text("cause", name_of(listener.cause))
      .text("severity", name_of(listener.severity))
      .text("limit_source", name_of(listener.limit_source));
  if (has(listener, layout::has_queue))
    object.number("length", listener.length)
        .number("peak", listener.peak)
        .number("limit", listener.limit)
        .real("used_percent", listener.used_percent)
        .real("mean", listener.mean)
        .real("full_percent", listener.full_percent)
        .number("members", listener.members);
  if (has(listener, layout::has_dropped))
    object.number("dropped", listener.dropped).number("overflows", listener.overflows);
  if (has(listener, layout::has_syn_length))
    object.number("syn_length", listener.syn_length);
  if (has(listener, layout::has_oldest_wait))
    object.real("oldest_wait_seconds", listener.oldest_wait_seconds);
  object.text("namespace", text_of(contents.namespaces[listener.net_namespace].name))
      .text("owner", text_of(listener.owner))
      .text("path", text_of(listener.path));
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

std::size_t lines_of(const Listener &listener) { return has_to_say(listener) ? 2 : 1; }

/// What all is about, and whether it is to be trusted.
std::string heading(const TableContents &contents, std::int64_t now_ns) {
  const std::size_t count = contents.listeners.size();
  return formatted("%zu listener%s, %s ago, over %s%s%s", count, count == 1 ? "" : "s",
                   span_text(age_ns(contents.header, now_ns)).c_str(),
                   span_text(contents.header.measured_ns).c_str(),
                   is_complete(contents) ? "" : "; others could not be read",
                   is_stale(contents.header, now_ns) ? "; STALE" : "");
}

std::string line(const std::string &text, const Screen &screen) {
  return cut(text, screen.columns) + "\n";
}

/// Takes off what does not find room below so many lines of a head, and says how many.
template <class Lines>
std::string leave_out(std::vector<const Listener *> &listeners, const Screen &screen,
                      std::size_t head, Lines lines) {
  if (screen.rows == 0)
    return "";
  const std::size_t others = head + 2; // and what was left out, and the cursor
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

std::string owner_of(const Listener &listener) {
  const std::string_view owner = text_of(listener.owner);
  return owner.empty() ? "-" : std::string(owner);
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

bool has_to_say(const Listener &listener) {
  return !text_of(listener.message).empty() &&
         (listener.state != layout::State::ok || listener.cause != layout::Cause::none ||
          !has(listener, layout::has_queue));
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
  std::string text = line(heading(contents, now_ns), screen) +
                     line(padded("LISTENER", name) + "  STATE     WAITING    PEAK   LIMIT  USED  " +
                              padded("0 % . . . . .  100 %", bar_columns) + "  DROPPED  OWNER",
                          screen);
  for (const Listener *row : listeners) {
    const bool queue = has(*row, layout::has_queue);
    text += line(
        padded(text_of(row->name), name) + "  " + padded(name_of(row->state), 8) +
            formatted("  %7s %7s %7s %5s  %s %8s  ", count_text(queue, row->length).c_str(),
                      count_text(queue, row->peak).c_str(), count_text(queue, row->limit).c_str(),
                      queue ? formatted("%.0f%%", row->used_percent).c_str() : "-",
                      bar(*row).c_str(),
                      count_text(has(*row, layout::has_dropped), row->dropped).c_str()) +
            owner_of(*row),
        screen);
    if (has_to_say(*row))
      text += line("    " + std::string(text_of(row->message)), screen);
  }
  return text + rest;
}

std::string audit_text(const TableContents &contents, std::int64_t now_ns, const Screen &screen) {
  std::string text = line(heading(contents, now_ns), screen);
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
  const std::string rest =
      leave_out(listeners, screen, head, [](const Listener &) { return std::size_t{1}; });
  const std::size_t name = name_columns(listeners);
  text += line(padded("LISTENER", name) + "    LIMIT  SET BY       MEMBERS  OWNER", screen);
  for (const Listener *row : listeners)
    text += line(padded(text_of(row->name), name) + formatted(" %8" PRIu64 "  ", row->limit) +
                     padded(name_of(row->limit_source), 12) + formatted(" %7u  ", row->members) +
                     owner_of(*row),
                 screen);
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
