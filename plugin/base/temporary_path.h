#pragma once

#include <string_view>

namespace backlog {

/// Whether a part of a Unix socket's path looks as if it was made for one start of a program:
/// random letters of mkdtemp() and the like, "agent.PID", "NAME.PID.tmp".
bool is_temporary_path(std::string_view path);

} // namespace backlog
