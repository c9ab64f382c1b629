// Names of every kind against a view whose instances are known: get and next are those of a map.

#include "../unit/table_bytes.h"
#include "mib_view.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>

using namespace backlog;

namespace {

struct Known {
  Known() {
    TableContents contents =
        make_contents({"a", "b", "tcp_any_80", "unix_run_7kv-jj", "unix_run_y-l35jrjf1"});
    contents.listeners[1].has = 0;
    contents.listeners[2].has = layout::listener_values;
    const std::string bytes = table_bytes(contents);
    snapshot = Snapshot::read(reader_of(bytes, 4096, bytes.size())).first;
    const MibView view = this->view();
    for (std::uint32_t n = 0; n < 0xe0; ++n)
      add(view, {1, 1, n, 0});
    for (std::uint32_t column = 0; column < 0xe0; ++column) {
      for (const auto &[index, position] : snapshot->listener_order())
        add(view, {1, 2, 1, column, index});
      for (const auto &[index, position] : snapshot->namespace_order())
        add(view, {1, 3, 1, column, index});
    }
  }
  MibView view() const { return {snapshot, {.status = TableStatus::current}}; }
  void add(const MibView &view, const Oid &name) {
    if (auto value = view.get(name))
      values.emplace(name, *value);
  }

  std::shared_ptr<const Snapshot> snapshot;
  std::map<Oid, MibValue> values;
};

/// One sub-identifier a byte; from 0xe0 on the byte names an instance, or a number about it.
Oid name_of(const Known &known, const std::uint8_t *data, std::size_t size) {
  Oid name;
  for (std::size_t i = 0; i < std::min<std::size_t>(size, 128); ++i) {
    if (data[i] < 0xe0) {
      name.push_back(data[i]);
      continue;
    }
    const auto &order = known.snapshot->listener_order();
    const std::uint32_t index = order[data[i] % order.size()].first;
    name.push_back(data[i] < 0xf0 ? index : index + data[i] % 3 - 1);
  }
  return name;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
  static const Known known;
  const Oid name = name_of(known, data, size);
  const MibView view = known.view();
  const auto behind = known.values.upper_bound(name);
  const auto found = view.next(name);
  if (found.has_value() != (behind != known.values.end()))
    std::abort();
  if (found && (found->first != behind->first || !(found->second == behind->second)))
    std::abort();
  const auto exact = known.values.find(name);
  const auto value = view.get(name);
  if (value.has_value() != (exact != known.values.end()) || (value && !(*value == exact->second)))
    std::abort();
  if (value && !MibView::is_object(name))
    std::abort();
  return 0;
}
