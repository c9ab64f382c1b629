#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace backlog {

/// Returns the length in bytes of a non-ASCII UTF-8 character at the start of the text that is safe
/// in a line: no control, no change of direction. 0 if there is none.
std::size_t utf8_character(std::string_view text);

/// Makes foreign text safe for one line of a message: replaces every byte with ? that is neither
/// printable ASCII nor part of such a character.
std::string printable(std::string_view raw);

} // namespace backlog
