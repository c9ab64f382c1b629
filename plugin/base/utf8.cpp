#include "utf8.h"

#include <backlog/table.h>

#include <algorithm>
#include <cstdint>

namespace backlog {

namespace {

/// Covers C1 controls, direction marks, line separators, and characters without width.
bool is_control(std::uint32_t code) {
  return code < 0xa0 || (code >= 0x200b && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) ||
         (code >= 0x2060 && code <= 0x206f) || code == 0xfeff;
}

} // namespace

std::size_t utf8_character(std::string_view text) {
  struct Form {
    std::uint8_t mask, lead;
    std::uint32_t first; ///< smaller code points must use a shorter form
  };
  constexpr Form forms[] = {{0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
  std::size_t bytes = 2;
  for (const Form &form : forms) {
    if (text.size() < bytes)
      return 0;
    const auto lead = static_cast<std::uint8_t>(text.front());
    if ((lead & form.mask) == form.lead) {
      std::uint32_t code = lead & static_cast<std::uint8_t>(~form.mask);
      for (std::size_t i = 1; i < bytes; ++i) {
        const auto byte = static_cast<std::uint8_t>(text[i]);
        if ((byte & 0xc0U) != 0x80)
          return 0;
        code = code << 6U | (byte & 0x3fU);
      }
      const bool is_surrogate = code >= 0xd800 && code <= 0xdfff;
      return code < form.first || code > 0x10ffff || is_surrogate || is_control(code) ? 0 : bytes;
    }
    ++bytes;
  }
  return 0;
}

std::string printable(std::string_view raw) {
  std::string text;
  while (!raw.empty()) {
    const std::size_t bytes = utf8_character(raw);
    text += bytes > 0 ? raw.substr(0, bytes) : layout::ByteAsText(raw.front()).view();
    raw.remove_prefix(std::max<std::size_t>(bytes, 1));
  }
  return text;
}

std::size_t last_whole_character(std::string_view printable_text, std::size_t max_bytes) {
  constexpr std::string_view hex_escape = "\\x";
  std::size_t cut = 0;
  while (cut < printable_text.size()) {
    const std::string_view rest = printable_text.substr(cut);
    std::size_t bytes = std::max<std::size_t>(utf8_character(rest), 1);
    if (rest.front() == '\\')
      bytes = layout::ByteAsText(rest.starts_with(hex_escape) ? '\0' : '\\').view().size();
    if (cut + bytes > max_bytes)
      break;
    cut += bytes;
  }
  return std::min(cut, printable_text.size());
}

} // namespace backlog
