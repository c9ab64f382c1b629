#include "inhabitant.h"
#include "sampler.h"
#include "short_memory.h"
#include "surveyor.h"
#include "test_program.h"
#include "unique_fd.h"

#include <algorithm>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace backlog;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

namespace {

/// A listener on loopback that nobody accepts from.
class Listener {
public:
  explicit Listener(int limit) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address_;
    ck_assert_int_eq(bind(fd_.get(), generic(), length), 0);
    ck_assert_int_eq(listen(fd_.get(), limit), 0);
    ck_assert_int_eq(getsockname(fd_.get(), generic(), &length), 0);
  }

  void connect_clients(int count) {
    for (int i = 0; i < count; ++i) {
      clients_.emplace_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      ck_assert_int_eq(connect(clients_.back().get(), generic(), sizeof address_), 0);
    }
  }
  std::string name() const { return "tcp_127-0-0-1_" + std::to_string(ntohs(address_.sin_port)); }

private:
  sockaddr *generic() { return reinterpret_cast<sockaddr *>(&address_); }

  UniqueFd fd_;
  sockaddr_in address_{};
  std::vector<UniqueFd> clients_;
};

std::shared_ptr<const Config> config_with(std::chrono::duration<double> interval) {
  Config config;
  config.events = EventUse::off; // with them it looks only when something happens
  config.sample_interval = interval;
  config.sampler_budget_percent = 50;
  return std::make_shared<const Config>(std::move(config));
}

Harvest next_harvest(Sampler &sampler) {
  sampler.ask();
  auto harvest = sampler.take_until(Clock::now() + 60s);
  ck_assert(harvest.has_value());
  return *harvest;
}

const ListenerInterval *find(const Harvest &harvest, const std::string &name) {
  const auto &listeners = harvest.own.tcp.listeners;
  const auto found = std::find_if(listeners.begin(), listeners.end(), [&](const auto &listener) {
    return listener.interval.identity.name == name;
  });
  return found == listeners.end() ? nullptr : &found->interval;
}

} // namespace

START_TEST(harvest_has_the_queue) {
  Listener listener(3);
  Sampler sampler;
  ck_assert(!sampler.start(config_with(1ms), 10s, std::make_shared<SurveyBoard>()));
  const Harvest first = next_harvest(sampler);
  ck_assert(first.own.tcp.read);
  listener.connect_clients(2);
  const Harvest harvest = next_harvest(sampler);
  const ListenerInterval *interval = find(harvest, listener.name());
  ck_assert(interval != nullptr);
  ck_assert_uint_eq(interval->queue.last, 2);
  ck_assert_uint_eq(interval->queue.peak, 2);
  ck_assert_uint_eq(interval->limit, 3);
  ck_assert_double_eq_tol(interval->queue.used_percent, 50, 1e-9);
  ck_assert(harvest.own.counters.has_value());
  ck_assert(!first.sampler.period && !first.sampler.cpu_percent);
  ck_assert(harvest.sampler.period && harvest.sampler.cpu_percent);
  ck_assert(sampler.stop(10s));
}
END_TEST

START_TEST(it_samples_between_the_harvests) {
  Sampler sampler;
  ck_assert(!sampler.start(config_with(1ms), 10s, std::make_shared<SurveyBoard>()));
  ck_assert(next_harvest(sampler).own.tcp.read);
  const Clock::time_point patience = Clock::now() + 60s;
  bool between = false;
  while (!between && Clock::now() < patience) {
    std::this_thread::sleep_for(50ms);
    const Harvest harvest = next_harvest(sampler);
    between = *harvest.sampler.period < harvest.measured / 2;
  }
  ck_assert(between);
}
END_TEST

START_TEST(one_sample_per_interval) {
  Sampler sampler;
  ck_assert(!sampler.start(config_with(10s), 10s, std::make_shared<SurveyBoard>()));
  ck_assert(next_harvest(sampler).own.tcp.read);
  for (int i = 0; i < 3; ++i) {
    const Harvest harvest = next_harvest(sampler);
    ck_assert(*harvest.sampler.period > 0.99 * harvest.measured);
  }
}
END_TEST

START_TEST(listeners_come_and_go_under_it) {
  Sampler sampler;
  ck_assert(!sampler.start(config_with(1ms), 10s, std::make_shared<SurveyBoard>()));
  ck_assert(next_harvest(sampler).own.tcp.read);
  for (int i = 0; i < 100; ++i) {
    std::vector<Listener> listeners;
    listeners.reserve(10);
    for (int k = 0; k < 10; ++k)
      listeners.emplace_back(k);
    const Harvest harvest = next_harvest(sampler);
    for (const Listener &listener : listeners)
      ck_assert(find(harvest, listener.name()) != nullptr);
  }
  ck_assert(sampler.stop(10s));
}
END_TEST

