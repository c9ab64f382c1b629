#include "name_filter.h"

#include <algorithm>
#include <array>

namespace backlog {

void NameFilter::FreeRegex::operator()(regex_t *regex) const {
  regfree(regex);
  delete regex;
}

std::optional<std::string> NameFilter::add(const std::string &entry) {
  if (!is_regex(entry)) {
    exact_.push_back(entry);
    return std::nullopt;
  }
  return add_regex(entry.substr(1, entry.size() - 2));
}

std::optional<std::string> NameFilter::add_regex(const std::string &pattern) {
  auto compiled = std::make_unique<regex_t>();
  const int failure = regcomp(compiled.get(), pattern.c_str(), REG_EXTENDED | REG_NOSUB);
  if (failure != 0) {
    std::array<char, 128> reason{};
    regerror(failure, compiled.get(), reason.data(), reason.size());
    return reason.data();
  }
  regexes_.emplace_back(compiled.release());
  return std::nullopt;
}

bool NameFilter::is_regex(std::string_view entry) {
  return entry.size() > 2 && entry.front() == '/' && entry.back() == '/';
}

bool NameFilter::selects(std::string_view name) const {
  const std::string text(name);
  return empty() ||
         std::any_of(exact_.begin(), exact_.end(),
                     [&](const std::string &entry) { return entry == text; }) ||
         std::any_of(regexes_.begin(), regexes_.end(), [&](const auto &regex) {
           return regexec(regex.get(), text.c_str(), 0, nullptr, 0) == 0;
         });
}

} // namespace backlog
