#include "table_encoder.h"

#include "folder.h"
#include "table_file.h"
#include "test_program.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <string>
#include <vector>

using namespace backlog;
using namespace std::chrono_literals;

namespace {

constexpr std::int64_t began_ns = 7'000'000'000;

/// A part of a minute, or of the time since the system's start where that is less.
std::chrono::nanoseconds span(double part) {
  static const std::chrono::duration<double, std::nano> whole =
      std::min<std::chrono::nanoseconds>(60s, std::chrono::steady_clock::now().time_since_epoch());
  return std::chrono::duration_cast<std::chrono::nanoseconds>(part * whole);
}

/// One interval by hand, and what other processes get of it.
struct Interval {
  Table table;
  Harvest harvest;
  Alarms alarms{NotifyStates{}};
  RecentWorst recent;
  TableContents contents;

  Interval() {
    harvest.measured = 9900ms;
    table.taken_at = std::chrono::system_clock::now() - span(0.04);
    harvest.taken_at_boot = BootClock::now() - span(0.04);
    table.kernels.emplace_back();
  }
  Row &add(const std::string &name) {
    Row &row = table.rows.emplace_back();
    row.name = name;
    row.diagnosis.emplace();
    return row;
  }
  /// As those see it who read the file.
  const layout::Listener &record(const std::string &name) {
    const Folder folder;
    TableContents written = table_contents(table, harvest, 10s, alarms, began_ns, recent);
    ck_assert(!TableFile(folder / "table").publish(written));
    const auto [read, refusal] = read_table_file(folder / "table");
    ck_assert_msg(read != nullptr, "%s", refusal.c_str());
    contents = *read;
    for (const layout::Listener &listener : contents.listeners)
      if (layout::text_of(listener.name) == name)
        return listener;
    ck_abort_msg("no record of %s", name.c_str());
    return contents.listeners.front();
  }
};

template <class Field> std::string shown(const Field &field) {
  return std::string(layout::text_of(field));
}

bool is_about(std::int64_t ns, std::chrono::steady_clock::duration age) {
  const std::int64_t distance =
      ns - clock_ns() + std::chrono::duration_cast<std::chrono::nanoseconds>(age).count();
  return distance > -1'000'000'000 && distance < 1'000'000'000;
}

} // namespace

