#pragma once

#include <string_view>

namespace backlog {

/// Whether a part of the path of a Unix socket has the shape of a name that is made for one start
/// of a program only: what mkdtemp() and the like put in for XXXXXX, "agent.PID", "NAME.PID.tmp".
bool is_temporary_path(std::string_view path);

} // namespace backlog
