#include "collector.h"
#include "test_program.h"
#include "unique_fd.h"

#include <cerrno>
#include <chrono>
#include <deque>
#include <memory>
#include <netinet/in.h>
#include <string>
#include <sys/socket.h>
#include <utility>
#include <vector>

using namespace backlog;
using namespace std::chrono_literals;

namespace {

constexpr Collector::Seconds interval = 10s;

/// A thread whose answers the test has ready, and which notes what it is asked.
template <class Answer> class FakeThread final : public AnsweringThread<Answer> {
public:
  using typename AnsweringThread<Answer>::TimePoint;

  struct Script {
    std::deque<Answer> at_once; ///< there before anybody asks: an answer that came late
    std::deque<Answer> in_time; ///< one for each question
    std::optional<int> refuses_to_start;
    std::optional<std::string> failure;
    bool runs = false;
    int starts = 0;
    int questions = 0;
    bool ends_in_time = true;
    bool memory_is_short = false; ///< of taking an answer
    std::string *calls = nullptr; ///< if set, grows by one letter for each
  };

  explicit FakeThread(std::shared_ptr<Script> script) : script_(std::move(script)) {}

  bool is_running() const override { return script_->runs; }
  std::optional<int> start(std::chrono::duration<double>) override {
    ++script_->starts;
    script_->runs = !script_->refuses_to_start;
    return script_->refuses_to_start;
  }
  std::optional<std::string> failure() const override { return script_->failure; }
  std::string step() const override { return "module loading"; }
  void ask() override {
    ++script_->questions;
    note_call('?');
  }
  std::optional<Answer> take_until(TimePoint) override {
    note_call('!');
    if (script_->memory_is_short)
      throw std::bad_alloc();
    return take(script_->in_time);
  }
  std::optional<Answer> try_take() override { return take(script_->at_once); }
  bool stop(std::chrono::milliseconds) override { return script_->ends_in_time; }

private:
  void note_call(char letter) {
    if (script_->calls != nullptr)
      script_->calls->push_back(letter);
  }

  static std::optional<Answer> take(std::deque<Answer> &answers) {
    if (answers.empty())
      return std::nullopt;
    Answer answer = std::move(answers.front());
    answers.pop_front();
    return answer;
  }

  std::shared_ptr<Script> script_;
};

struct World {
  std::shared_ptr<FakeThread<Harvest>::Script> sampler =
      std::make_shared<FakeThread<Harvest>::Script>();
  std::shared_ptr<FakeThread<Survey>::Script> surveyor =
      std::make_shared<FakeThread<Survey>::Script>();
  Collector collector{std::make_shared<Config>(), std::make_unique<FakeThread<Harvest>>(sampler),
                      std::make_unique<FakeThread<Survey>>(surveyor)};

  /// A wait of nothing, so that what is not in the script is missed at once.
  Collector::Reading read() { return collector.read(interval, 0ms); }
};

/// An interval in which the listeners were known, and the one of this name was there.
Harvest harvest_with(const std::string &name) {
  Harvest harvest;
  harvest.measured = 10s;
  harvest.own.tcp.read = true;
  ListenerHarvest listener;
  listener.interval.identity.name = name;
  listener.interval.identity.port = 80;
  listener.interval.members = 1;
  listener.interval.counted = 1;
  listener.interval.limit = 128;
  listener.interval.lowest_limit = 128;
  harvest.own.tcp.listeners.push_back(std::move(listener));
  return harvest;
}

Survey survey_with_somaxconn(std::int64_t somaxconn) {
  Survey survey;
  survey.own.limits.somaxconn = somaxconn;
  return survey;
}

std::string names(const Report &report) {
  std::string text;
  for (const Row &row : report.table.rows)
    text += row.name + " ";
  return text;
}

std::int64_t somaxconn(const Report &report) {
  ck_assert(!report.table.kernels.empty());
  const auto &limits = report.table.kernels.front().limits;
  return limits && limits->somaxconn ? *limits->somaxconn : -1;
}

int lines_with(const std::vector<LogLine> &log, const std::string &text) {
  int count = 0;
  for (const LogLine &line : log)
    count += line.text.find(text) != std::string::npos ? 1 : 0;
  return count;
}

} // namespace

