#pragma once

#include "backlog/table_reader.h"

#include <cstddef>
#include <string>
#include <vector>

namespace backlog {

/// False: there are listeners that could not be read, and are not in it.
bool is_complete(const TableContents &contents);

/// False: what the message says is in the other figures as well.
bool has_to_say(const layout::Listener &listener);

/// The listeners of a table, the worst first: by severity, state, use and name.
std::vector<const layout::Listener *> worst_first(const TableContents &contents);

/// What is shown is cut to; 0: it is not.
struct Screen {
  std::size_t columns = 0;
  std::size_t rows = 0;
};

/// A table for people.
std::string table_text(const TableContents &contents, std::int64_t now_ns, const Screen &screen);
/// Limits and who set them.
std::string audit_text(const TableContents &contents, std::int64_t now_ns, const Screen &screen);
std::string table_json(const TableContents &contents, std::int64_t now_ns);

/// "12 s", "3 min", "2 h", "5 d"
std::string span_text(std::int64_t ns);

} // namespace backlog
