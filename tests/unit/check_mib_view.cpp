#include "mib_view.h"
#include "table_bytes.h"
#include "test_program.h"

#include <map>
#include <random>
#include <string>
#include <vector>

using namespace backlog;

namespace {

constexpr std::int64_t second = 1'000'000'000;

std::shared_ptr<const Snapshot> snapshot_of(const TableContents &contents) {
  const std::string bytes = table_bytes(contents);
  auto [snapshot, refusal] = Snapshot::read(reader_of(bytes, 4096, bytes.size()));
  ck_assert_msg(snapshot != nullptr, "%s", refusal.c_str());
  return snapshot;
}

TableContents many(std::size_t rows, std::size_t name_bytes) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < rows; ++i) {
    std::string number = std::to_string(100000 + i);
    names.push_back(number.substr(0, name_bytes) +
                    std::string(name_bytes > number.size() ? name_bytes - number.size() : 0, 'x'));
  }
  TableContents contents = make_contents(names);
  for (std::size_t i = 0; i < rows; ++i) {
    layout::Listener &row = contents.listeners[i];
    if (i % 3 == 0)
      row.has |= layout::has_oldest_wait | layout::has_syn_length;
    if (i % 7 == 0)
      row.has &= ~layout::has_queue;
    row.peak = i;
  }
  return contents;
}

MibMoment current_moment() {
  return {.status = TableStatus::current, .now_ns = clock_ns(), .uptime_zero_ns = 0};
}

using Reference = std::map<Oid, MibValue>;

/// Every instance there can be, asked for one by one.
Reference reference_of(const MibView &view, const Snapshot *snapshot) {
  Reference all;
  const auto add = [&](const Oid &name) {
    if (const auto value = view.get(name))
      all.emplace(name, *value);
  };
  for (std::uint32_t n = 0; n <= mib::monitor_last + 1; ++n)
    add({1, 1, n, 0});
  if (snapshot == nullptr)
    return all;
  for (std::uint32_t column = 0; column <= mib::listener_last + 1; ++column)
    for (const Snapshot::Listener &listener : snapshot->listeners())
      add({1, 2, 1, column, listener.index});
  for (std::uint32_t column = 0; column <= mib::ns_last + 1; ++column)
    for (const auto &[index, position] : snapshot->namespace_order())
      add({1, 3, 1, column, index});
  return all;
}

void assert_walk_is(const MibView &view, const Reference &reference) {
  Oid at;
  for (const auto &[name, value] : reference) {
    const auto found = view.next(at);
    ck_assert(found.has_value());
    ck_assert(found->first == name);
    ck_assert(found->second == value);
    at = found->first;
  }
  ck_assert(!view.next(at).has_value());
}

void assert_any_next_is(const MibView &view, const Reference &reference, std::mt19937 &random) {
  std::vector<Oid> names;
  for (const auto &[name, value] : reference)
    names.push_back(name);
  const auto pick = [&](std::uint32_t most) {
    return static_cast<std::uint32_t>(random() % (std::uint64_t{most} + 1));
  };
  for (int round = 0; round < 3000; ++round) {
    Oid name;
    if (round % 2 == 0 && !names.empty())
      name = names[random() % names.size()];
    else
      for (std::uint32_t i = pick(8); i > 0; --i)
        name.push_back(pick(5));
    switch (pick(4)) {
    case 0:
      name.push_back(pick(2) == 0 ? 0xffffffff : pick(3));
      break;
    case 1:
      if (!name.empty())
        name.pop_back();
      break;
    case 2:
      if (!name.empty())
        name[random() % name.size()] += pick(2) - 1;
      break;
    default:
      break;
    }
    const auto expected = reference.upper_bound(name);
    const auto found = view.next(name);
    ck_assert(found.has_value() == (expected != reference.end()));
    if (found)
      ck_assert(found->first == expected->first && found->second == expected->second);
    const auto exact = reference.find(name);
    ck_assert(view.get(name).has_value() == (exact != reference.end()));
  }
}

