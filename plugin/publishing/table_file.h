#pragma once

#include "backlog/table_reader.h"
#include "result.h"
#include "unique_fd.h"

#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

namespace backlog {

/// Writes the table file. Its folder must pass open_own_folder(), each time.
class TableFile {
public:
  /// group: may read the file; empty for the group of the process.
  explicit TableFile(std::string path, std::optional<gid_t> group = std::nullopt);

  /// Sorts the contents by name, fills in the layout's own fields, and replaces the file. If that
  /// fails, the old file stays. A record that a reader would refuse is left out, so that the others
  /// can be read; left_out gets a line for each.
  Failure publish(TableContents &contents, std::vector<std::string> *left_out = nullptr);
  /// Why the group could not be set (EPERM); the file then belongs to the process's group.
  const Failure &group_refusal() const { return group_refusal_; }
  /// Whether another process has replaced the last file, as a second collectd with the same
  /// TableFile does: readers then see the two in turn.
  bool has_rival() const { return has_rival_; }

private:
  /// Of a file; it has no other while it is open.
  struct Identity {
    dev_t device = 0;
    ino_t inode = 0;

    bool operator==(const Identity &) const = default;
  };

  static std::optional<Identity> identity_of(int folder, const std::string &name);
  Result<UniqueFd> write_to(int folder, const TableContents &contents);
  Failure replace(int folder, const UniqueFd &file);

  std::string folder_;
  std::string name_;
  std::string temporary_name_;
  std::optional<gid_t> group_;
  Failure group_refusal_;
  std::optional<Identity> written_; ///< the last file
  bool has_rival_ = false;
};

} // namespace backlog
