#include "temporary_path.h"

#include <algorithm>
#include <array>
#include <cstddef>

namespace backlog {

namespace {

// __gen_tempname() in glibc inserts at least 6 of 62 characters; other programs up to 16.
constexpr std::size_t min_random_bytes = 6;
constexpr std::size_t max_random_bytes = 16;
// Python's tempfile.mkdtemp() appends 8 of [a-z0-9_] to "tmp".
constexpr std::string_view python_prefix = "tmp";
constexpr std::size_t python_bytes = 8;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
bool is_alphanumeric(char c) { return is_digit(c) || is_lower(c) || is_upper(c); }

bool is_number(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_digit);
}

/// Counts the pieces a reader would see: words ("server", "Server", "TLS") and numbers.
std::size_t count_segments(std::string_view text) {
  std::size_t segments = 0;
  for (std::size_t i = 0; i < text.size(); ++segments) {
    const auto while_all = [&](bool (*belongs)(char)) {
      while (i < text.size() && belongs(text[i]))
        ++i;
    };
    if (is_digit(text[i])) {
      while_all(is_digit);
      continue;
    }
    const bool is_capital = is_upper(text[i]) && i + 1 < text.size() && is_lower(text[i + 1]);
    if (is_capital || is_lower(text[i])) {
      ++i;
      while_all(is_lower);
    } else {
      while_all(is_upper);
    }
  }
  return segments;
}

/// Whether it is a word, or words in CamelCase, with an optional number at the end.
bool is_plain(std::string_view text) {
  while (!text.empty() && is_digit(text.back()))
    text.remove_suffix(1);
  if (std::any_of(text.begin(), text.end(), is_digit))
    return false;
  const bool has_lower = std::any_of(text.begin(), text.end(), is_lower);
  const bool has_upper = std::any_of(text.begin(), text.end(), is_upper);
  return !has_lower || !has_upper || count_segments(text) * 4 <= text.size();
}

/// in_shared_folder: the folder is one where programs make folders per start, not one where an
/// administrator chooses names.
bool looks_random(std::string_view text, bool in_shared_folder) {
  if (text.size() < min_random_bytes || text.size() > max_random_bytes || is_plain(text))
    return false;
  const bool has_upper = std::any_of(text.begin(), text.end(), is_upper);
  const std::size_t segments = count_segments(text);
  return in_shared_folder || (has_upper ? segments * 2 >= text.size() : segments * 2 > text.size());
}

bool is_of_python(std::string_view part) {
  if (!part.starts_with(python_prefix))
    return false;
  part.remove_prefix(python_prefix.size());
  const auto may_be = [](char c) { return is_digit(c) || is_lower(c) || c == '_'; };
  const auto is_no_letter = [](char c) { return !is_lower(c); };
  return part.size() == python_bytes && std::all_of(part.begin(), part.end(), may_be) &&
         std::any_of(part.begin(), part.end(), is_no_letter);
}

/// Matches "agent.PID", and "NAME.PID.tmp", which servers rename.
bool ends_with_pid(std::string_view part) {
  constexpr std::string_view agent = "agent.";
  if (part.starts_with(agent) && is_number(part.substr(agent.size())))
    return true;
  for (const std::string_view suffix : {".tmp", ".bak"})
    if (part.ends_with(suffix)) {
      const std::string_view rest = part.substr(0, part.size() - suffix.size());
      const std::size_t dot = rest.rfind('.');
      return dot != std::string_view::npos && is_number(rest.substr(dot + 1));
    }
  return false;
}

bool is_temporary(std::string_view part, bool in_shared_folder) {
  std::size_t begin = part.size();
  while (begin > 0 && is_alphanumeric(part[begin - 1]))
    --begin;
  return ends_with_pid(part) || is_of_python(part) ||
         looks_random(part.substr(begin), in_shared_folder);
}

} // namespace

bool is_temporary_path(std::string_view path) {
  static constexpr std::array<std::string_view, 3> shared_folders{"/tmp/", "/var/tmp/",
                                                                  "/dev/shm/"};
  const bool in_shared_folder =
      std::any_of(shared_folders.begin(), shared_folders.end(),
                  [&](std::string_view folder) { return path.starts_with(folder); });
  while (!path.empty()) {
    const std::string_view part = path.substr(0, path.find('/'));
    if (is_temporary(part, in_shared_folder))
      return true;
    path.remove_prefix(std::min(path.size(), part.size() + 1));
  }
  return false;
}

} // namespace backlog
