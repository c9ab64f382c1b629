#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace backlog {

/// Bytes of the character that the text begins with, where it is valid UTF-8, not ASCII and of use
/// in a line: no control, and none that changes the direction of what follows. 0: it is not.
std::size_t utf8_character(std::string_view text);

/// What others have written, fit for one line of any message: ? for each byte that is neither
/// printable ASCII nor part of such a character.
std::string printable(std::string_view raw);

} // namespace backlog
