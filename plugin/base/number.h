#pragma once

#include <charconv>
#include <optional>
#include <string_view>
#include <system_error>

namespace backlog {

/// Parses the whole text as a number, without a + sign or white space; nullopt if that fails or
/// Number cannot hold it.
template <class Number> std::optional<Number> parse_number(std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size())
    return std::nullopt;
  return number;
}

} // namespace backlog
