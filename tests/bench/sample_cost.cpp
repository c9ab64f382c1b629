// sample_cost SECONDS WHAT...
//
// Measures the cost of a look at the TCP listeners of the caller's net namespace, in microseconds,
// by turns so that what else the machine does meets all alike:
//   sample         NamespaceSampler::sample_tcp(), all of it, and planning the next one
//   dump           the same request and buffer, messages received and not looked at
//   ss             a process ss -lntH
//   raindrops=FILE a Ruby program that speaks raindrops.rb's protocol
// Prints the median of each, wall time, one right after the other with warm caches (NAME), and the
// median over the turns of each against the first (NAME_ratio).

#include "bare_dump.h"
#include "host.h"
#include "namespace_sampler.h"
#include "pace.h"
#include "thread_cpu_time.h"

#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <functional>
#include <memory>
#include <spawn.h>
#include <stdexcept>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace {

using namespace bench;
using backlog::UniqueFd;

constexpr Duration pause = std::chrono::milliseconds(25); // SampleInterval
constexpr Duration max_weight = 2 * pause;
constexpr int warm_up_calls = 2;
constexpr int calls_a_turn = 10;
constexpr int least_turns = 5;

double microseconds(Duration duration) {
  return std::chrono::duration<double, std::micro>(duration).count();
}

/// One way to look at the listeners.
class Look {
public:
  virtual ~Look() = default;
  /// Wall time of a call, the median of some, one right after the other.
  virtual double run() = 0;
};

class CallLook : public Look {
public:
  CallLook(std::function<void()> call, int calls) : call_(std::move(call)), calls_(calls) {}

  double run() override {
    std::vector<double> times;
    for (int i = -warm_up_calls; i < calls_; ++i) {
      const Clock::time_point begin = Clock::now();
      call_();
      const Duration time = Clock::now() - begin;
      if (i >= 0)
        times.push_back(microseconds(time));
    }
    return median(std::move(times));
  }

private:
  std::function<void()> call_;
  int calls_;
};

/// A sample and what the sampling thread does after it.
class PacedSample {
public:
  void run() {
    sampler_.sample_tcp(max_weight);
    if (sampler_.tcp_failed())
      throw std::runtime_error("a sample failed");
    const Duration now = backlog::thread_cpu_time();
    const Duration cost = now - std::exchange(cpu_seen_, now);
    budget_.spend(cost, Clock::now());
    cost_.note(cost);
    const Clock::time_point planned = Clock::now();
    next_ = pace_.next(planned, cost_.typical(), sampler_.tcp_activity(), budget_.rate(),
                       budget_.until(cost_.typical(), planned));
  }

private:
  backlog::NamespaceSampler sampler_{std::make_shared<const backlog::Config>(),
                                     backlog::NamespaceLabel{}};
  backlog::CpuBudget budget_{1, Clock::now()};
  backlog::SampleCost cost_;
  backlog::Pace pace_{{.sample_interval = pause, .burst_interval = pause / 5}};
  Duration cpu_seen_ = backlog::thread_cpu_time();
  Duration next_{0};
};

class Spawned {
public:
  explicit Spawned(std::vector<const char *> arguments) : arguments_(std::move(arguments)) {
    arguments_.push_back(nullptr);
  }

  pid_t start(int input, int output) const {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    pid_t pid = 0;
    const int error = posix_spawnp(&pid, arguments_[0], &actions, nullptr,
                                   const_cast<char *const *>(arguments_.data()), environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0)
      throw std::system_error(error, std::generic_category(), arguments_[0]);
    return pid;
  }

private:
  std::vector<const char *> arguments_;
};

void wait_for_success(pid_t pid) {
  int status = 0;
  checked(waitpid(pid, &status, 0), "waitpid");
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    throw std::runtime_error("a process failed");
}