START_TEST(the_first_interval_is_no_more_than_a_baseline) {
  World world;
  ck_assert(world.collector.start(interval).empty());
  for (int i = 0; i < 2; ++i) {
    world.sampler->in_time.push_back(harvest_with("tcp_any_80"));
    world.surveyor->in_time.push_back({});
  }
  const Collector::Reading first = world.read();
  ck_assert_uint_eq(first.reports.size(), 1);
  ck_assert(first.has_listeners);
  ck_assert(!first.reports.front().contents);
  const Collector::Reading second = world.read();
  ck_assert_uint_eq(second.reports.size(), 1);
  ck_assert(second.reports.front().contents.has_value());
  assert_text(names(second.reports.front()), "tcp_any_80 ");
}
END_TEST

START_TEST(nothing_at_all_gives_no_report) {
  World world;
  (void)world.collector.start(interval);
  const Collector::Reading none = world.read();
  ck_assert(none.reports.empty());
  ck_assert(!none.has_listeners);
  ck_assert_int_eq(lines_with(none.log, "not ready"), 0); // a wait of nothing proves no delay
  ck_assert_int_eq(world.sampler->questions, 1);
}
END_TEST

START_TEST(a_late_harvest_comes_before_the_one_asked_for) {
  World world;
  (void)world.collector.start(interval);
  (void)world.read();
  world.sampler->at_once.push_back(harvest_with("tcp_any_1"));
  world.sampler->in_time.push_back(harvest_with("tcp_any_2"));
  const Collector::Reading reading = world.read();
  ck_assert_uint_eq(reading.reports.size(), 2);
  assert_text(names(reading.reports[0]), "tcp_any_1 ");
  assert_text(names(reading.reports[1]), "tcp_any_2 ");
  ck_assert_int_eq(world.sampler->questions, 2);
}
END_TEST

START_TEST(a_late_harvest_is_told_though_none_follows) {
  World world;
  (void)world.collector.start(interval);
  (void)world.read();
  world.sampler->at_once.push_back(harvest_with("tcp_any_1"));
  const Collector::Reading reading = world.read();
  ck_assert_uint_eq(reading.reports.size(), 1);
  ck_assert(!reading.has_listeners);
}
END_TEST

START_TEST(a_late_survey_serves_until_a_fresh_one_is_there) {
  World world;
  (void)world.collector.start(interval);
  world.sampler->in_time.push_back(harvest_with("tcp_any_80"));
  world.surveyor->at_once.push_back(survey_with_somaxconn(128));
  ck_assert_int_eq(somaxconn(world.read().reports.at(0)), 128);
  world.sampler->in_time.push_back(harvest_with("tcp_any_80"));
  world.surveyor->at_once.push_back(survey_with_somaxconn(128));
  world.surveyor->in_time.push_back(survey_with_somaxconn(4096));
  ck_assert_int_eq(somaxconn(world.read().reports.at(0)), 4096);
}
END_TEST

START_TEST(without_a_survey_the_harvest_goes_out) {
  World world;
  (void)world.collector.start(interval);
  world.sampler->in_time.push_back(harvest_with("tcp_any_80"));
  const Collector::Reading reading = world.read();
  ck_assert_uint_eq(reading.reports.size(), 1);
  ck_assert_int_eq(somaxconn(reading.reports.front()), -1);
}
END_TEST

START_TEST(the_survey_is_asked_for_when_the_harvest_is_there) {
  World world;
  (void)world.collector.start(interval);
  std::string calls;
  world.sampler->calls = &calls;
  world.surveyor->calls = &calls;
  world.sampler->in_time.push_back(harvest_with("tcp_any_80"));
  (void)world.read();
  assert_text(calls, "?!?!");
}
END_TEST

START_TEST(an_ended_thread_is_started_anew_and_said_once) {
  World world;
  (void)world.collector.start(interval);
  int said = 0;
  for (int i = 0; i < 3; ++i) {
    world.sampler->runs = false;
    world.sampler->failure = "std::bad_alloc";
    world.sampler->in_time.push_back(harvest_with("tcp_any_80"));
    const Collector::Reading reading = world.read();
    said += lines_with(reading.log, "a thread ended and was restarted: std::bad_alloc");
    ck_assert_uint_eq(reading.reports.size(), 1);
  }
  ck_assert_int_eq(said, 1);
  ck_assert_int_eq(world.sampler->starts, 4);
}
END_TEST

