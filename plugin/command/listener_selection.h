#pragma once

#include "backlog/table_reader.h"
#include "name_filter.h"
#include "written_address.h"

#include <optional>
#include <string>
#include <vector>

namespace backlog {

/// Which listeners of a table somebody asks for, as people write them: a name, a /regex/ over
/// names, a WrittenAddress, a Unix path, or @name; in any net namespace. Without any, all.
class ListenerSelection {
public:
  /// The error says which argument, and what is allowed.
  std::optional<std::string> add(const std::string &argument);
  bool empty() const { return empty_; }
  bool selects(const layout::Listener &listener) const;
  void keep_selected(TableContents &contents) const;

private:
  bool empty_ = true;
  NameFilter names_;
  std::vector<std::string> paths_; ///< as the table has them
  std::vector<WrittenAddress> addresses_;
};

} // namespace backlog
