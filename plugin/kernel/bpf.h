#pragma once

#include "result.h"
#include "unique_fd.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace backlog {

/// BPF programs and their maps, as `bpftool gen skeleton -L` has prepared them: a program that the
/// kernel runs once and that makes the maps and loads the programs, and the data that it reads.
struct BpfObject {
  std::span<const std::string_view> maps;     ///< in the order of the skeleton
  std::span<const std::string_view> programs; ///< likewise
  std::string_view data;
  std::string_view instructions;
};

/// Such an object in the kernel. Nothing of it is pinned, and its descriptors are close-on-exec: it
/// is gone with the process, however that ends. The errors are those of bpf(2): EPERM also where
/// the kernel does not let programs be attached to functions, ESRCH for a tracepoint that it has
/// not, EACCES for an argument that the tracepoint has not.
class LoadedBpf {
public:
  static Result<LoadedBpf> load(const BpfObject &object);

  /// All programs, each to the tracepoint or function that it names, in the order of the object.
  Failure attach();
  /// -1: the object has no such map.
  int map(std::string_view name) const;
  /// How often the kernel skipped a program, since it was running on that CPU already
  /// (recursion_misses of bpf_prog_info); the least of all programs: two of them see for each
  /// other.
  std::uint64_t missed() const;

private:
  LoadedBpf() = default;

  std::span<const std::string_view> map_names_;
  std::vector<UniqueFd> maps_;
  std::vector<UniqueFd> programs_;
  std::vector<UniqueFd> links_;
};

/// Sets the value of a key in a map.
Failure update_bpf_map(int map, const void *key, const void *value);
/// False: it is not there, or cannot be read.
bool look_up_bpf_map(int map, const void *key, void *value);
/// A key that is not there is no failure.
Failure delete_from_bpf_map(int map, const void *key);

/// All entries of a hash map whose keys are u64; entries that come or go meanwhile may be missing.
/// values: behind each other, as the keys are.
struct BpfEntries {
  std::vector<std::uint64_t> keys;
  std::vector<std::byte> values;
};
Failure read_bpf_map(int map, std::size_t value_bytes, BpfEntries &entries);

} // namespace backlog