START_TEST(what_a_reading_had_to_say_is_said_though_it_failed) {
  World world;
  (void)world.collector.start(interval);
  world.sampler->runs = false;
  world.sampler->failure = "std::bad_alloc";
  world.sampler->memory_is_short = true;
  for (int i = 0; i < 2; ++i)
    try {
      (void)world.read();
      ck_abort_msg("no exception");
    } catch (const std::bad_alloc &) {
    }
  world.sampler->memory_is_short = false;
  world.sampler->failure.reset();
  const Collector::Reading reading = world.read();
  ck_assert_int_eq(lines_with(reading.log, "a thread ended and was restarted: std::bad_alloc"), 1);
  ck_assert_int_eq(lines_with(world.read().log, "a thread ended"), 0);
}
END_TEST

START_TEST(a_surveyor_that_cannot_start_holds_up_nothing) {
  World world;
  world.surveyor->refuses_to_start = EAGAIN;
  ck_assert_int_eq(lines_with(world.collector.start(interval), "survey: start a thread"), 1);
  world.sampler->in_time.push_back(harvest_with("tcp_any_80"));
  const Collector::Reading without = world.read();
  ck_assert_uint_eq(without.reports.size(), 1);
  ck_assert(without.log.empty());
  world.surveyor->refuses_to_start.reset();
  long said = 0;
  for (int i = 0; i < FaultSpell::calm; ++i) {
    world.sampler->in_time.push_back(harvest_with("tcp_any_80"));
    world.surveyor->in_time.push_back(survey_with_somaxconn(4096));
    const Collector::Reading with = world.read();
    ck_assert_int_eq(somaxconn(with.reports.at(0)), 4096);
    said += lines_with(with.log, "survey can be read again");
  }
  ck_assert_int_eq(said, 1);
}
END_TEST

START_TEST(a_sampler_that_cannot_start_is_tried_again) {
  World world;
  world.sampler->refuses_to_start = EAGAIN;
  ck_assert_int_eq(lines_with(world.collector.start(interval), "listeners: start a thread"), 1);
  const Collector::Reading none = world.read();
  ck_assert(none.reports.empty());
  ck_assert(none.log.empty());
  ck_assert_int_eq(world.sampler->questions, 0);
  world.sampler->refuses_to_start.reset();
  world.sampler->in_time.push_back(harvest_with("tcp_any_80"));
  ck_assert_uint_eq(world.read().reports.size(), 1);
}
END_TEST

START_TEST(a_thread_that_is_left_behind_is_said) {
  World world;
  (void)world.collector.start(interval);
  world.surveyor->ends_in_time = false;
  ck_assert_int_eq(lines_with(world.collector.stop(0ms), "left behind"), 1);
}
END_TEST

// What a thread sanitizer is to see: all that the threads share, while listeners come and go.
START_TEST(both_threads_over_some_intervals) {
  Config config;
  config.events = EventUse::off; // with them the sampler looks only when something happens
  config.sample_interval = 1ms;
  config.sampler_budget_percent = 50;
  ck_assert(!config.net_namespaces.add("/./"));
  Collector collector(std::make_shared<const Config>(std::move(config)));
  constexpr Collector::Seconds short_interval = 50ms;
  ck_assert(collector.start(short_interval).empty());
  int seen = 0;
  for (int i = 0; i < 20; ++i) {
    const UniqueFd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto *generic = reinterpret_cast<sockaddr *>(&address);
    socklen_t length = sizeof address;
    ck_assert_int_eq(bind(listener.get(), generic, length), 0);
    ck_assert_int_eq(listen(listener.get(), 4), 0);
    ck_assert_int_eq(getsockname(listener.get(), generic, &length), 0);
    const std::string name = "tcp_127-0-0-1_" + std::to_string(ntohs(address.sin_port));
    for (const Report &report : collector.read(short_interval, 60s).reports)
      for (const Row &row : report.table.rows)
        seen += static_cast<int>(row.name == name);
  }
  ck_assert_int_ge(seen, 19);
  ck_assert(collector.stop(10s).empty());
}
END_TEST

int main() {
  return run_tests(
      "collector", the_first_interval_is_no_more_than_a_baseline, nothing_at_all_gives_no_report,
      a_late_harvest_comes_before_the_one_asked_for, a_late_harvest_is_told_though_none_follows,
      a_late_survey_serves_until_a_fresh_one_is_there, without_a_survey_the_harvest_goes_out,
      the_survey_is_asked_for_when_the_harvest_is_there,
      an_ended_thread_is_started_anew_and_said_once,
      what_a_reading_had_to_say_is_said_though_it_failed,
      a_surveyor_that_cannot_start_holds_up_nothing, a_sampler_that_cannot_start_is_tried_again,
      a_thread_that_is_left_behind_is_said, both_threads_over_some_intervals);
}
