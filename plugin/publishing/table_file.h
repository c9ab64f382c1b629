#pragma once

#include "backlog/table_reader.h"
#include "result.h"

#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

namespace backlog {

/// The table file's writer. Its folder is one that open_own_folder() opens, which looks at it each
/// time.
class TableFile {
public:
  /// group: who may read it; empty: the group of the process.
  explicit TableFile(std::string path, std::optional<gid_t> group = std::nullopt);

  /// Puts the contents in order of names, fills in what the layout says of itself, and puts a new
  /// file in the place of the old one. The old one stays where that fails. A record that a reader
  /// would refuse is left out, so that it costs no other: left_out gets a line for each.
  Failure publish(TableContents &contents, std::vector<std::string> *left_out = nullptr);
  /// Why the last file was not given to the group (EPERM): it is the process's own group's.
  const Failure &group_refusal() const { return group_refusal_; }

private:
  Failure write_to(int folder, const TableContents &contents);

  std::string folder_;
  std::string name_;
  std::string temporary_name_;
  std::optional<gid_t> group_;
  Failure group_refusal_;
};

} // namespace backlog