MibValue value_of(const MibView &view, const Oid &name) {
  const auto value = view.get(name);
  ck_assert(value.has_value());
  return *value;
}

} // namespace

START_TEST(get_and_next_against_a_map) {
  std::mt19937 random(1);
  for (const auto &[rows, bytes] :
       {std::pair{0, 6}, {1, 1}, {1, 100}, {9, 100}, {300, 100}, {10000, 6}}) {
    const auto snapshot =
        snapshot_of(many(static_cast<std::size_t>(rows), static_cast<std::size_t>(bytes)));
    const MibView view(snapshot, current_moment());
    const Reference reference = reference_of(view, snapshot.get());
    ck_assert_uint_ge(reference.size(), 17 + 15U * static_cast<unsigned>(rows));
    assert_walk_is(view, reference);
    assert_any_next_is(view, reference, random);
  }
}
END_TEST

START_TEST(names_that_meet_in_one_index) {
  const auto snapshot =
      snapshot_of(make_contents({"unix_run_7kv-jj", "unix_run_a", "unix_run_y-l35jrjf1"}));
  const MibView view(snapshot, current_moment());
  assert_text(value_of(view, {1, 2, 1, mib::listener_name, 108337934}).octets, "unix_run_7kv-jj");
  assert_text(value_of(view, {1, 2, 1, mib::listener_name, 108337935}).octets,
              "unix_run_y-l35jrjf1");
  assert_walk_is(view, reference_of(view, snapshot.get()));
}
END_TEST

