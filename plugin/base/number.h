#pragma once

#include <charconv>
#include <optional>
#include <string_view>
#include <system_error>

namespace backlog {

/// The number that the whole text is, without sign + or white space; nullopt: it is none, or Number
/// cannot hold it.
template <class Number> std::optional<Number> parse_number(std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size())
    return std::nullopt;
  return number;
}

} // namespace backlog
