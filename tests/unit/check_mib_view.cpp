#include "mib_view.h"
#include "table_bytes.h"
#include "test_program.h"

#include <array>
#include <cmath>
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
    if (i % 11 == 0)
      row.has &= ~layout::has_dropped;
    row.length = 2 * i;
    row.peak = 3 * i;
    row.limit = 5 * i;
    row.dropped = 7 * i;
    row.overflows = (i % 2 == 0 ? 3 : 11) * i;
    row.syn_overflows = 2 * i;
    row.ack_overflows = i;
    row.waits_for = static_cast<std::uint32_t>(i % 5 == 0 ? (i + 1) % rows + 1 : 0);
    row.syn_length = 13 * i;
    row.members = static_cast<std::uint32_t>(i % 17);
    row.mean = static_cast<double>(i) / 19;
    row.used_percent = static_cast<double>(i % 101);
    row.full_percent = static_cast<double>(i % 97);
    row.oldest_wait_seconds = static_cast<double>(i) / 23;
    row.counted_since_ns = static_cast<std::int64_t>(i) * second;
    for (std::uint32_t bit = 4; bit < 16; ++bit)
      if (i % (bit + 1) == 0)
        row.has |= 1U << bit;
    row.recent_peak = 43 * i;
    row.recent_dropped = 47 * i;
    row.recent_overflows = 53 * i;
    row.recent_used_percent = static_cast<double>(i % 99);
    row.recent_state = static_cast<layout::State>(i % 4);
    row.recent_severity = static_cast<layout::Severity>((i + 1) % 3);
    row.alarm_state = static_cast<layout::State>((i + 2) % 5);
    row.alarm_cause = static_cast<layout::Cause>((i + 3) % 7);
    row.arrivals = 59 * i;
    row.accepts = 61 * i;
    row.wait_mean_seconds = static_cast<double>(i) / 67;
    row.wait_p50_seconds = static_cast<double>(i) / 71;
    row.wait_p99_seconds = static_cast<double>(i) / 73;
    row.peak_bound = 79 * i;
    row.enough = 83 * i;
    layout::set_text(row.clients, i % 2 == 0 ? "" : "client" + std::to_string(i));
    row.port = static_cast<std::uint16_t>(i);
    row.net_namespace = static_cast<std::uint32_t>(i % 3);
    row.state = static_cast<layout::State>(i % 5);
    row.cause = static_cast<layout::Cause>(i % 7);
    row.limit_source = static_cast<layout::LimitSource>(i % 4);
    row.severity = static_cast<layout::Severity>(i % 3);
    row.address = {static_cast<std::uint8_t>(i), 2, 3, 4};
    layout::set_text(row.owner, "owner" + std::to_string(i));
    layout::set_text(row.path, i % 2 == 0 ? "/run/" + std::to_string(i) : "");
  }
  contents.header.measured_ns = 4 * second;
  contents.header.events = layout::Events::drops;
  layout::Namespace &blue = contents.namespaces[1];
  blue.has = layout::has_unattributed | layout::has_tcp_syncookies;
  blue.unattributed = 29;
  blue.tcp_syncookies = 2;
  blue.counted_since_ns = 31 * second;
  blue.has_counter = 0x5001;
  blue.counters[0] = 37;
  blue.counters[14] = 41;
  return contents;
}

MibMoment current_moment() {
  return {.status = TableStatus::current, .now_ns = clock_ns(), .uptime_zero_ns = 0};
}

using Reference = std::map<Oid, MibValue>;

/// The MIB by its text: CRC-32 bit by bit, and the next free numbers one after the other.
std::map<std::uint32_t, std::size_t> by_index(const std::vector<std::string> &names) {
  std::map<std::uint32_t, std::size_t> rows;
  std::vector<std::pair<std::uint32_t, std::size_t>> late;
  for (std::size_t i = 0; i < names.size(); ++i) {
    std::uint32_t crc = 0xffffffff;
    for (const char c : names[i])
      for (int bit = 0; bit < 8; ++bit) {
        const bool odd = ((crc ^ (static_cast<unsigned char>(c) >> bit)) & 1U) != 0;
        crc = crc / 2 ^ (odd ? 0xedb88320U : 0U);
      }
    const std::uint32_t index = std::max((crc ^ 0xffffffffU) % 0x80000000U, 1U);
    if (!rows.try_emplace(index, i).second)
      late.emplace_back(index, i);
  }
  for (auto [index, i] : late) {
    while (!rows.try_emplace(index, i).second)
      index = index % 0x7fffffffU + 1;
  }
  return rows;
}

