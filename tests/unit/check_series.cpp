#include "series.h"
#include "test_program.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <string>
#include <utility>
#include <vector>

using namespace backlog;
using namespace std::chrono_literals;

namespace {

/// All values of a table: "instance/type-type_instance" with the value, which is marked with +
/// where it is a counter's.
using Values = std::map<std::string, std::string>;

Values values_of(const Table &table, ValueSet set) {
  Values values;
  for_each_value(table, set, [&](const SeriesValue &series) {
    std::string key(series.plugin_instance);
    key += "/" + std::string(series.type) + "-" + std::string(series.type_instance);
    if (series.at_begin)
      key += " before";
    std::string text;
    if (const auto *counter = std::get_if<std::int64_t>(&series.value)) {
      text = "+" + std::to_string(*counter);
    } else {
      char number[32];
      (void)std::snprintf(number, sizeof number, "%g", std::get<double>(series.value));
      text = number;
    }
    ck_assert_msg(values.emplace(key, text).second, "%s twice", key.c_str());
  });
  return values;
}

void assert_values(const Values &actual, const Values &expected) {
  for (const auto &[key, value] : expected) {
    const auto found = actual.find(key);
    ck_assert_msg(found != actual.end(), "no %s", key.c_str());
    ck_assert_msg(found->second == value, "%s is %s, not %s", key.c_str(), found->second.c_str(),
                  value.c_str());
  }
  for (const auto &[key, value] : actual)
    ck_assert_msg(expected.contains(key), "%s is not expected", key.c_str());
}

Row tcp_row() {
  Row row;
  row.name = "tcp_any_80";
  row.queue = {.last = 3,
               .peak = 129,
               .peak_queues = {128, 2},
               .mean = 2.5,
               .full_percent = 12.5,
               .used_percent = 100};
  row.limit = 128;
  row.members = 2;
  row.dropped = 7;
  row.syn_length = 4;
  row.oldest_wait = 1500ms;
  row.diagnosis.emplace().state = ListenerState::overflow;
  row.has_series = true;
  return row;
}

const Values basic = {
    {"tcp_any_80/gauge-state", "2"},          {"tcp_any_80/packets-dropped", "+7"},
    {"tcp_any_80/queue_length-accept", "3"},  {"tcp_any_80/queue_length-accept_peak", "129"},
    {"tcp_any_80/queue_length-limit", "128"}, {"tcp_any_80/percent-used", "100"},
};

const Values only_full = {
    {"tcp_any_80/duration-oldest_wait", "1.5"}, {"tcp_any_80/queue_length-accept_mean", "2.5"},
    {"tcp_any_80/queue_length-syn", "4"},       {"tcp_any_80/percent-full", "12.5"},
    {"tcp_any_80/count-sockets", "2"},
};

Values joined(Values values, const Values &more) {
  values.insert(more.begin(), more.end());
  return values;
}

} // namespace

START_TEST(what_a_counter_was_before_comes_first) {
  Table table;
  table.rows = {tcp_row(), tcp_row()};
  table.rows[0].name = "tcp_any_79";
  table.rows[1].dropped_at_begin = 2;
  bool is_first = true;
  for_each_value(table, ValueSet::basic, [&](const SeriesValue &series) {
    ck_assert(series.at_begin == is_first);
    if (std::exchange(is_first, false))
      ck_assert(series.plugin_instance == "tcp_any_80" &&
                std::get<std::int64_t>(series.value) == 2);
  });
  table.rows[1].has_series = false;
  ck_assert(!values_of(table, ValueSet::basic).contains("tcp_any_80/packets-dropped before"));
}
END_TEST

START_TEST(values_of_a_listener) {
  Table table;
  table.rows = {tcp_row()};
  assert_values(values_of(table, ValueSet::basic), basic);
  assert_values(values_of(table, ValueSet::full), joined(basic, only_full));
}
END_TEST

START_TEST(what_is_unknown_is_absent) {
  Table table;
  table.rows = {tcp_row()};
  table.rows[0].dropped.reset();
  table.rows[0].syn_length.reset();
  table.rows[0].oldest_wait.reset();
  table.rows[0].diagnosis.reset();
  Values expected = joined(basic, only_full);
  expected.erase("tcp_any_80/packets-dropped");
  expected.erase("tcp_any_80/queue_length-syn");
  expected.erase("tcp_any_80/duration-oldest_wait");
  expected.erase("tcp_any_80/gauge-state");
  assert_values(values_of(table, ValueSet::full), expected);
}
END_TEST

START_TEST(absent_listener_has_its_counter_and_state_only) {
  Table table;
  table.rows = {tcp_row()};
  table.rows[0].has_queue = false;
  assert_values(values_of(table, ValueSet::full),
                {{"tcp_any_80/packets-dropped", "+7"}, {"tcp_any_80/gauge-state", "2"}});
}
END_TEST

START_TEST(rows_without_series_are_left_out) {
  Table table;
  table.rows = {tcp_row(), tcp_row()};
  table.rows[0].name = "tcp_any_81";
  table.rows[0].has_series = false;
  assert_values(values_of(table, ValueSet::basic), basic);
}
END_TEST