START_TEST(a_listener_with_all_there_is_to_know) {
  Interval interval;
  ListenerIdentity identity;
  identity.name = "a";
  identity.tcp = {.bytes = {192, 0, 2, 1}, .device = 3, .port = 80};
  Row &row = interval.add("a");
  row.identity = &identity;
  row.owner = "nginx.service";
  row.queue.last = 1;
  row.queue.peak = 2;
  row.queue.peak_queues = {.limit = 128, .members = 3};
  row.queue.mean = 1.5;
  row.queue.used_percent = 40;
  row.queue.full_percent = 30;
  row.limit = 4;
  row.members = 5;
  row.drops = DropTotals::Standing{6, BootClock::now() - span(0.5)};
  row.overflows = DropTotals::Standing{5, BootClock::now() - span(0.3)};
  row.syn_overflows = 1;
  row.ack_overflows = 2;
  row.syn_length = 7;
  row.oldest_wait = 1.25s;
  row.interval_drops = 4;
  row.arrivals = 8;
  row.accepts = 9;
  row.wait_mean = 10ms;
  row.wait_p50 = 11ms;
  row.wait_p99 = 12ms;
  row.wait_histogram =
      WaitHistogram{.counts = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, .seconds = 2.5};
  row.peak_bound = 13;
  row.day_peak = 15;
  row.enough = 14;
  row.clients = "1 of 1 from 10.0.0.7";
  row.diagnosis = Diagnosis{.state = ListenerState::stalled,
                            .cause = Cause::not_accepting,
                            .limit_source = LimitSource::stale,
                            .is_expected = true,
                            .overflows = 3,
                            .message = "in words"};

  const layout::Listener &record = interval.record("a");
  assert_text(shown(record.owner), "nginx.service");
  assert_text(shown(record.message), "in words");
  assert_text(shown(record.path), "");
  ck_assert_uint_eq(record.has, layout::listener_values);
  ck_assert_uint_eq(record.length, 1);
  ck_assert_uint_eq(record.peak, 2);
  ck_assert_uint_eq(record.peak_capacity, 131);
  ck_assert_uint_eq(record.limit, 4);
  ck_assert_uint_eq(record.members, 5);
  ck_assert_uint_eq(record.dropped, 6);
  ck_assert_uint_eq(record.overflows, 5);
  ck_assert_uint_eq(record.syn_overflows, 1);
  ck_assert_uint_eq(record.ack_overflows, 2);
  ck_assert_uint_eq(record.syn_length, 7);
  ck_assert(record.mean == 1.5 && record.used_percent == 40 && record.full_percent == 30);
  ck_assert(record.oldest_wait_seconds == 1.25);
  ck_assert_uint_eq(record.recent_peak, 2);
  ck_assert_uint_eq(record.recent_peak_capacity, 131);
  ck_assert_uint_eq(record.recent_dropped, 4);
  ck_assert_uint_eq(record.recent_overflows, 3);
  ck_assert(record.recent_used_percent == 40);
  ck_assert(record.recent_state == layout::State::stalled);
  ck_assert_uint_eq(record.arrivals, 8);
  ck_assert_uint_eq(record.accepts, 9);
  ck_assert_uint_eq(record.peak_bound, 13);
  ck_assert_uint_eq(record.day_peak, 15);
  ck_assert_uint_eq(record.enough, 14);
  ck_assert(record.wait_mean_seconds == 0.01 && record.wait_p50_seconds == 0.011 &&
            record.wait_p99_seconds == 0.012);
  ck_assert_uint_eq(record.wait_counts.front(), 1);
  ck_assert_uint_eq(record.wait_counts.back(), 12);
  ck_assert(record.wait_seconds == 2.5);
  assert_text(shown(record.clients), "1 of 1 from 10.0.0.7");
  ck_assert(is_about(record.counted_since_ns, span(0.5)));
  ck_assert(record.state == layout::State::stalled);
  ck_assert(record.cause == layout::Cause::not_accepting);
  ck_assert(record.limit_source == layout::LimitSource::stale);
  ck_assert(record.address_type == layout::AddressType::ipv4);
  ck_assert(record.address == identity.tcp.bytes);
  ck_assert_uint_eq(record.scope, 3);
  ck_assert_uint_eq(record.port, 80);
  ck_assert_uint_eq(record.net_namespace, 0);
}
END_TEST

START_TEST(what_is_not_known_is_absent) {
  Interval interval;
  ListenerIdentity identity;
  identity.address = "@a\xff";
  Row &row = interval.add("unix_abstract_a");
  row.identity = &identity;
  row.family = Family::unix_socket;
  row.precedence.stable = false;
  row.wait_p50 = 1s; // without its like
  // Expected, and not there.
  interval.add("gone").has_queue = false;
  // A sum of several.
  interval.table.rows.emplace_back().name = "tcp_unstable";

  const layout::Listener &record = interval.record("unix_abstract_a");
  ck_assert_uint_eq(record.has, layout::has_queue | layout::has_recent);
  ck_assert(record.address_type == layout::AddressType::none);
  assert_text(shown(record.path), "@a\\xff");
  ck_assert_uint_eq(interval.record("gone").has, layout::has_recent | layout::is_stable);
  ck_assert_uint_eq(interval.contents.listeners.size(), 2);
}
END_TEST

