#include "bpf.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <linux/bpf.h>
#include <memory>
#include <string>
#include <sys/syscall.h>
#include <unistd.h>

namespace backlog {

namespace {

constexpr std::uint32_t batch_entries = 256;

/// The structs that the kernel's loader reads and fills in (bpf_loader_ctx, bpf_map_desc and
/// bpf_prog_desc in tools/lib/bpf/skel_internal.h); descriptors of maps and programs follow the
/// context.
struct LoaderContext {
  std::uint32_t size = 0;
  std::uint32_t flags = 0;
  std::uint32_t log_level = 0;
  std::uint32_t log_size = 0;
  std::uint64_t log_buffer = 0;
};
struct MapDescriptor {
  std::int32_t fd = 0;
  std::uint32_t max_entries = 0;
  std::uint64_t initial_value = 0; ///< 0 keeps the object's own value
};
using ProgramDescriptor = std::int32_t;

std::uint64_t address_of(const void *pointer) { return reinterpret_cast<std::uintptr_t>(pointer); }

Error bpf_error(int code, const char *what) { return {code, what}; }

Result<UniqueFd> make_loader_map(std::string_view data) {
  bpf_attr attribute = empty_bpf_attribute();
  attribute.map_type = BPF_MAP_TYPE_ARRAY;
  attribute.key_size = sizeof(std::uint32_t);
  attribute.value_size = static_cast<std::uint32_t>(data.size());
  attribute.max_entries = 1;
  UniqueFd map(call_bpf(BPF_MAP_CREATE, attribute));
  if (!map)
    return bpf_error(errno, "create a BPF map");
  const std::uint32_t key = 0;
  if (Failure failure = update_bpf_map(map.get(), &key, data.data()))
    return *failure;
  return map;
}

Result<UniqueFd> make_loader(std::string_view instructions, int map) {
  bpf_attr attribute = empty_bpf_attribute();
  attribute.prog_type = BPF_PROG_TYPE_SYSCALL;
  attribute.insns = address_of(instructions.data());
  attribute.insn_cnt = static_cast<std::uint32_t>(instructions.size() / sizeof(bpf_insn));
  attribute.license = address_of("Dual BSD/GPL");
  attribute.fd_array = address_of(&map);
  attribute.prog_flags = BPF_F_SLEEPABLE;
  UniqueFd program(call_bpf(BPF_PROG_LOAD, attribute));
  if (!program)
    return bpf_error(errno, "load a BPF program");
  return program;
}

/// Runs the loader program once; it fills in the descriptors.
Failure run_loader(const BpfObject &object, std::vector<std::byte> &context) {
  const Result<UniqueFd> map = make_loader_map(object.data);
  if (!map)
    return map.error();
  const Result<UniqueFd> program = make_loader(object.instructions, map->get());
  if (!program)
    return program.error();
  bpf_attr attribute = empty_bpf_attribute();
  attribute.test.prog_fd = static_cast<std::uint32_t>(program->get());
  attribute.test.ctx_in = address_of(context.data());
  attribute.test.ctx_size_in = static_cast<std::uint32_t>(context.size());
  if (call_bpf(BPF_PROG_RUN, attribute) < 0)
    return bpf_error(errno, "load BPF programs");
  if (const auto result = static_cast<std::int32_t>(attribute.test.retval); result < 0)
    return bpf_error(-result, "load BPF programs");
  return std::nullopt;
}

} // namespace

int call_bpf(int command, bpf_attr &attribute) {
  return static_cast<int>(syscall(SYS_bpf, command, &attribute, sizeof(attribute)));
}

bpf_attr empty_bpf_attribute() {
  bpf_attr attribute{};
  std::memset(&attribute, 0, sizeof(attribute));
  return attribute;
}

Result<LoadedBpf> LoadedBpf::load(const BpfObject &object) {
  const std::size_t programs_at =
      sizeof(LoaderContext) + object.maps.size() * sizeof(MapDescriptor);
  std::vector<std::byte> context(programs_at + object.programs.size() * sizeof(ProgramDescriptor));
  const LoaderContext head{.size = static_cast<std::uint32_t>(context.size())};
  std::memcpy(context.data(), &head, sizeof(head));
  if (Failure failure = run_loader(object, context))
    return *failure;

  LoadedBpf loaded;
  loaded.map_names_ = object.maps;
  loaded.program_names_ = object.programs;
  for (std::size_t i = 0; i < object.maps.size(); ++i) {
    MapDescriptor map;
    std::memcpy(&map, context.data() + sizeof(LoaderContext) + i * sizeof(map), sizeof(map));
    loaded.maps_.emplace_back(map.fd);
  }
  for (std::size_t i = 0; i < object.programs.size(); ++i) {
    ProgramDescriptor program = -1;
    std::memcpy(&program, context.data() + programs_at + i * sizeof(program), sizeof(program));
    loaded.programs_.emplace_back(program);
  }
  return loaded;
}

Failure LoadedBpf::attach(std::string_view only_run) {
  only_run_ = only_run;
  for (std::size_t i = 0; i < programs_.size(); ++i) {
    if (program_names_[i] == only_run)
      continue;
    bpf_attr attribute = empty_bpf_attribute();
    attribute.raw_tracepoint.prog_fd = static_cast<std::uint32_t>(programs_[i].get());
    UniqueFd link(call_bpf(BPF_RAW_TRACEPOINT_OPEN, attribute));
    if (!link) {
      const int code = errno;
      links_.clear();
      return bpf_error(code, "attach a BPF program");
    }
    links_.push_back(std::move(link));
  }
  return std::nullopt;
}

int LoadedBpf::map(std::string_view name) const {
  const auto found = std::find(map_names_.begin(), map_names_.end(), name);
  if (found == map_names_.end())
    return -1;
  return maps_[static_cast<std::size_t>(found - map_names_.begin())].get();
}

Failure LoadedBpf::run(std::string_view name) const {
  const auto found = std::find(program_names_.begin(), program_names_.end(), name);
  if (found == program_names_.end())
    return bpf_error(ENOENT, "run a BPF program");
  bpf_attr attribute = empty_bpf_attribute();
  attribute.test.prog_fd = static_cast<std::uint32_t>(
      programs_[static_cast<std::size_t>(found - program_names_.begin())].get());
  if (call_bpf(BPF_PROG_RUN, attribute) < 0)
    return bpf_error(errno, "run a BPF program");
  return std::nullopt;
}

std::uint64_t LoadedBpf::missed() const {
  std::uint64_t least = links_.empty() ? 0 : ~0ULL;
  for (std::size_t i = 0; i < programs_.size(); ++i) {
    if (program_names_[i] == only_run_)
      continue;
    bpf_prog_info info{};
    std::memset(&info, 0, sizeof(info));
    bpf_attr attribute = empty_bpf_attribute();
    attribute.info.bpf_fd = static_cast<std::uint32_t>(programs_[i].get());
    attribute.info.info = address_of(&info);
    attribute.info.info_len = sizeof(info);
    if (call_bpf(BPF_OBJ_GET_INFO_BY_FD, attribute) < 0)
      return 0;
    least = std::min<std::uint64_t>(least, info.recursion_misses);
  }
  return least;
}

Failure update_bpf_map(int map, const void *key, const void *value) {
  bpf_attr attribute = empty_bpf_attribute();
  attribute.map_fd = static_cast<std::uint32_t>(map);
  attribute.key = address_of(key);
  attribute.value = address_of(value);
  if (call_bpf(BPF_MAP_UPDATE_ELEM, attribute) < 0)
    return bpf_error(errno, "write to a BPF map");
  return std::nullopt;
}

bool look_up_bpf_map(int map, const void *key, void *value) {
  bpf_attr attribute = empty_bpf_attribute();
  attribute.map_fd = static_cast<std::uint32_t>(map);
  attribute.key = address_of(key);
  attribute.value = address_of(value);
  return call_bpf(BPF_MAP_LOOKUP_ELEM, attribute) == 0;
}

Failure delete_from_bpf_map(int map, const void *key) {
  bpf_attr attribute = empty_bpf_attribute();
  attribute.map_fd = static_cast<std::uint32_t>(map);
  attribute.key = address_of(key);
  if (call_bpf(BPF_MAP_DELETE_ELEM, attribute) < 0 && errno != ENOENT)
    return bpf_error(errno, "delete from a BPF map");
  return std::nullopt;
}

Failure read_bpf_map(int map, std::size_t value_bytes, BpfEntries &entries) {
  entries.keys.clear();
  entries.values.clear();
  std::uint32_t position = 0;
  for (bool is_first = true;; is_first = false) {
    const std::size_t before = entries.keys.size();
    entries.keys.resize(before + batch_entries);
    entries.values.resize((before + batch_entries) * value_bytes);
    bpf_attr attribute = empty_bpf_attribute();
    attribute.batch.map_fd = static_cast<std::uint32_t>(map);
    attribute.batch.in_batch = is_first ? 0 : address_of(&position);
    attribute.batch.out_batch = address_of(&position);
    attribute.batch.keys = address_of(entries.keys.data() + before);
    attribute.batch.values = address_of(entries.values.data() + before * value_bytes);
    attribute.batch.count = batch_entries;
    const int result = call_bpf(BPF_MAP_LOOKUP_BATCH, attribute);
    const int code = errno;
    const bool at_end = result < 0 && code == ENOENT;
    const std::size_t read = result < 0 && !at_end ? 0 : attribute.batch.count;
    entries.keys.resize(before + read);
    entries.values.resize((before + read) * value_bytes);
    if (at_end)
      return std::nullopt;
    if (result < 0)
      return bpf_error(code, "read a BPF map");
  }
}

} // namespace backlog