// A sample or a harvest that broke off leaves a state from which the thread must not go on.
START_TEST(a_thread_out_of_memory_ends_and_another_begins_anew) {
  for (const bool at_harvest : {false, true}) {
    const auto config = config_with(at_harvest ? 10s : 1ms);
    const auto board = std::make_shared<SurveyBoard>();
    Sampler sampler;
    ck_assert(!sampler.start(config, 10s, board));
    ck_assert(next_harvest(sampler).own.tcp.read);
    only_main_thread_allocates = true;
    Listener listener(3);
    if (at_harvest)
      sampler.ask();
    const Clock::time_point patience = Clock::now() + 30s;
    while (sampler.is_running() && Clock::now() < patience)
      std::this_thread::sleep_for(1ms);
    only_main_thread_allocates = false;
    ck_assert(!sampler.is_running());
    assert_text(sampler.failure().value_or("none"), std::bad_alloc().what());
    listener.connect_clients(2);
    ck_assert(!sampler.start(config, 10s, board));
    const Harvest harvest = next_harvest(sampler);
    const ListenerInterval *interval = find(harvest, listener.name());
    ck_assert(interval != nullptr);
    ck_assert_uint_eq(interval->members, 1);
    ck_assert_uint_eq(interval->queue.last, 2);
  }
}
END_TEST

// After a restart, what is wrong in the first whole interval is known; so that has to have them.
START_TEST(other_namespaces_are_sampled_as_soon_as_they_are_listed) {
  Inhabitant inhabitant;
  if (!inhabitant.has_begun())
    return;
  const auto board = std::make_shared<SurveyBoard>();
  Sampler sampler;
  ck_assert(!sampler.start(config_with(1ms), 10s, board));
  ck_assert_uint_eq(next_harvest(sampler).others.size(), 0);
  board->post({inhabitant.net_namespace("blue")});
  std::this_thread::sleep_for(1s);
  const BootClock::time_point asked = BootClock::now();
  const Harvest harvest = next_harvest(sampler);
  ck_assert_uint_eq(harvest.others.size(), 1);
  ck_assert(harvest.others.front().tcp.read);
  ck_assert(harvest.others.front().counted_since < asked);
  ck_assert(harvest.sampler.others_period && *harvest.sampler.others_period < harvest.measured);
}
END_TEST

START_TEST(stop_while_a_harvest_is_owed) {
  for (int i = 0; i < 20; ++i) {
    Sampler sampler;
    ck_assert(!sampler.start(config_with(1ms), 10s, std::make_shared<SurveyBoard>()));
    sampler.ask();
    ck_assert(sampler.stop(10s));
  }
}
END_TEST

// Of value for the thread sanitizer: both threads, with a board and namespaces to look into.
START_TEST(the_surveyor_works_beside_it) {
  Config config;
  config.sample_interval = 1ms;
  config.sampler_budget_percent = 50;
  ck_assert(!config.net_namespaces.add("/./"));
  const auto shared = std::make_shared<const Config>(std::move(config));
  const auto board = std::make_shared<SurveyBoard>();
  Listener listener(3);
  listener.connect_clients(4);
  Sampler sampler;
  Surveyor surveyor;
  ck_assert(!sampler.start(shared, 10s, board));
  ck_assert(!surveyor.start(shared, 10s, board));
  for (int i = 0; i < 50; ++i) {
    surveyor.ask();
    ck_assert(find(next_harvest(sampler), listener.name()) != nullptr);
    const auto survey = surveyor.take_until(Clock::now() + 60s);
    ck_assert(survey.has_value());
    ck_assert(survey->own.limits.somaxconn.has_value());
  }
  ck_assert(sampler.stop(10s));
  ck_assert(surveyor.stop(10s));
}
END_TEST

// A new listener in each interval wants a scan of all processes, which takes more than the
// hundredth of a millisecond.
START_TEST(owners_are_looked_for_as_the_budget_allows) {
  Surveyor surveyor;
  ck_assert(!surveyor.start(config_with(1ms), 1ms, std::make_shared<SurveyBoard>()));
  const Clock::time_point patience = Clock::now() + 60s;
  std::vector<Listener> listeners;
  bool left_out = false;
  bool found = false;
  while (!(left_out && found) && Clock::now() < patience) {
    listeners.emplace_back(1);
    surveyor.ask();
    const auto survey = surveyor.take_until(Clock::now() + 60s);
    ck_assert(survey.has_value());
    left_out = left_out ||
               std::any_of(survey->faults.begin(), survey->faults.end(), [](const Fault &fault) {
                 return fault.part == "owners in every interval";
               });
    found = std::any_of(survey->owners.begin(), survey->owners.end(),
                        [](const auto &owner) { return owner.second.pid == getpid(); });
  }
  ck_assert(left_out && found);
}
END_TEST

int main() {
  return run_tests("sampler", the_surveyor_works_beside_it, harvest_has_the_queue,
                   it_samples_between_the_harvests, one_sample_per_interval,
                   listeners_come_and_go_under_it,
                   a_thread_out_of_memory_ends_and_another_begins_anew,
                   other_namespaces_are_sampled_as_soon_as_they_are_listed,
                   stop_while_a_harvest_is_owed, owners_are_looked_for_as_the_budget_allows);
}