START_TEST(the_alarm_that_stands_and_the_worst_of_late) {
  Interval interval;
  Diagnosis overflowed;
  overflowed.cause = Cause::burst;
  overflowed.state = ListenerState::overflow;
  overflowed.overflowed = true;
  const Diagnosis healthy;
  (void)interval.alarms.update(std::array{AlarmInput{"a", &healthy, {}}}, 10s);
  (void)interval.alarms.update(std::array{AlarmInput{"a", &overflowed, {}}}, 10s);
  (void)interval.alarms.update(std::array{AlarmInput{"a", &healthy, {}}}, 10s);
  WindowFigures &queue = interval.add("a").queue;
  queue.peak = 9;
  queue.peak_queues = {.limit = 8, .members = 1};
  interval.add("b");
  const layout::Listener &record = interval.record("a");
  ck_assert(record.state == layout::State::ok);
  ck_assert(record.severity == layout::Severity::warning);
  ck_assert(record.alarm_state == layout::State::overflow);
  ck_assert(record.alarm_cause == layout::Cause::burst);
  ck_assert(interval.record("b").severity == layout::Severity::okay);
  ck_assert(interval.record("b").alarm_state == layout::State::ok);

  for (int i = 0; i < 3; ++i)
    (void)interval.alarms.update(std::array{AlarmInput{"a", &healthy, {}}}, 10s);
  interval.table.rows[0].queue.peak = 1;
  interval.table.rows[0].queue.peak_queues.limit = 20;
  const layout::Listener &later = interval.record("a");
  ck_assert(later.severity == layout::Severity::okay && later.alarm_state == layout::State::ok);
  ck_assert(later.recent_severity == layout::Severity::warning);
  ck_assert_uint_eq(later.recent_peak, 9);
  ck_assert_uint_eq(later.recent_peak_capacity, 9);
}
END_TEST

START_TEST(a_listener_that_was_idle_is_not_remembered) {
  Interval interval;
  interval.add("a").queue.peak_queues = {.limit = 8, .members = 1};
  WindowFigures &queue = interval.add("b").queue;
  queue.peak = 1;
  queue.peak_queues = {.limit = 8, .members = 1};
  const layout::Listener &record = interval.record("a");
  ck_assert_uint_eq(record.recent_peak, 0);
  ck_assert_uint_eq(record.recent_peak_capacity, 9);
  ck_assert_uint_eq(interval.recent.size(), 1);
}
END_TEST