/// Every instance that there has to be, out of what is in the table.
class ReferenceMib {
public:
  ReferenceMib(const TableContents &contents, const MibMoment &moment)
      : contents_(contents), moment_(moment) {
    add_scalars();
    std::vector<std::string> names;
    for (const layout::Listener &row : contents.listeners)
      names.emplace_back(layout::text_of(row.name));
    for (const auto &[index, i] : by_index(names))
      add_listener(index, contents.listeners[i]);
    names.clear();
    for (const layout::Namespace &row : contents.namespaces)
      names.emplace_back(layout::text_of(row.name));
    for (const auto &[index, i] : by_index(names))
      add_namespace(index, contents.namespaces[i]);
  }
  const Reference &all() const { return all_; }

private:
  using Type = MibValue::Type;

  void put(Oid name, Type type, std::uint64_t number) {
    all_[std::move(name)] = {type, number, ""};
  }
  void put(Oid name, std::string text) {
    all_[std::move(name)] = {Type::octets, 0, std::move(text)};
  }
  void put_time(Oid name, std::int64_t ns) {
    put(std::move(name), Type::time_ticks,
        ns > moment_.uptime_zero_ns
            ? static_cast<std::uint64_t>((ns - moment_.uptime_zero_ns) / 10'000'000)
            : 0);
  }

  void add_scalars() {
    std::array<std::uint64_t, 5> states{};
    std::string worst;
    double most = -1;
    for (const layout::Listener &row : contents_.listeners) {
      ++states.at(static_cast<std::size_t>(row.state));
      if ((row.has & 1U) != 0 && row.used_percent > most) {
        most = row.used_percent;
        worst = layout::text_of(row.name);
      }
    }
    const layout::Header &header = contents_.header;
    put({1, 1, 1, 0}, Type::integer, 1);
    put({1, 1, 2, 0}, std::string("\x07\xe7\x0b\x0e\x16\x0d\x14\x01+\0\0", 11));
    put({1, 1, 3, 0}, Type::gauge,
        static_cast<std::uint64_t>(moment_.now_ns - header.taken_at_boot_ns) / 1'000'000);
    put({1, 1, 4, 0}, Type::gauge, 10000);
    put_time({1, 1, 5, 0}, moment_.last_change_ns);
    put({1, 1, 6, 0}, Type::gauge, contents_.listeners.size());
    for (std::uint32_t state = 1; state <= 4; ++state)
      put({1, 1, 6 + state, 0}, Type::gauge, states.at(state));
    put({1, 1, 11, 0}, Type::gauge, header.unreported);
    put({1, 1, 12, 0}, worst);
    if (most >= 0)
      put({1, 1, 13, 0}, Type::gauge, static_cast<std::uint64_t>(std::floor(most + 0.5)));
    put({1, 1, 14, 0}, Type::counter64, header.dropped);
    put_time({1, 1, 15, 0}, header.counted_since_ns);
    put({1, 1, 16, 0}, Type::counter32, moment_.notifications_sent);
    put({1, 1, 17, 0}, Type::counter32, moment_.notifications_superseded);
    put_time({1, 1, 18, 0}, moment_.began_ns);
    put({1, 1, 19, 0}, Type::integer, static_cast<std::uint64_t>(header.events));
    put({1, 1, 20, 0}, "2023-11-14T22:13:20Z");
  }

  void add_listener(std::uint32_t index, const layout::Listener &row) {
    const auto at = [&](std::uint32_t column) { return Oid{1, 2, 1, column, index}; };
    const auto rounded = [](double number) {
      return static_cast<std::uint64_t>(std::floor(number + 0.5));
    };
    put(at(2), std::string(layout::text_of(row.name)));
    put(at(3), Type::integer, static_cast<std::uint64_t>(row.state));
    if ((row.has & 1U) != 0) {
      put(at(4), Type::gauge, rounded(row.used_percent));
      put(at(5), Type::gauge, row.length);
      put(at(6), Type::gauge, row.peak);
      put(at(7), Type::gauge, row.limit);
      put(at(8), Type::gauge, rounded(1000 * row.mean));
      put(at(9), Type::gauge, rounded(row.full_percent));
      put(at(14), Type::gauge, row.members);
    }
    if ((row.has & 2U) != 0) {
      put(at(10), Type::counter64, row.dropped);
      put(at(11), Type::counter64, row.overflows);
      put_time(at(25), row.counted_since_ns);
    }
    if ((row.has & 4U) != 0)
      put(at(12), Type::gauge, row.syn_length);
    if ((row.has & 8U) != 0)
      put(at(13), Type::gauge, rounded(1000 * row.oldest_wait_seconds));
    put(at(15), Type::integer, static_cast<std::uint64_t>(row.cause));
    put(at(16), Type::integer, static_cast<std::uint64_t>(row.limit_source));
    put(at(17), Type::integer, static_cast<std::uint64_t>(row.severity));
    put(at(18), std::string(layout::text_of(row.message)));
    put(at(19), std::string(layout::text_of(row.owner)));
    put(at(20), Type::integer, 1);
    put(at(21), std::string(row.address.begin(), row.address.begin() + 4));
    put(at(22), Type::gauge, row.port);
    put(at(23), std::string(layout::text_of(row.path)));
    put(at(24), std::string(layout::text_of(contents_.namespaces.at(row.net_namespace).name)));
    add_later_columns(row, at);
  }

