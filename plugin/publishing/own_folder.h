#pragma once

#include "result.h"
#include "unique_fd.h"

#include <string>

namespace backlog {

/// Opens (O_PATH) the folder at the path if it belongs to this process's user, nobody else may
/// write there, and nobody else may exchange a part of the path: each folder on the way belongs to
/// this user or to the owner of "/", and others may write there only where the sticky bit keeps
/// them from what is not theirs. Links on the way are followed where one of these two made them;
/// the folder itself is none.
Result<UniqueFd> open_own_folder(const std::string &path);

} // namespace backlog