START_TEST(values) {
  TableContents contents = make_contents({"tcp_any_80", "unix_run_x"});
  layout::Listener &tcp = contents.listeners[0];
  tcp.has = layout::listener_values;
  tcp.state = layout::State::overflow;
  tcp.cause = layout::Cause::burst;
  tcp.limit_source = layout::LimitSource::somaxconn;
  tcp.severity = layout::Severity::failure;
  tcp.used_percent = 99.5;
  tcp.length = 7;
  tcp.peak = std::uint64_t{1} << 40U;
  tcp.limit = 0xffffffff;
  tcp.mean = 1.2345;
  tcp.full_percent = 2.4;
  tcp.dropped = 0x123456789abcdef0;
  tcp.overflows = 12;
  tcp.syn_length = 3;
  tcp.oldest_wait_seconds = 0.25;
  tcp.members = 4;
  tcp.address = {0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  tcp.scope = 3;
  tcp.address_type = layout::AddressType::ipv6;
  tcp.port = 8080;
  tcp.net_namespace = 1;
  tcp.counted_since_ns = 5 * second;
  layout::set_text(tcp.owner, "nginx.service");
  layout::Listener &local = contents.listeners[1];
  local.address_type = layout::AddressType::none;
  local.port = 0;
  local.has = 0;
  layout::set_text(local.path, "/run/x");
  contents.header.taken_at_boot_ns = 100 * second;
  contents.header.dropped = 9;
  contents.header.unreported = 2;

  const MibView view(snapshot_of(contents), {.status = TableStatus::current,
                                             .now_ns = 101 * second,
                                             .uptime_zero_ns = 2 * second,
                                             .last_change_ns = 50 * second,
                                             .notifications_sent = 6,
                                             .notifications_superseded = 5});
  using Type = MibValue::Type;
  const std::uint32_t index = layout::name_index("tcp_any_80");
  const auto number = [&](std::uint32_t column, Type type, std::uint64_t expected) {
    const MibValue value = value_of(view, {1, 2, 1, column, index});
    ck_assert(value.type == type);
    ck_assert_uint_eq(value.number, expected);
  };
  const auto text = [&](std::uint32_t column, const std::string &expected) {
    assert_text(value_of(view, {1, 2, 1, column, index}).octets, expected);
  };
  text(mib::listener_name, "tcp_any_80");
  number(mib::listener_state, Type::integer, 2);
  number(mib::listener_used, Type::gauge, 100);
  number(mib::listener_length, Type::gauge, 7);
  number(mib::listener_peak, Type::gauge, 0xffffffff);
  number(mib::listener_limit, Type::gauge, 0xffffffff);
  number(mib::listener_mean, Type::gauge, 1235);
  number(mib::listener_full, Type::gauge, 2);
  number(mib::listener_dropped, Type::counter64, 0x123456789abcdef0);
  number(mib::listener_overflows, Type::counter64, 12);
  number(mib::listener_syn_length, Type::gauge, 3);
  number(mib::listener_oldest_wait, Type::gauge, 250);
  number(mib::listener_members, Type::gauge, 4);
  number(mib::listener_cause, Type::integer, 1);
  number(mib::listener_limit_source, Type::integer, 2);
  number(mib::listener_severity, Type::integer, 2);
  text(mib::listener_message, "all is well");
  text(mib::listener_owner, "nginx.service");
  number(mib::listener_address_type, Type::integer, 4);
  text(mib::listener_address, std::string("\xfe\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\3", 20));
  number(mib::listener_port, Type::gauge, 8080);
  text(mib::listener_path, "");
  text(mib::listener_namespace, "blue");
  number(mib::listener_discontinuity_time, Type::time_ticks, 300);

  const std::uint32_t other = layout::name_index("unix_run_x");
  ck_assert(!view.get(Oid{1, 2, 1, mib::listener_used, other}));
  ck_assert(!view.get(Oid{1, 2, 1, mib::listener_dropped, other}));
  ck_assert_uint_eq(value_of(view, {1, 2, 1, mib::listener_address_type, other}).number, 0);
  assert_text(value_of(view, {1, 2, 1, mib::listener_address, other}).octets, "");
  assert_text(value_of(view, {1, 2, 1, mib::listener_path, other}).octets, "/run/x");

  ck_assert_uint_eq(value_of(view, {1, 1, mib::table_status, 0}).number, 1);
  assert_text(value_of(view, {1, 1, mib::table_time, 0}).octets,
              std::string("\x07\xe7\x0b\x0e\x16\x0d\x14\x01+\0\0", 11));
  ck_assert_uint_eq(value_of(view, {1, 1, mib::table_age, 0}).number, 1000);
  ck_assert_uint_eq(value_of(view, {1, 1, mib::table_interval, 0}).number, 10000);
  ck_assert_uint_eq(value_of(view, {1, 1, mib::table_last_change, 0}).number, 4800);
  ck_assert_uint_eq(value_of(view, {1, 1, mib::listeners, 0}).number, 2);
  ck_assert_uint_eq(value_of(view, {1, 1, mib::listeners_overflow, 0}).number, 1);
  ck_assert_uint_eq(value_of(view, {1, 1, mib::listeners_unreported, 0}).number, 2);
  assert_text(value_of(view, {1, 1, mib::worst_name, 0}).octets, "tcp_any_80");
  ck_assert_uint_eq(value_of(view, {1, 1, mib::worst_used, 0}).number, 100);
  ck_assert_uint_eq(value_of(view, {1, 1, mib::dropped, 0}).number, 9);
  ck_assert_uint_eq(value_of(view, {1, 1, mib::notifications_sent, 0}).number, 6);
  ck_assert_uint_eq(value_of(view, {1, 1, mib::notifications_superseded, 0}).number, 5);
  const std::uint32_t self = layout::name_index("self");
  assert_text(value_of(view, {1, 3, 1, mib::ns_name, self}).octets, "self");
  ck_assert_uint_eq(value_of(view, {1, 3, 1, mib::ns_somaxconn, self}).number, 4096);
  ck_assert(!view.get(Oid{1, 3, 1, mib::ns_first_counter, self}));
}
END_TEST

START_TEST(a_table_that_is_not_complete) {
  TableContents contents = make_contents({"a"});
  contents.header.has = 0;
  const MibView view(snapshot_of(contents), current_moment());
  ck_assert_uint_eq(value_of(view, {1, 1, mib::table_status, 0}).number, 5);
  assert_text(value_of(view, {1, 2, 1, mib::listener_name, layout::name_index("a")}).octets, "a");
}
END_TEST

START_TEST(what_the_host_as_a_whole_does_not_have_is_absent) {
  TableContents contents = make_contents({"a"});
  contents.header.has = layout::is_complete;
  const MibView view(snapshot_of(contents), current_moment());
  for (const std::uint32_t number :
       {mib::listeners_unreported, mib::dropped, mib::discontinuity_time})
    ck_assert(!view.get(Oid{1, 1, number, 0}));
  ck_assert(view.get(Oid{1, 1, mib::listeners, 0}).has_value());
}
END_TEST

START_TEST(a_notification_without_a_table_has_all_its_values) {
  MibMoment moment = current_moment();
  moment.status = TableStatus::absent;
  const MibView nothing(nullptr, moment);
  using Type = MibValue::Type;
  ck_assert(nothing.value_to_tell(mib::table_status) == (MibValue{Type::integer, 3, ""}));
  ck_assert(nothing.value_to_tell(mib::table_time) ==
            (MibValue{Type::octets, 0, std::string(8, '\0')}));
  ck_assert(nothing.value_to_tell(mib::table_age) == (MibValue{Type::gauge, 0xffffffff, ""}));
  const MibView view(snapshot_of(make_contents({})), current_moment());
  ck_assert(view.value_to_tell(mib::table_time) == value_of(view, {1, 1, mib::table_time, 0}));
}
END_TEST

START_TEST(an_event_before_the_agent_began_is_at_0) {
  const auto snapshot = snapshot_of(make_contents({"a"}));
  const MibView view(snapshot, {.status = TableStatus::current,
                                .now_ns = clock_ns(),
                                .uptime_zero_ns = 10 * second,
                                .last_change_ns = 9 * second});
  ck_assert_uint_eq(value_of(view, {1, 1, mib::table_last_change, 0}).number, 0);
}
END_TEST

START_TEST(without_a_current_table_there_are_no_rows) {
  const auto snapshot = snapshot_of(many(5, 6));
  for (const TableStatus status : {TableStatus::stale, TableStatus::absent, TableStatus::refused}) {
    MibMoment moment = current_moment();
    moment.status = status;
    const MibView view(snapshot, moment);
    const Reference reference = reference_of(view, snapshot.get());
    ck_assert_uint_eq(reference.size(), mib::monitor_last);
    assert_walk_is(view, reference);
    ck_assert_uint_eq(value_of(view, {1, 1, mib::table_status, 0}).number,
                      static_cast<std::uint64_t>(status));
    ck_assert_uint_eq(value_of(view, {1, 1, mib::listeners, 0}).number, 0);
    assert_text(value_of(view, {1, 1, mib::worst_name, 0}).octets, "");
  }
  MibMoment moment = current_moment();
  moment.status = TableStatus::absent;
  const MibView nothing(nullptr, moment);
  assert_walk_is(nothing, reference_of(nothing, nullptr));
  ck_assert(!nothing.get(Oid{1, 1, mib::table_age, 0}));
}
END_TEST

START_TEST(objects_and_instances) {
  ck_assert(MibView::is_object(Oid{1, 1, 1, 0}));
  ck_assert(MibView::is_object(Oid{1, 1, 1, 7, 7}));
  ck_assert(MibView::is_object(Oid{1, 2, 1, 2, 5}));
  ck_assert(!MibView::is_object(Oid{1, 2, 1, mib::listener_index, 5}));
  ck_assert(!MibView::is_object(Oid{1, 2, 1, mib::listener_last + 1, 5}));
  ck_assert(!MibView::is_object(Oid{1, 2, 1}));
  ck_assert(!MibView::is_object(Oid{}));
  ck_assert(!MibView::is_object(Oid{2, 1}));
}
END_TEST

int main() {
  return run_tests("mib_view", get_and_next_against_a_map, names_that_meet_in_one_index, values,
                   a_table_that_is_not_complete, what_the_host_as_a_whole_does_not_have_is_absent,
                   a_notification_without_a_table_has_all_its_values,
                   an_event_before_the_agent_began_is_at_0,
                   without_a_current_table_there_are_no_rows, objects_and_instances);
}