START_TEST(values_of_the_host) {
  Table table;
  table.host = HostFigures{.worst_used_percent = 62.5,
                           .listeners = 12,
                           .high = 4,
                           .overflow = 3,
                           .stalled = 1,
                           .missing = 5,
                           .unreported = 2,
                           .dropped = 5000000000};
  assert_values(values_of(table, ValueSet::basic), {{"host/percent-worst", "62.5"},
                                                    {"host/count-listeners", "12"},
                                                    {"host/count-high", "4"},
                                                    {"host/count-overflow", "3"},
                                                    {"host/count-stalled", "1"},
                                                    {"host/count-missing", "5"},
                                                    {"host/count-unreported", "2"},
                                                    {"host/packets-dropped", "+5000000000"}});
}
END_TEST

START_TEST(drops_of_the_host_that_are_not_known_are_absent) {
  Table table;
  table.host.emplace();
  const Values values = values_of(table, ValueSet::basic);
  ck_assert_uint_eq(values.size(), 7);
  ck_assert(!values.contains("host/packets-dropped"));
}
END_TEST

START_TEST(values_of_the_kernel) {
  Table table;
  KernelRow &kernel = table.kernels.emplace_back();
  kernel.instance = "kernel";
  kernel.counters.emplace();
  kernel.counters->values[static_cast<std::size_t>(Counter::ListenOverflows)] = 11;
  kernel.counters->values[static_cast<std::size_t>(Counter::AttemptFails)] = 0;
  kernel.drops_unattributed = 6;
  kernel.drops_unreported = 8;
  kernel.syn_total = 8;
  kernel.limits.emplace();
  kernel.limits->somaxconn = 4096;
  kernel.limits->tcp_syncookies = 1;
  assert_values(values_of(table, ValueSet::basic),
                {{"kernel/protocol_counter-ListenOverflows", "+11"},
                 {"kernel/protocol_counter-AttemptFails", "+0"},
                 {"kernel/packets-dropped_unattributed", "+6"},
                 {"kernel/packets-dropped_unreported", "+8"},
                 {"kernel/queue_length-syn", "8"},
                 {"kernel/gauge-somaxconn", "4096"},
                 {"kernel/gauge-tcp_syncookies", "1"}});

  kernel.limits->tcp_max_syn_backlog = 512;
  kernel.limits->tcp_abort_on_overflow = 0;
  for (auto &value : kernel.counters->values)
    value = 1;
  const Values all = values_of(table, ValueSet::basic);
  for (const char *counter :
       {"ListenOverflows", "ListenDrops", "TCPReqQFullDrop", "TCPReqQFullDoCookies",
        "SyncookiesSent", "SyncookiesRecv", "SyncookiesFailed", "EmbryonicRsts",
        "TCPDeferAcceptDrop", "TCPFastOpenListenOverflow", "TCPSynRetrans", "TCPTimeouts",
        "RetransSegs", "PassiveOpens", "AttemptFails"})
    assert_text(all.at(std::string("kernel/protocol_counter-") + counter), "+1");
  assert_text(all.at("kernel/gauge-tcp_max_syn_backlog"), "512");
  assert_text(all.at("kernel/gauge-tcp_abort_on_overflow"), "0");
  ck_assert_uint_eq(all.size(), 15 + 4 + 3);

  KernelRow &blue = table.kernels.emplace_back();
  blue.instance = "kernel_netns_blue";
  blue.syn_total = 3;
  assert_text(values_of(table, ValueSet::basic).at("kernel_netns_blue/queue_length-syn"), "3");
}
END_TEST

START_TEST(values_of_events) {
  Table table;
  Row &row = table.rows.emplace_back();
  row.name = "a";
  row.has_series = true;
  row.arrived = 70;
  row.accepted = 60;
  row.wait_mean = 5ms;
  row.wait_p99 = 2s;
  const auto basic = values_of(table, ValueSet::basic);
  const auto full = values_of(table, ValueSet::full);
  for (const auto &[key, value] :
       std::map<std::string, std::string>{{"connections-arrived", "+70"},
                                          {"connections-accepted", "+60"},
                                          {"duration-wait_mean", "0.005"},
                                          {"duration-wait_p99", "2"}}) {
    assert_text(full.at("a/" + key), value);
    ck_assert(!basic.contains("a/" + key));
  }
  ck_assert(!full.contains("a/duration-wait_p50")); // what is not known is absent
}
END_TEST

START_TEST(values_of_the_sampler) {
  Table table;
  assert_values(values_of(table, ValueSet::full), {});
  table.sampler = {.period = 25ms, .others_period = 2s, .cpu_percent = 0.25, .events = 2U};
  assert_values(values_of(table, ValueSet::basic), {{"sampler/duration-period", "0.025"},
                                                    {"sampler/duration-period_netns", "2"},
                                                    {"sampler/percent-cpu", "0.25"},
                                                    {"sampler/gauge-events", "2"}});
}
END_TEST

int main() {
  return run_tests("series", what_a_counter_was_before_comes_first, values_of_a_listener,
                   what_is_unknown_is_absent, absent_listener_has_its_counter_and_state_only,
                   rows_without_series_are_left_out, values_of_the_host,
                   drops_of_the_host_that_are_not_known_are_absent, values_of_the_kernel,
                   values_of_the_sampler, values_of_events);
}
