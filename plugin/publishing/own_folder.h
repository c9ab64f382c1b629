#pragma once

#include "result.h"
#include "unique_fd.h"

#include <string>

namespace backlog {

/// Opens (O_PATH) a folder that belongs to this process's user and that nobody else can write to or
/// exchange. For that, each folder on the way belongs to this user or to the owner of "/", and
/// others may write there only with the sticky bit set. Links on the way must belong to one of
/// these two users; the folder itself must not be a link.
Result<UniqueFd> open_own_folder(const std::string &path);

} // namespace backlog