  template <class At> void add_later_columns(const layout::Listener &row, At at) {
    const auto rounded = [](double number) {
      return static_cast<std::uint64_t>(std::floor(number + 0.5));
    };
    const auto put_if = [&](std::uint32_t bit, std::uint32_t column, Type type,
                            std::uint64_t number) {
      if ((row.has >> bit & 1U) != 0)
        put(at(column), type, number);
    };
    put_if(4, 26, Type::gauge, row.recent_peak);
    put_if(4, 27, Type::gauge, rounded(row.recent_used_percent));
    put_if(5, 28, Type::gauge, row.recent_dropped);
    put_if(5, 29, Type::gauge, row.recent_overflows);
    put_if(4, 30, Type::integer, static_cast<std::uint64_t>(row.recent_state));
    put_if(4, 31, Type::integer, static_cast<std::uint64_t>(row.recent_severity));
    put(at(32), Type::integer, static_cast<std::uint64_t>(row.alarm_state));
    put(at(33), Type::integer, static_cast<std::uint64_t>(row.alarm_cause));
    put(at(34), Type::integer, (row.has & 0x2000U) != 0 ? 1 : 2);
    put(at(35), Type::integer, (row.has & 0x1000U) != 0 ? 1 : 2);
    if (contents_.header.measured_ns > 0) {
      const double seconds = static_cast<double>(contents_.header.measured_ns) / 1e9;
      put_if(6, 36, Type::gauge, rounded(1000 * static_cast<double>(row.arrivals) / seconds));
      put_if(7, 37, Type::gauge, rounded(1000 * static_cast<double>(row.accepts) / seconds));
    }
    put_if(8, 38, Type::gauge, rounded(1e6 * row.wait_mean_seconds));
    put_if(9, 39, Type::gauge, rounded(1e6 * row.wait_p50_seconds));
    put_if(9, 40, Type::gauge, rounded(1e6 * row.wait_p99_seconds));
    put_if(10, 41, Type::gauge, row.peak_bound);
    put_if(11, 42, Type::gauge, row.enough);
    put(at(43), std::string(layout::text_of(row.clients)));
    put_if(15, 44, Type::counter64, row.syn_overflows);
    put_if(15, 45, Type::counter64, row.ack_overflows);
    put_if(1, 46, Type::counter64, row.dropped > row.overflows ? row.dropped - row.overflows : 0);
    put(at(47), row.waits_for == 0
                    ? ""
                    : std::string(layout::text_of(contents_.listeners.at(row.waits_for - 1).name)));
  }

  void add_namespace(std::uint32_t index, const layout::Namespace &row) {
    const auto at = [&](std::uint32_t column) { return Oid{1, 3, 1, column, index}; };
    put(at(2), std::string(layout::text_of(row.name)));
    const std::array<std::int64_t, 4> sysctls{row.somaxconn, row.tcp_max_syn_backlog,
                                              row.tcp_syncookies, row.tcp_abort_on_overflow};
    for (std::uint32_t i = 0; i < 4; ++i)
      if ((row.has >> i & 1U) != 0)
        put(at(3 + i), Type::gauge, static_cast<std::uint64_t>(sysctls.at(i)));
    if ((row.has & 16U) != 0)
      put(at(7), Type::counter64, row.unattributed);
    put_time(at(9), row.counted_since_ns);
    if ((row.has & 32U) != 0)
      put(at(8), Type::gauge, row.syn_total);
    for (std::uint32_t i = 0; i < 15; ++i)
      if ((row.has_counter >> i & 1U) != 0)
        put(at(10 + i), Type::counter64, row.counters.at(i));
  }

