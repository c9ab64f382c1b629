#pragma once

#include "backlog/table_reader.h"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace backlog {

/// False: there are listeners that could not be read, and are not in it.
bool is_complete(const TableContents &contents);

/// What is to be said of a listener besides its figures: of its alarm where that stands on, else of
/// its interval. "": nothing.
std::string to_say(const layout::Listener &listener);

/// "in the last 5 min: 100% used, peak 9 of 9, 12 overflows"
std::string recent_text(const layout::Listener &listener);

/// Text of the table for people: where utf8 is true with the characters that the escapes stand
/// for, as long as they are printable.
std::string people_text(std::string_view field, bool utf8);
/// Whether the locale (setlocale()) is of UTF-8.
bool locale_is_utf8();

/// Without an exponent, and without zeros at its end.
std::string number_text(double value);

/// The listeners of a table, the worst first: by severity, state, use and name.
std::vector<const layout::Listener *> worst_first(const TableContents &contents);

/// Where a table is shown.
struct Screen {
  std::size_t columns = 0; ///< to which it is cut; 0: it is not
  std::size_t rows = 0;    ///< likewise
  bool utf8 = false;
  bool colours = false;     ///< of the states
  bool ends_by_key = false; ///< it is shown again until somebody ends it
};

/// A table for people.
std::string table_text(const TableContents &contents, std::int64_t now_ns, const Screen &screen);
/// Limits and who set them.
std::string audit_text(const TableContents &contents, std::int64_t now_ns, const Screen &screen);
std::string table_json(const TableContents &contents, std::int64_t now_ns);

/// "12 s", "3 min", "2 h", "5 d"
std::string span_text(std::int64_t ns);

} // namespace backlog
