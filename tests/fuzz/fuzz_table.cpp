// Any bytes as a table file: refused with a reason, or read the same by both of its readers, and
// shown without fault.

#include "mib_view.h"
#include "snapshot.h"
#include "table_text.h"
#include "traps.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

using namespace backlog;

namespace {

TableReader reader_of(const std::uint8_t *data, std::size_t size, std::size_t piece) {
  return {[data, size, piece, at = std::size_t{0}](void *target, std::size_t wanted) mutable {
            const std::size_t part = std::min({wanted, piece, size - at});
            if (part > 0)
              std::memcpy(target, data + at, part);
            at += part;
            return static_cast<ssize_t>(part);
          },
          size};
}

void require(bool condition) {
  if (!condition)
    std::abort();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
  const auto [contents, refusal] = read_table(reader_of(data, size, size + 1));
  const auto [snapshot, other_refusal] = Snapshot::read(reader_of(data, size, 100));
  require(refusal == other_refusal && refusal.empty() == (contents != nullptr) &&
          (contents == nullptr) == (snapshot == nullptr));
  if (!contents)
    return 0;
  ServerSettings servers;
  servers.add("* | N | 1 | restart", "servers");
  for (const Screen &screen : {Screen{}, Screen{80, 24}, Screen{1, 1}}) {
    (void)table_text(*contents, contents->header.taken_at_boot_ns, screen);
    (void)audit_text(*contents, contents->header.taken_at_boot_ns, screen, servers);
  }
  (void)table_json(*contents, contents->header.taken_at_boot_ns);

  TrapQueue traps;
  traps.note_table(*snapshot);
  while (traps.next())
    continue;

  const MibView view(snapshot,
                     {.status = TableStatus::current, .now_ns = contents->header.taken_at_boot_ns});
  Oid at;
  while (const auto found = view.next(at)) {
    require(at < found->first);
    require(view.get(found->first) == found->second);
    at = found->first;
  }
  return 0;
}