START_TEST(the_header) {
  Interval interval;
  interval.table.host.emplace().dropped = 9;
  interval.table.host->unreported = 2;
  (void)interval.add("a");
  (void)interval.record("a");
  const layout::Header &header = interval.contents.header;
  ck_assert_uint_eq(header.has, layout::is_complete | layout::has_host | layout::has_host_dropped);
  ck_assert(is_about(header.taken_at_boot_ns, span(0.04)));
  ck_assert_int_eq(header.interval_ns, 10'000'000'000);
  ck_assert_int_eq(header.measured_ns, 9'900'000'000);
  ck_assert_int_eq(header.counted_since_ns, began_ns);
  ck_assert_uint_eq(header.dropped, 9);
  ck_assert_uint_eq(header.unreported, 2);

  interval.table.host->dropped.reset();
  (void)interval.record("a");
  ck_assert_uint_eq(header.has, layout::is_complete | layout::has_host);
  ck_assert_uint_eq(header.unreported, 2);

  interval.table.is_complete = false;
  interval.table.host.reset();
  interval.table.sampler.period = 25ms;
  interval.table.sampler.cpu_percent = 0.25;
  (void)interval.record("a");
  ck_assert_uint_eq(header.has, layout::has_period | layout::has_cpu);
  ck_assert(header.events == layout::Events::off);
  ck_assert(header.period_seconds == 0.025 && header.cpu_percent == 0.25);
}
END_TEST

START_TEST(a_clock_that_is_set_makes_no_table_older_or_younger) {
  for (const int years : {-40, 40}) {
    Interval interval;
    interval.table.taken_at += std::chrono::hours(24 * 365 * years);
    (void)interval.add("a");
    (void)interval.record("a");
    ck_assert(is_about(interval.contents.header.taken_at_boot_ns, span(0.04)));
  }
}
END_TEST

START_TEST(namespaces) {
  Interval interval;
  interval.table.kernels[0].limits = NetLimits{.somaxconn = 4096,
                                               .tcp_max_syn_backlog = std::nullopt,
                                               .tcp_syncookies = 1,
                                               .tcp_abort_on_overflow = std::nullopt};
  interval.table.kernels[0].counters.emplace().values[0] = 5;
  const std::string long_name(200, 'n');
  for (const std::string &name :
       {std::string("blue"), std::string("self"), std::string("a+b"), long_name, long_name + "2"}) {
    KernelRow &row = interval.table.kernels.emplace_back();
    row.net_namespace = name;
    row.drops_unattributed = name.size();
    row.counted_since = BootClock::now() - span(0.1);
    interval.add("in_" + name.substr(0, 90) + std::to_string(name.size())).net_namespace = name;
  }
  interval.add("own");

  const auto name_at = [&](const std::string &listener) {
    const std::uint32_t position = interval.record(listener).net_namespace;
    return shown(interval.contents.namespaces.at(position).name);
  };
  assert_text(name_at("own"), "self");
  assert_text(name_at("in_blue4"), "blue");
  // One that is called as the own one, and two whose names are too long to be told apart.
  assert_text(name_at("in_self4"), "self_");
  assert_text(name_at("in_" + long_name.substr(0, 90) + "200"), long_name.substr(0, 103));
  assert_text(name_at("in_" + long_name.substr(0, 90) + "201"), long_name.substr(0, 103));
  ck_assert(name_at("in_a+b3").starts_with("a-b_"));

  const auto &records = interval.contents.namespaces;
  ck_assert_uint_eq(records.size(), 5);
  ck_assert_uint_eq(records[0].has, layout::has_somaxconn | layout::has_tcp_syncookies);
  ck_assert_uint_eq(records[0].has_counter, 1);
  ck_assert_uint_eq(records[0].counters[0], 5);
  assert_text(shown(records[2].name), "blue");
  ck_assert_uint_eq(records[2].has, layout::has_unattributed);
  ck_assert_uint_eq(records[2].unattributed, 4);
  ck_assert(is_about(records[2].counted_since_ns, span(0.1)));
}
END_TEST

START_TEST(a_time_stays_the_same_from_table_to_table) {
  Interval interval;
  const auto since = BootClock::now() - span(0.5);
  for (int i = 0; i < 50; ++i) {
    interval.add("a" + std::to_string(i)).drops = DropTotals::Standing{6, since};
    interval.table.rows.back().overflows = DropTotals::Standing{5, since};
  }
  interval.table.kernels[0].counted_since = since;
  const std::int64_t first = interval.record("a0").counted_since_ns;
  ck_assert(is_about(first, span(0.5)));
  for (int table = 0; table < 20; ++table) {
    for (int i = 0; i < 50; i += 7)
      ck_assert_int_eq(interval.record("a" + std::to_string(i)).counted_since_ns, first);
    ck_assert_int_eq(interval.contents.namespaces[0].counted_since_ns, first);
  }
}
END_TEST

START_TEST(names_are_in_order_and_once) {
  Interval interval;
  std::uint64_t limit = 0;
  for (const char *name : {"c", "a", "b", "a"})
    interval.add(name).limit = ++limit;
  ck_assert_uint_eq(interval.record("a").limit, 2);
  std::string names;
  for (const layout::Listener &listener : interval.contents.listeners)
    names += layout::text_of(listener.name);
  assert_text(names, "abc");
}
END_TEST

int main() {
  return run_tests("table_encoder", a_listener_with_all_there_is_to_know,
                   what_is_not_known_is_absent, the_alarm_that_stands_and_the_worst_of_late,
                   a_listener_that_was_idle_is_not_remembered, the_header,
                   a_clock_that_is_set_makes_no_table_older_or_younger, namespaces,
                   a_time_stays_the_same_from_table_to_table, names_are_in_order_and_once);
}
