#pragma once

#include "result.h"

#include <memory>
#include <regex.h>
#include <string>
#include <string_view>
#include <vector>

namespace backlog {

/// A filter with the semantics of collectd's ignorelist (collectd.conf(5), IGNORELISTS): whole
/// names, case-sensitive, or /regexes/ (POSIX extended, not anchored). The daemon does not export
/// its own.
class NameFilter {
public:
  /// Returns what is wrong with a regex.
  std::optional<std::string> add(const std::string &entry);
  std::optional<std::string> add_regex(const std::string &pattern);
  static bool is_regex(std::string_view entry);

  bool has_regex() const { return !regexes_.empty(); }
  bool empty() const { return exact_.empty() && regexes_.empty(); }

  /// Whether an entry matches the name, or there are no entries.
  bool selects(std::string_view name) const;

private:
  struct FreeRegex {
    void operator()(regex_t *regex) const;
  };

  std::vector<std::string> exact_;
  std::vector<std::unique_ptr<regex_t, FreeRegex>> regexes_;
};

} // namespace backlog
