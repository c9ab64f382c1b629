// event_cost SECONDS
//
// Measures the cost of the BPF programs for a foreign socket: a byte written to a Unix socket and
// read again, in turns without any program, with as many on the same tracepoint that do nothing,
// and with ours. Prints in ns of CPU time a pair (without_ns), how much more it is with each
// (idle_rise_ns, rise_ns), by the kernel's own clock what our programs take more than idle ones
// (program_ns), and what loading ours takes in ms (load_ms).

#include "bpf.h"
#include "events.h"
#include "host.h"
#include "thread_cpu_time.h"

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <linux/bpf.h>
#include <map>
#include <stdexcept>
#include <string>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

namespace {

using namespace bench;
using backlog::call_bpf;
using backlog::empty_bpf_attribute;
using backlog::UniqueFd;

constexpr int pairs_of_a_batch = 300;
constexpr int batches_of_a_turn = 100;
constexpr std::size_t least_turns = 12;
constexpr int programs_of_an_addition = 2; // as ours has, event_ready.bpf.c
// Rounds disturbed by another task or the host's other guests are among the slower ones.
constexpr double undisturbed = 0.1;
// Programs that are no longer used go some time after they were detached.
constexpr std::chrono::milliseconds settling{30};

std::uint64_t address_of(const void *pointer) { return reinterpret_cast<std::uintptr_t>(pointer); }

/// A program that does nothing at the tracepoint sk_data_ready.
struct IdleProgram {
  IdleProgram() {
    const std::array<bpf_insn, 2> instructions{{
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0},
        {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0},
    }};
    bpf_attr load = empty_bpf_attribute();
    load.prog_type = BPF_PROG_TYPE_RAW_TRACEPOINT;
    load.insns = address_of(instructions.data());
    load.insn_cnt = instructions.size();
    load.license = address_of("GPL");
    std::strncpy(load.prog_name, "idle", sizeof(load.prog_name));
    program = UniqueFd(checked(call_bpf(BPF_PROG_LOAD, load), "load an idle program"));
    bpf_attr attach = empty_bpf_attribute();
    attach.raw_tracepoint.name = address_of("sk_data_ready");
    attach.raw_tracepoint.prog_fd = static_cast<std::uint32_t>(program.get());
    link = UniqueFd(checked(call_bpf(BPF_RAW_TRACEPOINT_OPEN, attach), "attach an idle program"));
  }

  UniqueFd program;
  UniqueFd link;
};

class Pair {
public:
  Pair() {
    int sockets[2];
    checked(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), "socketpair");
    writer_ = UniqueFd(sockets[0]);
    reader_ = UniqueFd(sockets[1]);
  }

  void write_and_read(int times) const {
    char byte = 0;
    for (int i = 0; i < times; ++i)
      if (write(writer_.get(), &byte, 1) != 1 || read(reader_.get(), &byte, 1) != 1)
        throw std::runtime_error("write and read");
  }

  /// CPU time of one, where nothing disturbs.
  double ns() const {
    std::this_thread::sleep_for(settling);
    std::vector<double> batches;
    for (int i = 0; i < batches_of_a_turn; ++i) {
      const Duration begin = backlog::thread_cpu_time();
      write_and_read(pairs_of_a_batch);
      batches.push_back(static_cast<double>((backlog::thread_cpu_time() - begin).count()) /
                        pairs_of_a_batch);
    }
    return quantile(std::move(batches), undisturbed);
  }

private:
  UniqueFd writer_;
  UniqueFd reader_;
};

struct RunTime {
  double ns = 0;
  double runs = 0;
};

/// Of this process's programs, by name; as far as the kernel has counted.
std::map<std::string, RunTime> run_times() {
  std::map<std::string, RunTime> result;
  for (const auto &entry : std::filesystem::directory_iterator("/proc/self/fdinfo")) {
    std::ifstream file(entry.path());
    const std::string text((std::istreambuf_iterator<char>(file)),
                           std::istreambuf_iterator<char>());
    if (text.find("prog_jited:") == std::string::npos) // a link has a prog_id as well
      continue;
    bpf_prog_info info{};
    std::memset(&info, 0, sizeof(info));
    bpf_attr attribute = empty_bpf_attribute();
    attribute.info.bpf_fd =
        static_cast<std::uint32_t>(std::stoul(entry.path().filename().string()));
    attribute.info.info = address_of(&info);
    attribute.info.info_len = sizeof(info);
    checked(call_bpf(BPF_OBJ_GET_INFO_BY_FD, attribute), "ask for a program");
    RunTime &time = result[info.name];
    time.ns += static_cast<double>(info.run_time_ns);
    time.runs += static_cast<double>(info.run_cnt);
  }
  return result;
}

/// Time of our programs beyond that of idle ones beside them, both together, in ns.
double program_ns(const Pair &pair) {
  const std::array<IdleProgram, programs_of_an_addition> idle;
  bpf_attr attribute = empty_bpf_attribute();
  attribute.enable_stats.type = BPF_STATS_RUN_TIME;
  const UniqueFd counting(checked(call_bpf(BPF_ENABLE_STATS, attribute), "count run times"));
  const auto before = run_times();
  pair.write_and_read(pairs_of_a_batch * batches_of_a_turn);
  double ours = 0, theirs = 0;
  for (auto &[name, now] : run_times()) {
    const RunTime &then = before.at(name);
    if (now.runs <= then.runs)
      continue;
    const double ns = (now.ns - then.ns) / (now.runs - then.runs);
    if (name == "idle")
      theirs = programs_of_an_addition * ns;
    else if (name.starts_with("ready_"))
      ours += ns;
  }
  return ours - theirs;
}

int body(int argc, char **argv) {
  if (argc != 2)
    throw std::invalid_argument("usage: event_cost SECONDS");
  const Seconds time(std::atof(argv[1]));
  const Pair pair;
  pin_to_cpu(0);
  std::vector<double> without, idle_rises, rises, program, loads;
  const Clock::time_point end = Clock::now() + std::chrono::duration_cast<Duration>(time);
  // Each between two turns without, for the machine is not always as fast.
  double before = pair.ns();
  const auto rise = [&](double with) {
    const double after = pair.ns();
    without.push_back(after);
    const double base = (std::exchange(before, after) + after) / 2;
    return with - base;
  };
  while (Clock::now() < end || rises.size() < least_turns) {
    double with_idle = 0;
    {
      const std::array<IdleProgram, programs_of_an_addition> idle;
      with_idle = pair.ns();
    }
    idle_rises.push_back(rise(with_idle));
    const Clock::time_point begin = Clock::now();
    auto events = backlog::Events::start();
    if (!events)
      throw std::runtime_error(events.error().message());
    loads.push_back(Seconds(Clock::now() - begin).count() * 1e3);
    const double with = pair.ns();
    program.push_back(program_ns(pair));
    events->reset();
    rises.push_back(rise(with));
  }
  print_figure("without_ns", median(without));
  print_figure("idle_rise_ns", median(idle_rises));
  print_figure("rise_ns", median(rises));
  print_figure("program_ns", median(program));
  print_figure("load_ms", median(loads));
  return 0;
}

} // namespace

int main(int argc, char **argv) { return run_program(body, argc, argv); }
