#pragma once

#include "backlog/table_reader.h"
#include "server_settings.h"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace backlog {

/// Whether the table has all listeners; false if some could not be read.
bool is_complete(const TableContents &contents);

/// The message for a listener besides its figures: of its alarm while that is active, else of its
/// interval. "" if there is none.
std::string to_say(const layout::Listener &listener);

/// "in the last 5 min: 100% used, peak 9 of 9, 12 overflows"
std::string recent_text(const layout::Listener &listener);

/// Text of the table for people: with utf8, printable characters replace the escapes.
std::string people_text(std::string_view field, bool utf8);
/// The text in quotes for JSON and for labels of metrics; invalid UTF-8 stays escaped.
std::string quoted_text(std::string_view text);
/// Whether the locale (setlocale()) uses UTF-8.
bool locale_is_utf8();

/// Writes without an exponent and without trailing zeros.
std::string number_text(double value);

/// The listeners of a table, the worst first: by severity, state, use and name.
std::vector<const layout::Listener *> worst_first(const TableContents &contents);

/// The screen that the table is shown on.
struct Screen {
  std::size_t columns = 0; ///< 0 for no limit
  std::size_t rows = 0;    ///< 0 for no limit
  bool utf8 = false;
  bool colours = false;     ///< of the states
  bool ends_by_key = false; ///< the table is shown repeatedly until somebody ends it
};

/// The table for people.
std::string table_text(const TableContents &contents, std::int64_t now_ns, const Screen &screen);
/// The audit: limits and what set them, the peak of the last day, the limit that would have been
/// enough, and what to write where.
std::string audit_text(const TableContents &contents, std::int64_t now_ns, const Screen &screen,
                       const ServerSettings &servers);
std::string table_json(const TableContents &contents, std::int64_t now_ns);

/// "12 s", "3 min", "2 h", "5 d"
std::string span_text(std::int64_t ns);

} // namespace backlog
