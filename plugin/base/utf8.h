#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace backlog {

/// Returns the length in bytes of a non-ASCII UTF-8 character at the start of the text that is safe
/// in a line: no control, no change of direction. 0 if there is none.
std::size_t utf8_character(std::string_view text);

/// Makes foreign text safe for one line of a message, by the escapes of the table (include/backlog/
/// table.h, Text): a backslash becomes \\, and every byte \xHH that is neither printable ASCII nor
/// part of such a character.
std::string printable(std::string_view raw);

/// Returns where to cut a printable text so that its first part has at most max_bytes and no
/// character or escape is cut in two.
std::size_t last_whole_character(std::string_view printable_text, std::size_t max_bytes);

} // namespace backlog
