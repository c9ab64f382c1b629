#pragma once

#include <string>

namespace backlog {

/// Why the table file cannot be read, and what to do.
std::string why_unreadable(const std::string &path, const std::string &refusal);

} // namespace backlog
