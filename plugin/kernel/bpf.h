#pragma once

#include "result.h"
#include "unique_fd.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

union bpf_attr; // linux/bpf.h

namespace backlog {

/// bpf(2). Returns -1 and sets errno on failure. A kernel with a longer bpf_attr takes the rest as
/// 0.
int call_bpf(int command, bpf_attr &attribute);
/// Also clears the members of the union that an initializer does not reach.
bpf_attr empty_bpf_attribute();

/// BPF programs and their maps, as `bpftool gen skeleton -L` prepares them: a loader program that
/// the kernel runs once to make the maps and load the programs, and the data that it reads.
struct BpfObject {
  std::span<const std::string_view> maps;     ///< in the order of the skeleton
  std::span<const std::string_view> programs; ///< in the order of the skeleton
  std::string_view data;
  std::string_view instructions;
};

/// A BpfObject loaded into the kernel. Nothing of it is pinned and its descriptors are
/// close-on-exec, so it ends with the process, however that ends. The errors are those of bpf(2):
/// also EPERM where the kernel does not let programs attach to functions, ESRCH for a tracepoint
/// that the kernel lacks, EACCES for an argument that the tracepoint lacks.
class LoadedBpf {
public:
  static Result<LoadedBpf> load(const BpfObject &object);

  /// Attaches each program, in the order of the object, to the tracepoint or function it names; not
  /// the one called `only_run`, which run() runs.
  Failure attach(std::string_view only_run = {});
  /// Runs a program that is not attached (BPF_PROG_RUN, of type raw tracepoint Linux 5.10 and
  /// later).
  Failure run(std::string_view name) const;
  /// Returns -1 if the object has no such map.
  int map(std::string_view name) const;
  /// How often the kernel skipped a program because it was already running on that CPU
  /// (recursion_misses of bpf_prog_info). This is the smallest count of all attached programs,
  /// since an event that one of two programs misses is seen by the other.
  std::uint64_t missed() const;

private:
  LoadedBpf() = default;

  std::span<const std::string_view> map_names_;
  std::span<const std::string_view> program_names_;
  std::vector<UniqueFd> maps_;
  std::vector<UniqueFd> programs_;
  std::vector<UniqueFd> links_;
  std::string_view only_run_;
};

/// Sets the value of a key in a map.
Failure update_bpf_map(int map, const void *key, const void *value);
/// Returns false if the key is absent or cannot be read.
bool look_up_bpf_map(int map, const void *key, void *value);
/// A missing key is not a failure.
Failure delete_from_bpf_map(int map, const void *key);

/// All entries of a hash map with u64 keys; entries that come or go during the reading may be
/// missing. values: one after another, in the order of keys.
struct BpfEntries {
  std::vector<std::uint64_t> keys;
  std::vector<std::byte> values;
};
Failure read_bpf_map(int map, std::size_t value_bytes, BpfEntries &entries);

} // namespace backlog