/// A Ruby process that is told how often to call, and answers with microseconds.
class RubyLook : public Look {
public:
  explicit RubyLook(const char *script) {
    int to_ruby[2];
    int from_ruby[2];
    checked(pipe2(to_ruby, O_CLOEXEC), "pipe");
    checked(pipe2(from_ruby, O_CLOEXEC), "pipe");
    pid_ = Spawned({"ruby", script}).start(to_ruby[0], from_ruby[1]);
    close(to_ruby[0]);
    close(from_ruby[1]);
    to_ruby_.reset(fdopen(to_ruby[1], "w"));
    from_ruby_.reset(fdopen(from_ruby[0], "r"));
  }
  RubyLook(const RubyLook &) = delete;
  RubyLook &operator=(const RubyLook &) = delete;
  ~RubyLook() override {
    to_ruby_.reset();
    waitpid(pid_, nullptr, 0);
  }

  double run() override {
    std::vector<double> times;
    for (int i = -warm_up_calls; i < calls_a_turn; ++i) {
      const double time = ask();
      if (i >= 0)
        times.push_back(time);
    }
    return median(std::move(times));
  }

private:
  double ask() {
    double answer = 0;
    if (std::fprintf(to_ruby_.get(), "\n") < 0 || std::fflush(to_ruby_.get()) != 0 ||
        std::fscanf(from_ruby_.get(), "%lf", &answer) != 1)
      throw std::runtime_error("ruby gave no answer");
    return answer;
  }

  struct Close {
    void operator()(FILE *file) const { (void)std::fclose(file); }
  };
  pid_t pid_ = -1;
  std::unique_ptr<FILE, Close> to_ruby_;
  std::unique_ptr<FILE, Close> from_ruby_;
};

struct Entry {
  std::string name;
  std::unique_ptr<Look> look;
  std::vector<double> times{}; ///< by turn
};

Entry make_entry(const std::string &what) {
  if (what == "sample") {
    auto sample = std::make_shared<PacedSample>();
    return {what, std::make_unique<CallLook>([sample] { sample->run(); }, calls_a_turn)};
  }
  if (what == "dump") {
    auto dump = std::make_shared<BareDump>();
    return {what, std::make_unique<CallLook>([dump] { dump->run(); }, calls_a_turn)};
  }
  if (what == "ss") {
    auto null = std::make_shared<UniqueFd>(checked(open("/dev/null", O_RDWR | O_CLOEXEC), "open"));
    return {what, std::make_unique<CallLook>(
                      [null] {
                        wait_for_success(Spawned({"ss", "-lntH"}).start(null->get(), null->get()));
                      },
                      2)};
  }
  const std::string raindrops = "raindrops=";
  if (what.starts_with(raindrops))
    return {"raindrops", std::make_unique<RubyLook>(what.c_str() + raindrops.size())};
  throw std::invalid_argument("unknown: " + what);
}

void print(const std::string &name, const std::vector<double> &times,
           const std::vector<double> &first_times) {
  std::vector<double> ratios;
  for (std::size_t turn = 0; turn < times.size(); ++turn)
    ratios.push_back(times[turn] / first_times[turn]);
  print_figure(name, median(times));
  print_figure(name + "_ratio", median(ratios));
}

int body(int argc, char **argv) {
  if (argc < 3)
    throw std::invalid_argument("usage: sample_cost SECONDS WHAT...");
  const Seconds seconds(std::atof(argv[1]));
  std::vector<Entry> entries;
  for (int i = 2; i < argc; ++i)
    entries.push_back(make_entry(argv[i]));

  const Clock::time_point begin = Clock::now();
  for (int turn = 0; turn < least_turns || Clock::now() - begin < seconds; ++turn)
    for (Entry &entry : entries)
      entry.times.push_back(entry.look->run());

  for (const Entry &entry : entries)
    print(entry.name, entry.times, entries.front().times);
  return 0;
}

} // namespace

int main(int argc, char **argv) { return run_program(body, argc, argv); }
