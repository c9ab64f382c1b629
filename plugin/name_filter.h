#pragma once

#include "result.h"

#include <memory>
#include <regex.h>
#include <string>
#include <string_view>
#include <vector>

namespace backlog {

/// collectd's ignorelist (collectd.conf(5), IGNORELISTS): entries are whole names, case counts,
/// or /regexes/ (POSIX extended, unanchored). The daemon does not export its own.
class NameFilter {
public:
  /// The error's text says what is wrong with a regex.
  std::optional<std::string> add(const std::string &entry);
  void ignore_selected(bool ignore) { ignore_selected_ = ignore; }

  bool has_regex() const { return !regexes_.empty(); }
  bool empty() const { return exact_.empty() && regexes_.empty(); }

  /// Whether the name is to be reported.
  bool selects(std::string_view name) const;
  /// Whether an entry asks for just this name.
  bool names(std::string_view name) const { return !ignore_selected_ && matches(name); }

private:
  struct FreeRegex {
    void operator()(regex_t *regex) const;
  };

  bool matches(std::string_view name) const;

  std::vector<std::string> exact_;
  std::vector<std::unique_ptr<regex_t, FreeRegex>> regexes_;
  bool ignore_selected_ = false;
};

} // namespace backlog
