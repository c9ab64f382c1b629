#pragma once

#include "backlog/table_reader.h"
#include "name_filter.h"
#include "written_address.h"

#include <optional>
#include <string>
#include <vector>

namespace backlog {

/// Whether the filter selects the listener by its name, or by that of its address, which a <Watch>
/// block can hide.
bool selects_by_name(const NameFilter &names, const layout::Listener &listener);

/// Selects listeners of a table as people write them: a name, a /regex/ over names, a TCP address,
/// a Unix path, or @name, in any net namespace. Without arguments it selects all.
class ListenerSelection {
public:
  /// The error says which argument is wrong and what is allowed.
  std::optional<std::string> add(const std::string &argument);
  bool empty() const { return empty_; }
  bool selects(const layout::Listener &listener) const;
  /// Moves those that another one waits for to TableContents::not_shown.
  void keep_selected(TableContents &contents) const;

private:
  bool empty_ = true;
  NameFilter names_;
  std::vector<std::string> paths_; ///< in the form that the table has
  std::vector<WrittenAddress> addresses_;
};

} // namespace backlog