  const TableContents &contents_;
  const MibMoment moment_;
  Reference all_;
};

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
    ck_assert(view.get(name) ==
              (exact == reference.end() ? std::nullopt : std::optional(exact->second)));
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
    const TableContents contents =
        many(static_cast<std::size_t>(rows), static_cast<std::size_t>(bytes));
    MibMoment moment = current_moment();
    moment.uptime_zero_ns = 5 * second;
    moment.last_change_ns = 43 * second;
    moment.began_ns = 59 * second;
    moment.notifications_sent = 47;
    moment.notifications_superseded = 53;
    const MibView view(snapshot_of(contents), moment);
    const ReferenceMib reference(contents, moment);
    assert_walk_is(view, reference.all());
    assert_any_next_is(view, reference.all(), random);
  }
}
END_TEST

START_TEST(names_that_meet_in_one_index) {
  // CRC-32s, by python3's zlib: the same; all bits set or the top one not, where the next number
  // is 1; and 0, which becomes 1.
  for (const auto &[names, indexes] :
       std::vector<std::pair<std::vector<std::string>, std::vector<std::uint32_t>>>{
           {{"unix_run_7kv-jj", "unix_run_a", "unix_run_y-l35jrjf1"},
            {108337934, layout::name_index("unix_run_a"), 108337935}},
           {{"unix_aaimkr93", "unix_ab3uinr9", "unix_abbg4ski"}, {0x7fffffff, 1, 2}},
           {{"unix_aa4nyz6l", "unix_aahrn49n", "unix_aaimkr93", "unix_ab3uinr9"},
            {1, 2, 0x7fffffff, 3}},
           {{"unix_aa4nyz6l", "unix_aa58k6aw", "unix_aad6ywy3", "unix_abf3-_cs"}, {1, 2, 3, 4}}}) {
    const TableContents contents = make_contents(names);
    const MibMoment moment = current_moment();
    const MibView view(snapshot_of(contents), moment);
    for (std::size_t i = 0; i < names.size(); ++i)
      assert_text(value_of(view, {1, 2, 1, mib::listener_name, indexes[i]}).octets, names[i]);
    assert_walk_is(view, ReferenceMib(contents, moment).all());
  }
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
  for (const bool has_host : {false, true}) {
    contents.header.has = layout::is_complete;
    if (has_host)
      contents.header.has |= layout::has_host;
    const MibView view(snapshot_of(contents), current_moment());
    for (const std::uint32_t number : {mib::dropped, mib::discontinuity_time})
      ck_assert(!view.get(Oid{1, 1, number, 0}));
    ck_assert(view.get(Oid{1, 1, mib::listeners_unreported, 0}).has_value() == has_host);
    ck_assert(view.get(Oid{1, 1, mib::listeners, 0}).has_value());
  }
}
END_TEST

START_TEST(a_notification_without_a_table_has_all_its_values) {
  MibMoment moment = current_moment();
  moment.status = TableStatus::absent;
  const MibView nothing(nullptr, moment);
  using Type = MibValue::Type;
  ck_assert(nothing.notification_value(mib::table_status) == (MibValue{Type::integer, 3, ""}));
  ck_assert(nothing.notification_value(mib::table_time) ==
            (MibValue{Type::octets, 0, std::string(8, '\0')}));
  ck_assert(nothing.notification_value(mib::table_age) == (MibValue{Type::gauge, 0xffffffff, ""}));
  const MibView view(snapshot_of(make_contents({})), current_moment());
  ck_assert(view.notification_value(mib::table_time) == value_of(view, {1, 1, mib::table_time, 0}));
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
  const TableContents contents = many(5, 6);
  const auto snapshot = snapshot_of(contents);
  for (const TableStatus status : {TableStatus::stale, TableStatus::absent, TableStatus::refused}) {
    MibMoment moment = current_moment();
    moment.status = status;
    TableContents without_rows = contents;
    without_rows.listeners.clear();
    without_rows.namespaces.clear();
    Reference reference = ReferenceMib(without_rows, moment).all();
    reference[{1, 1, 1, 0}] = {MibValue::Type::integer, static_cast<std::uint64_t>(status), ""};
    for (std::uint32_t in_state = 7; in_state <= 10; ++in_state)
      reference.erase({1, 1, in_state, 0});
    reference.erase({1, 1, 19, 0});
    assert_walk_is(MibView(snapshot, moment), reference);
  }
  MibMoment moment = current_moment();
  moment.status = TableStatus::absent;
  const MibView nothing(nullptr, moment);
  for (std::uint32_t number = 0; number <= mib::monitor_last + 1; ++number) {
    const bool of_the_table = (number >= 2 && number <= 4) ||
                              (number >= 7 && number <= 15 && number != 12) || number >= 19;
    ck_assert(nothing.get(Oid{1, 1, number, 0}).has_value() ==
              (number >= 1 && number <= mib::monitor_last && !of_the_table));
  }
  ck_assert(!nothing.next(Oid{1, 2}));
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
