#include "scan_planner.h"
#include "test_program.h"

using namespace backlog;
using namespace std::chrono_literals;

namespace {

constexpr NetNamespaceId blue{1, 2};

/// A harvest in which the other namespace `blue` has these figures.
Harvest harvest_of(std::uint64_t peak, std::uint64_t cookies) {
  Harvest harvest;
  NamespaceHarvest &other = harvest.others.emplace_back();
  other.id = blue;
  other.tcp.listeners.emplace_back().interval.queue.peak = peak;
  other.counters.emplace();
  other.counters->values[static_cast<std::size_t>(Counter::SyncookiesSent)] = cookies;
  return harvest;
}

ListenerHarvest waiting(std::uint16_t port, std::uint64_t last, double used,
                        std::chrono::nanoseconds not_empty_for) {
  ListenerHarvest listener;
  listener.interval.identity.port = port;
  listener.interval.queue.last = last;
  listener.interval.queue.used_percent = used;
  listener.interval.runs.not_empty_for = not_empty_for;
  return listener;
}

} // namespace

START_TEST(syn_queues_of_others_where_something_stirs) {
  ScanPlanner planner({.stalled_after = 30s, .warning_percent = 80});
  ck_assert(planner.plan(harvest_of(0, 5)).syn_queues.empty());
  ck_assert(planner.plan(harvest_of(0, 5)).syn_queues.empty());
  ck_assert(planner.plan(harvest_of(0, 6)).syn_queues.contains(blue));
  ck_assert(planner.plan(harvest_of(0, 6)).syn_queues.empty());
  ck_assert(planner.plan(harvest_of(1, 6)).syn_queues.contains(blue));
}
END_TEST

START_TEST(ports_whose_oldest_wait_is_asked_for) {
  ScanPlanner planner({.stalled_after = 30s, .warning_percent = 80});
  Harvest harvest;
  harvest.own.tcp.listeners = {
      waiting(80, 1, 10, 29s),  waiting(81, 1, 10, 30s), waiting(82, 9, 80, 1s),
      waiting(83, 0, 100, 31s), waiting(81, 5, 90, 1s),
  };
  harvest.others.emplace_back().id = blue;
  harvest.others[0].tcp.listeners = {waiting(84, 3, 100, 1s)};
  const ScanRequests requests = planner.plan(harvest);
  ck_assert_uint_eq(requests.wait_ports.size(), 2);
  ck_assert(requests.wait_ports.at({}) == (std::vector<std::uint16_t>{81, 82}));
  ck_assert(requests.wait_ports.at(blue) == (std::vector<std::uint16_t>{84}));
}
END_TEST

START_TEST(queues_at_which_one_in_trouble_may_wait) {
  ScanPlanner planner({.stalled_after = 30s, .warning_percent = 80});
  Harvest harvest;
  harvest.own.tcp.listeners = {waiting(80, 1, 10, 1s), waiting(81, 1, 10, 999ms),
                               waiting(82, 0, 10, 29s)};
  harvest.own.unix_sockets.emplace().listeners = {waiting(0, 9, 79, 29s)};
  const ScanRequests calm = planner.plan(harvest);
  ck_assert(!calm.any_trouble && calm.ports_of({}).empty());

  harvest.own.unix_sockets->listeners.push_back(waiting(0, 9, 80, 1s));
  const ScanRequests by_unix = planner.plan(harvest);
  ck_assert(by_unix.any_trouble && by_unix.wait_ports.empty());
  ck_assert(by_unix.ports_of({}) == (std::vector<std::uint16_t>{80}));
  ck_assert(by_unix.ports_of(blue).empty());

  // Those in trouble are never left out for want of a filter.
  harvest.own.tcp.listeners.clear();
  for (std::uint16_t port = 1; port <= 100; ++port)
    harvest.own.tcp.listeners.push_back(waiting(port, 1, port > 30 ? 10 : 90, 2s));
  const ScanRequests some = planner.plan(harvest);
  ck_assert_uint_eq(some.wait_ports.at({}).size(), 30);
  ck_assert_uint_eq(some.ports_of({}).size(), 64);
  ck_assert_uint_eq(some.ports_of({}).front(), 1);
  for (ListenerHarvest &listener : harvest.own.tcp.listeners)
    listener.interval.queue.used_percent = 90;
  ck_assert_uint_eq(planner.plan(harvest).ports_of({}).size(), 100);
}
END_TEST

START_TEST(scans_are_asked_for_where_they_matter) {
  struct Question {
    const char *name;
    std::uint64_t last;
    std::chrono::nanoseconds not_empty_for;
    double used_percent;
    bool asks;
  };
  constexpr Question questions[] = {
      {"empty", 0, 0s, 0, false},
      {"short waits", 3, 29s, 79, false},
      {"not empty for long", 1, 30s, 0.2, true},
      {"in use", 3, 1s, 80, true},
      {"both", 3, 100s, 100, true},
      {"was in use, and is empty", 0, 0s, 100, false},
  };
  for (const Question &question : questions) {
    ListenerInterval interval;
    interval.queue.last = question.last;
    interval.queue.used_percent = question.used_percent;
    interval.runs.not_empty_for = question.not_empty_for;
    ck_assert_msg(asks_for_oldest_wait(interval, {30s, 80}) == question.asks, "%s", question.name);
  }
}
END_TEST

int main() {
  return run_tests("scan_planner", scans_are_asked_for_where_they_matter,
                   syn_queues_of_others_where_something_stirs, ports_whose_oldest_wait_is_asked_for,
                   queues_at_which_one_in_trouble_may_wait);
}
