#include "table_builder.h"
#include "test_program.h"
#include "watch.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

using namespace backlog;
using namespace std::chrono_literals;

namespace {

/// One listener of a hand-made harvest.
struct Told {
  std::string name;
  std::uint64_t peak = 0;
  std::uint64_t drops = 0;
  std::uint32_t members = 1;
  bool unstable = false;
  bool has_id = false;
  std::string address{}; ///< of a Unix listener
};

ListenerHarvest harvested(const Told &told) {
  ListenerHarvest listener;
  listener.interval.identity.name = told.name;
  listener.interval.identity.has_id = told.has_id;
  listener.interval.identity.address = told.address;
  listener.interval.unstable = told.unstable;
  listener.interval.members = told.members;
  listener.interval.counted = told.members;
  listener.interval.limit = 128;
  listener.interval.queue.peak = told.peak;
  listener.interval.queue.used_percent = static_cast<double>(told.peak);
  listener.dropped.drops = told.drops;
  return listener;
}

FamilyHarvest kind_of(const std::vector<Told> &listeners) {
  FamilyHarvest kind;
  kind.read = true;
  kind.drops_known = true;
  for (const Told &told : listeners) {
    kind.listeners.push_back(harvested(told));
    if (!told.unstable)
      continue;
    kind.aggregate.interval.members += told.members;
    kind.aggregate.dropped.drops += told.drops;
    kind.aggregate.interval.queue.peak += told.peak;
  }
  return kind;
}

struct Settings {
  std::vector<std::string> listener{}; ///< Listener
  bool ignore_selected = false;
  std::size_t max_listeners = 200;
  std::vector<WatchSettings> watches{};
};

/// A builder and its last table.
class Tables {
public:
  explicit Tables(const Settings &settings = {}) : builder_(config_of(settings)) {}

  void build(const std::vector<Told> &tcp, const std::vector<Told> &unix_sockets = {}) {
    Harvest harvest;
    harvest.measured = measured;
    harvest.own.tcp = kind_of(tcp);
    harvest.own.unix_sockets = kind_of(unix_sockets);
    harvest.own.drops_known = true;
    harvest.own.drops_counted = unattributed;
    for (const ListenerHarvest &listener : harvest.own.tcp.listeners)
      harvest.own.drops_counted += listener.dropped.drops;
    take(harvest);
  }
  void take(const Harvest &harvest, const std::optional<Survey> &survey = {}) {
    table = builder_.build(harvest, survey, interval);
  }

  /// The names of the rows that have series, in order; and with "=" their counters.
  std::string series() const {
    std::vector<std::string> names;
    for (const Row &row : table.rows)
      if (row.has_series)
        names.push_back(
            row.name + (row.dropped && *row.dropped > 0 ? "=" + std::to_string(*row.dropped) : ""));
    std::sort(names.begin(), names.end());
    std::string text;
    for (const std::string &name : names)
      text += (text.empty() ? "" : " ") + name;
    return text;
  }

  const Row &row(const std::string &name) const {
    const auto found = std::find_if(table.rows.begin(), table.rows.end(),
                                    [&](const Row &row) { return row.name == name; });
    ck_assert_msg(found != table.rows.end(), "no row %s", name.c_str());
    return *found;
  }

  Table table;
  std::chrono::duration<double> interval = 10s;
  std::chrono::nanoseconds measured = 10s;
  std::uint64_t unattributed = 0; ///< in each interval

private:
  static std::shared_ptr<const Config> config_of(const Settings &settings) {
    auto config = std::make_shared<Config>();
    for (const std::string &entry : settings.listener)
      ck_assert(!config->listeners.add(entry));
    config->listeners.ignore_selected(settings.ignore_selected);
    config->max_listeners = settings.max_listeners;
    for (const WatchSettings &watch : settings.watches)
      config->watches.push_back(make_watch(watch));
    return config;
  }

  TableBuilder builder_;
};

} // namespace

START_TEST(tcp_series_begin_with_the_second_harvest) {
  Tables tables;
  tables.build({{"a"}, {"b"}});
  assert_text(tables.series(), "");
  ck_assert_uint_eq(tables.table.rows.size(), 2);
  tables.build({{"a"}, {"c"}});
  assert_text(tables.series(), "a");
  tables.build({{"b"}, {"c"}});
  assert_text(tables.series(), "c");
}
END_TEST

START_TEST(tcp_series_begin_at_once_with_a_drop_or_by_name) {
  Tables tables({.listener = {"named", "/^tcp_/"}});
  tables.build({{"named"}, {"tcp_1"}, {"other"}});
  assert_text(tables.series(), "named tcp_1");
  ck_assert_uint_eq(tables.table.rows.size(), 2); // `other` is not selected

  Tables all;
  all.build({{"quiet", 10}, {.name = "drops", .drops = 3}, {"full", 128}});
  assert_text(all.series(), "drops=3 full");
}
END_TEST

// IgnoreSelected neither requests the listeners that it names nor those that it leaves.
START_TEST(ignored_ones_have_no_row) {
  Tables tables({.listener = {"a"}, .ignore_selected = true});
  tables.build({{"a"}, {"b"}});
  assert_text(tables.series(), "");
  ck_assert_uint_eq(tables.table.rows.size(), 1);
  ck_assert_uint_eq(tables.table.host->listeners, 1);
}
END_TEST

START_TEST(unix_series_begin_when_seen_not_empty_or_by_name) {
  Tables tables;
  tables.build({}, {{"idle"}, {"busy", 1}});
  assert_text(tables.series(), "busy");
  tables.build({}, {{"idle"}, {"busy"}});
  assert_text(tables.series(), "busy");
  tables.build({}, {{"idle"}});
  tables.build({}, {{"idle"}, {"busy"}});
  assert_text(tables.series(), "");

  Tables named({.listener = {"idle"}});
  named.build({}, {{"idle"}});
  assert_text(named.series(), "idle");
}
END_TEST

START_TEST(unix_listeners_have_no_counters) {
  Tables tables;
  Survey survey;
  survey.own.syn_queues = SynQueueLengths{.total = 3, .by_listener = {{"u", 3}}};
  Harvest harvest;
  harvest.own.tcp = kind_of({});
  harvest.own.unix_sockets = kind_of({{"u", 1}, {.name = "f", .peak = 1, .unstable = true}});
  tables.take(harvest, survey);
  for (const Row &row : tables.table.rows) {
    ck_assert(row.family != Family::tcp);
    ck_assert(!row.dropped);
    ck_assert(!row.syn_length);
  }
}
END_TEST

START_TEST(folded_ones_have_a_row_and_one_series_together) {
  Tables tables;
  for (int i = 0; i < 3; ++i)
    tables.build({{.name = "x", .peak = 3, .unstable = true},
                  {.name = "y", .peak = 4, .members = 2, .unstable = true},
                  {"a"}},
                 {{.name = "u", .peak = 9, .unstable = true}});
  assert_text(tables.series(), "a tcp_unstable unix_unstable");
  ck_assert_uint_eq(tables.row("tcp_unstable").queue.peak, 7);
  ck_assert_uint_eq(tables.row("tcp_unstable").members, 3);
  ck_assert_uint_eq(tables.row("x").queue.peak, 3);
  ck_assert_uint_eq(tables.table.host->unreported, 0);
  ck_assert_uint_eq(tables.table.host->listeners, 4);
  tables.build({{"a"}});
  assert_text(tables.series(), "a");
}
END_TEST

START_TEST(without_places_the_fold_has_no_series_either) {
  Tables tables({.max_listeners = 0});
  for (int i = 0; i < 3; ++i)
    tables.build({{.name = "x", .peak = 3, .drops = 1, .unstable = true}, {"a"}},
                 {{.name = "u", .peak = 9, .unstable = true}});
  assert_text(tables.series(), "");
  ck_assert_uint_eq(tables.row("tcp_unstable").queue.peak, 3);
}
END_TEST

START_TEST(fold_tells_its_drops_though_its_last_listener_went) {
  Tables tables;
  tables.build({{.name = "x", .drops = 2, .unstable = true}});
  tables.build({{.name = "x", .unstable = true}});
  assert_text(tables.series(), "tcp_unstable=2");
  tables.build({{.name = "x", .drops = 5, .members = 0, .unstable = true}});
  assert_text(tables.series(), "tcp_unstable=7");
  ck_assert(!tables.row("tcp_unstable").has_queue);
  tables.build({{.name = "y", .unstable = true}});
  assert_text(tables.series(), "tcp_unstable=7");
}
END_TEST

START_TEST(listener_that_went_tells_its_counter_only) {
  Tables tables;
  tables.build({{.name = "a", .drops = 1}, {"b"}});
  tables.build({{"a"}, {"b"}});
  tables.build({{.name = "a", .peak = 100, .drops = 4, .members = 0}, {.name = "b", .members = 0}});
  assert_text(tables.series(), "a=5 b");
  ck_assert(!tables.row("a").has_queue);
  ck_assert_uint_eq(tables.table.host->listeners, 0);
  ck_assert_double_eq(tables.table.host->worst_used_percent, 0);
  tables.build({});
  ck_assert(tables.table.rows.empty());
}
END_TEST

START_TEST(listener_that_went_without_a_series_gets_none) {
  Tables tables;
  tables.build({{.name = "a", .members = 0}});
  assert_text(tables.series(), "");
}
END_TEST

START_TEST(counters_begin_with_0_and_survive_restarts) {
  Tables tables;
  tables.build({{.name = "a", .drops = 3}});
  assert_text(tables.series(), "a=3");
  ck_assert(tables.row("a").dropped_at_begin == 0U);
  tables.build({{.name = "a", .drops = 2}});
  assert_text(tables.series(), "a=5");
  ck_assert(!tables.row("a").dropped_at_begin);
  tables.build({{.name = "a", .members = 0}});
  tables.build({});
  tables.build({{.name = "a", .drops = 1}});
  assert_text(tables.series(), "a=6");
  ck_assert(tables.row("a").dropped_at_begin == 5U);
}
END_TEST

// Where the drops are told: what has a series, what has none and what is nobody's add up.
START_TEST(each_drop_is_told_once) {
  struct Case {
    const char *what;
    Settings settings{};
    std::vector<std::vector<Told>> intervals{};
    const char *told; ///< after the last of them
  };
  const Told a{"a"};
  const Told b{"b"};
  for (const Case &c : std::vector<Case>{
           {.what = "in a series",
    .intervals = {{a}, {{.name = "a", .drops = 5}}},
    .told = "a=5; unreported 0"},
           {.what = "in the first interval",
           .intervals = {{{.name = "a", .drops = 5}}},
           .told = "a=5; unreported 0"},
           {.what = "of one that went",
           .intervals = {{a}, {{.name = "a", .drops = 5, .members = 0}}, {}},
           .told = "a=5; unreported 0"},
           {.what = "of one that came and went",
           .intervals = {{}, {{.name = "a", .drops = 5, .members = 0}}, {}},
           .told = "a=5; unreported 0"},
           {.what = "of one that is not selected",
           .settings = {.listener = {"a"}},
           .intervals = {{a, {.name = "b", .drops = 3}}, {a, {.name = "b", .drops = 4}}},
           .told = "a=0; unreported 7"},
           {.what = "beside a full quota",
           .settings = {.max_listeners = 1},
           .intervals = {{a, b}, {a, b}, {a, {.name = "b", .drops = 4}}},
           .told = "a=0 b=4; unreported 0"},
           {.what = "beside a quota that has no extra place left",
           .settings = {.max_listeners = 1},
           .intervals = {{a, b, {"c"}},
                         {a, b, {"c"}},
                         {a, {.name = "b", .drops = 4}, {"c"}},
                         {a, {.name = "b", .drops = 1}, {.name = "c", .drops = 6}}},
           .told = "a=0 b=5; unreported 6"},
           {.what = "of one that gets its series later",
           .settings = {.max_listeners = 1},
           .intervals = {{a,
                          {.name = "b", .drops = 4},
                          {.name = "c", .drops = 2},
                          {.name = "d", .drops = 5}},
                         {{.name = "c", .drops = 1}, {.name = "d", .drops = 3}}},
           .told = "b=4 c=3 d=3; unreported 5"},
           {.what = "without any place",
           .settings = {.max_listeners = 0},
           .intervals = {{{.name = "a", .drops = 5}}},
           .told = "; unreported 5"},
           {.what = "of the unstable",
           .intervals = {{{.name = "x", .drops = 2, .unstable = true}},
                         {{.name = "x", .drops = 3, .members = 0, .unstable = true}}},
           .told = "tcp_unstable=5; unreported 0"},
           {.what = "of the unstable without any place",
           .settings = {.max_listeners = 0},
           .intervals = {{{.name = "x", .drops = 2, .unstable = true}}},
           .told = "; unreported 2"},
           {.what = "under a name that one listener has after the other",
           .settings = {.watches = {{"/^[ab]$/", "web", false}}},
           .intervals = {{{.name = "a", .drops = 5}}, {}, {{.name = "b", .drops = 2}}},
           .told = "web=7; unreported 0"},
       }) {
    Tables tables(c.settings);
    tables.unattributed = 1;
    std::map<std::string, std::uint64_t> counters;
    std::uint64_t listen_drops = 0;
    for (const std::vector<Told> &interval : c.intervals) {
      for (const Told &told : interval)
        listen_drops += told.drops;
      tables.build(interval);
      for (const Row &row : tables.table.rows) {
        if (!row.has_series)
          continue;
        ck_assert_uint_ge(*row.dropped, counters[row.name]);
        ck_assert(!row.dropped_at_begin || *row.dropped_at_begin == counters[row.name]);
        counters[row.name] = *row.dropped;
      }
      listen_drops += 1;
      const KernelRow &kernel = tables.table.kernels.front();
      std::uint64_t sum = *kernel.drops_unattributed + *kernel.drops_unreported;
      for (const auto &[name, drops] : counters)
        sum += drops;
      assert_text(std::string(c.what) + " " + std::to_string(sum),
                  std::string(c.what) + " " + std::to_string(listen_drops));
      ck_assert(tables.table.host->dropped == listen_drops);
    }
    std::string text;
    for (const auto &[name, drops] : counters)
      text += (text.empty() ? "" : " ") + name + "=" + std::to_string(drops);
    text += "; unreported " + std::to_string(*tables.table.kernels.front().drops_unreported);
    assert_text(std::string(c.what) + ": " + text, std::string(c.what) + ": " + c.told);
  }
}
END_TEST

// Its drops are known, and told with the namespace's counter; who they are is told with the next.
START_TEST(drops_of_those_that_could_not_be_read) {
  Tables tables;
  tables.build({{"a"}, {.name = "x", .unstable = true}});
  Harvest harvest;
  harvest.own.drops_known = true;
  harvest.own.drops_counted = 9;
  harvest.own.tcp.unlisted_drops = 7;
  tables.take(harvest);
  ck_assert(tables.table.kernels.front().drops_unreported == 7U);
  ck_assert(tables.table.kernels.front().drops_unattributed == 2U);
  harvest.own.tcp =
      kind_of({{.name = "a", .drops = 6}, {.name = "x", .drops = 3, .unstable = true}});
  harvest.own.tcp.listeners[0].counted_before = 5;
  harvest.own.tcp.listeners[1].counted_before = 2;
  harvest.own.tcp.aggregate.counted_before = 2;
  harvest.own.drops_counted = 2;
  tables.take(harvest);
  assert_text(tables.series(), "a=1 tcp_unstable=1");
  ck_assert_uint_eq(tables.row("a").drops->drops, 6);
  ck_assert(tables.table.kernels.front().drops_unreported == 7U);
  ck_assert(tables.table.kernels.front().drops_unattributed == 2U);
  ck_assert(tables.table.host->dropped == 11U);
}
END_TEST

// A thread that began anew has neither seen what came between, nor what its counters had.
START_TEST(a_sampler_that_begins_anew_loses_no_drop) {
  Tables tables;
  const auto take = [&](std::uint64_t listen_drops, std::uint64_t counted, std::uint64_t drops) {
    Harvest harvest;
    harvest.own.tcp = kind_of({{"a", 0, drops}});
    harvest.own.drops_known = true;
    harvest.own.drops_counted = counted;
    NetCounters counters;
    counters.values[static_cast<std::size_t>(Counter::ListenDrops)] = listen_drops;
    harvest.own.counters = counters;
    tables.take(harvest);
    const KernelRow &kernel = tables.table.kernels.front();
    return tables.series() + "; " + std::to_string(*kernel.drops_unattributed);
  };
  assert_text(take(1000, 0, 0), "; 0");
  assert_text(take(1010, 10, 8), "a=8; 2");
  assert_text(take(4932, 0, 0), "a=8; 3924");
  assert_text(take(4940, 8, 8), "a=16; 3924");
  ck_assert(tables.table.host->dropped == 3940U);
}
END_TEST

START_TEST(one_in_trouble_has_a_series_at_once) {
  Tables tables({.max_listeners = 1});
  tables.build({{"a"}, {"b"}});
  tables.build({{"a"}, {"b"}}, {{"u"}});
  assert_text(tables.series(), "a");
  Harvest harvest;
  harvest.own.tcp = kind_of({{"a"}, {"b"}});
  harvest.own.tcp.drops_known = true;
  harvest.own.unix_sockets = kind_of({{"u", 130}});
  harvest.own.unix_sockets->drops_known = false;
  harvest.own.unix_sockets->listeners[0].interval.runs.longest_full = 200ms;
  tables.take(harvest);
  assert_text(tables.series(), "a u");
  ck_assert_uint_eq(tables.table.host->unreported, 1);
  harvest.own.tcp = kind_of({{"a"}, {.name = "b", .drops = 1}});
  tables.take(harvest);
  assert_text(tables.series(), "a b=1");
  ck_assert_uint_eq(tables.table.host->unreported, 1);
}
END_TEST

START_TEST(max_listeners) {
  Tables tables({.max_listeners = 2});
  const std::vector<Told> three{{"c"}, {"b"}, {"a"}};
  tables.build(three);
  ck_assert_uint_eq(tables.table.host->unreported, 0); // none is due yet
  tables.build(three);
  assert_text(tables.series(), "a b");
  ck_assert_uint_eq(tables.table.host->unreported, 1);
  ck_assert_uint_eq(tables.table.host->listeners, 3);
  tables.build({{.name = "a", .members = 0}, {"b"}, {"c"}});
  assert_text(tables.series(), "a b");
  tables.build({{"b"}, {"c"}});
  assert_text(tables.series(), "b c");
  ck_assert_uint_eq(tables.table.host->unreported, 0);
}
END_TEST

START_TEST(places_are_shared_by_both_kinds) {
  Tables named({.listener = {"/./"}, .max_listeners = 2});
  named.build({{"b"}}, {{"u"}, {"a"}});
  assert_text(named.series(), "a b");
  ck_assert_uint_eq(named.table.host->unreported, 1);

  Tables shared({.max_listeners = 1});
  shared.build({{"a"}, {"b"}});
  shared.build({{"a"}, {"b"}}, {{"0", 1}});
  assert_text(shared.series(), "a"); // it was there before
  ck_assert_uint_eq(shared.table.host->unreported, 2);
}
END_TEST

START_TEST(places_are_200_a_second_of_the_interval) {
  std::vector<Told> many;
  many.reserve(300);
  for (int i = 0; i < 300; ++i)
    many.push_back({"listener_" + std::to_string(i)});
  struct Case {
    std::chrono::duration<double> interval;
    std::size_t max_listeners;
    std::uint64_t unreported;
  };
  const Case cases[] = {
      {1s, 1000, 100}, {100ms, 1000, 280}, {10s, 1000, 0}, {10s, 250, 50}, {10s, 0, 300}};
  for (const Case &c : cases) {
    Tables tables({.max_listeners = c.max_listeners});
    tables.interval = c.interval;
    tables.build(many);
    tables.build(many);
    ck_assert_uint_eq(tables.table.host->unreported, c.unreported);
  }
}
END_TEST

// Its place and its turn are kept "until gone", and nobody has seen it go.
START_TEST(failed_read_moves_no_place) {
  Tables tables({.max_listeners = 1});
  tables.build({{"b"}});
  tables.build({{"b"}, {"a"}});
  assert_text(tables.series(), "b");
  Harvest failed;
  failed.own.unix_sockets = kind_of({});
  tables.take(failed);
  ck_assert(tables.table.rows.empty());
  tables.build({{"b"}, {"a"}});
  assert_text(tables.series(), "b");
}
END_TEST

START_TEST(what_was_not_read_is_absent) {
  Tables tables;
  Harvest harvest;
  harvest.own.tcp = kind_of({{"a"}});
  harvest.own.tcp.read = false;
  harvest.own.unix_sockets = kind_of({{"u", 1}});
  tables.take(harvest);
  assert_text(tables.series(), "u");
  ck_assert_uint_eq(tables.table.rows.size(), 1);
  ck_assert(!tables.table.host);
  ck_assert(!tables.table.kernels.front().counters);
  ck_assert(!tables.table.kernels.front().drops_unattributed);
  ck_assert(!tables.table.kernels.front().drops_unreported);

  harvest.own.tcp.read = true;
  harvest.own.unix_sockets->read = false;
  harvest.own.unix_sockets->aggregate = harvested({.name = "", .members = 3});
  tables.take(harvest);
  ck_assert_uint_eq(tables.table.rows.size(), 1);
  ck_assert_uint_eq(tables.table.host->listeners, 1);
  harvest.own.unix_sockets.reset();
  tables.take(harvest);
  assert_text(tables.series(), "a");
}
END_TEST

// A counter that stays as it is says that nothing was dropped.
START_TEST(drops_that_are_not_known_are_absent) {
  Tables tables;
  Harvest harvest;
  const auto take = [&](bool known, std::uint64_t drops, bool others_known = true) {
    harvest.own.tcp = kind_of({{"a", 5, drops}, {"x", 1, drops, 1, true}});
    harvest.own.tcp.drops_known = known;
    harvest.own.drops_counted = 2 * drops;
    harvest.own.unix_sockets = kind_of({{"u", 1}});
    harvest.own.unix_sockets->drops_known = false;
    harvest.others.resize(1);
    harvest.others[0].label.name = "blue";
    harvest.others[0].tcp = kind_of({{.name = "y", .peak = 1, .unstable = true}});
    harvest.others[0].tcp.drops_known = others_known;
    tables.take(harvest);
  };
  for (int i = 0; i < 2; ++i) {
    take(false, 0);
    assert_text(tables.series(), i == 0 ? "tcp_unstable u" : "a tcp_unstable u");
    for (const char *name : {"a", "tcp_unstable"}) {
      ck_assert(!tables.row(name).dropped);
      ck_assert(!tables.row(name).drops && !tables.row(name).overflows);
      ck_assert(!tables.row(name).interval_drops);
    }
    ck_assert(tables.table.host && !tables.table.host->dropped);
  }
  take(true, 1);
  ck_assert(tables.row("a").dropped == 1U);
  ck_assert(tables.row("a").dropped_at_begin == 0U); // told for the first time
  ck_assert(tables.row("a").drops->drops == 1);
  ck_assert(tables.row("a").interval_drops == 1U);
  ck_assert(tables.table.host->dropped == 2U);
  take(false, 3); // what was found out until then
  ck_assert(!tables.row("a").dropped && !tables.table.host->dropped);
  take(true, 0, false);
  ck_assert(tables.row("a").dropped == 4U);
  ck_assert(!tables.row("tcp_unstable").dropped);
  take(true, 0);
  ck_assert(tables.row("tcp_unstable").dropped == 4U);
  ck_assert(tables.table.host->dropped == 8U);
}
END_TEST

// As of a Unix listener, which has no counter.
START_TEST(an_overflow_that_no_counter_tells) {
  Tables tables;
  Harvest harvest;
  harvest.own.tcp = kind_of({{"a", 4}});
  harvest.own.tcp.listeners[0].interval.runs.longest_full = 200ms;
  tables.take(harvest);
  ck_assert(tables.row("a").diagnosis->state == ListenerState::ok);
  harvest.own.tcp.drops_known = false;
  tables.take(harvest);
  ck_assert(tables.row("a").diagnosis->state == ListenerState::overflow);
}
END_TEST

START_TEST(a_message_tells_the_waits_of_its_interval) {
  Tables tables;
  Harvest harvest;
  harvest.own.tcp = kind_of({{.name = "a", .drops = 4}});
  ListenerHarvest &listener = harvest.own.tcp.listeners[0];
  listener.dropped.overflows = 4;
  listener.interval.runs.longest_full = 3s;
  listener.interval.runs.longest_full_run = 3s;
  listener.interval.flow.emplace();
  listener.interval.flow->accepted = 20;
  listener.interval.flow->wait_mean = 400ms;
  tables.take(harvest);
  const std::string message = tables.row("a").diagnosis->message;
  ck_assert_msg(message.find("; waits: 0.4 s on average") != std::string::npos, "%s",
                message.c_str());
}
END_TEST

START_TEST(host_figures) {
  Tables tables;
  tables.build({{.name = "a", .peak = 10, .drops = 2}, {"b", 70}}, {{"u", 30}});
  ck_assert_double_eq(tables.table.host->worst_used_percent, 70);
  ck_assert_uint_eq(tables.table.host->listeners, 3);
  ck_assert(tables.table.host->dropped == 2U);

  // In all, with what is nobody's; what is not selected counts too.
  tables.unattributed = 100;
  tables.build({{.name = "a", .drops = 1, .members = 0}, {.name = "b", .drops = 4}}, {{"u", 80}});
  tables.unattributed = 0;
  ck_assert_double_eq(tables.table.host->worst_used_percent, 80);
  ck_assert_uint_eq(tables.table.host->listeners, 2);
  ck_assert(tables.table.host->dropped == 107U);
  tables.build({});
  ck_assert(tables.table.host->dropped == 107U);

  Harvest harvest; // of more listeners that went than are told one by one
  harvest.own.tcp = kind_of({});
  harvest.own.tcp.unlisted_drops = 3;
  harvest.own.drops_counted = 3;
  tables.take(harvest);
  ck_assert(tables.table.host->dropped == 110U);

  Tables selected({.listener = {"a"}});
  selected.build({{"a", 10}, {.name = "b", .peak = 70, .drops = 5}});
  ck_assert_double_eq(selected.table.host->worst_used_percent, 10);
  ck_assert(selected.table.host->dropped == 5U);
}
END_TEST

START_TEST(harvest_and_survey_are_passed_on) {
  Tables tables;
  Harvest harvest;
  harvest.taken_at = std::chrono::system_clock::time_point(1234s);
  harvest.own.tcp =
      kind_of({{"a"}, {"b"}, {.name = "x", .unstable = true}, {.name = "y", .unstable = true}});
  harvest.own.counters.emplace();
  harvest.own.drops_known = true;
  harvest.own.drops_counted = 9;
  harvest.sampler = {.period = 25ms, .others_period = {}, .cpu_percent = 0.25, .events = {}};
  tables.take(harvest);
  ck_assert(tables.table.taken_at == harvest.taken_at);
  ck_assert(tables.table.kernels.front().counters);
  ck_assert(tables.table.kernels.front().drops_unattributed == 9U);
  ck_assert(tables.table.sampler.period == 25ms);
  ck_assert(tables.table.sampler.cpu_percent == 0.25);
  ck_assert(!tables.table.kernels.front().limits);
  ck_assert(!tables.table.kernels.front().syn_total);
  ck_assert(!tables.row("a").syn_length);

  Survey survey;
  survey.own.limits.somaxconn = 4096;
  tables.take(harvest, survey);
  ck_assert(tables.table.kernels.front().limits->somaxconn == 4096);
  ck_assert(!tables.table.kernels.front().syn_total);
  ck_assert(!tables.row("a").syn_length);

  survey.own.syn_queues =
      SynQueueLengths{.total = 10, .by_listener = {{"a", 4}, {"x", 2}, {"y", 3}}};
  tables.take(harvest, survey);
  ck_assert(tables.table.kernels.front().syn_total == 10U);
  ck_assert(tables.row("a").syn_length == 4U);
  ck_assert(tables.row("b").syn_length == 0U);
}
END_TEST

START_TEST(syn_queue_of_the_fold_is_the_sum) {
  Tables tables;
  Harvest harvest;
  harvest.own.tcp =
      kind_of({{"a"}, {.name = "x", .unstable = true}, {.name = "y", .unstable = true}});
  Survey survey;
  survey.own.syn_queues =
      SynQueueLengths{.total = 10, .by_listener = {{"a", 4}, {"x", 2}, {"y", 3}}};
  tables.take(harvest, survey);
  ck_assert(tables.row("tcp_unstable").syn_length == 5U);
}
END_TEST

START_TEST(watched_listeners_have_series_and_names) {
  Tables tables({.watches = {{"a", "alpha", false}, {"/^b/", "beta", false}}});
  tables.build({{"a"}, {"b1"}, {"c"}});
  assert_text(tables.series(), "alpha beta");
  tables.build({{"a"}, {"b1"}, {"b2"}, {"c"}});
  assert_text(tables.series(), "alpha b2 beta c"); // it keeps the name
  ck_assert_uint_eq(tables.table.notices.size(), 1);
  tables.build({{"a"}, {"b2"}, {"c"}});
  assert_text(tables.series(), "alpha beta c");

  Tables two({.watches = {{"/^b/", "beta", false}}});
  two.build({{"b1"}, {"b2"}});
  assert_text(two.series(), "b1 b2");
}
END_TEST

START_TEST(expected_listeners_keep_their_series) {
  Tables tables({.watches = {{"a", "", true}, {"/^b/", "", true}}});
  tables.measured = 10min; // after which a regex expects
  tables.build({{"a"}, {"b1"}, {"b2"}});
  tables.build({{"a"}, {"b1"}, {"b2"}, {"b3"}});
  tables.measured = 40s; // MissingAfter is 60 s
  tables.build({{"b1"}, {"b2"}});
  assert_text(tables.series(), "a b1 b2");
  ck_assert(!tables.row("a").has_queue);
  tables.build({{"b1"}});
  tables.build({{"b1"}});
  assert_text(tables.series(), "a b1 b2");
  ck_assert(tables.row("a").diagnosis->state == ListenerState::missing);
  ck_assert(tables.row("b1").diagnosis->state == ListenerState::ok);
  tables.build({{"b1"}});
  ck_assert(tables.row("b2").diagnosis->state == ListenerState::missing);
  ck_assert_uint_eq(tables.table.host->missing, 2);
  ck_assert_uint_eq(tables.table.host->listeners, 1);

  Harvest failed; // nobody is missing because nothing could be read
  failed.measured = 1h;
  tables.take(failed);
  ck_assert(!tables.table.is_complete);
  tables.build({{"a"}, {"b1"}, {"b2"}});
  for (const char *name : {"a", "b1", "b2"})
    ck_assert(tables.row(name).diagnosis->state == ListenerState::ok);
}
END_TEST

START_TEST(a_unix_path_is_watched_named_and_expected) {
  Tables tables({.watches = {{"/run/a.b", "", true}, {"/run/c", "see", true}, {"@d", "", true}}});
  tables.measured = 40s;
  const Told a{"unix_run_a-b", 0, 0, 1, false, false, "/run/a.b"};
  const Told c{"unix_run_c", 0, 0, 1, false, false, "/run/c"};
  tables.build({}, {a, c});
  assert_text(tables.series(), "see unix_abstract_d unix_run_a-b");
  tables.build({}, {{"unix_run_a-b", 0, 0, 1, false, false, "/run/a-b"}});
  for (int i = 0; i < 3; ++i)
    tables.build({}, {});
  ck_assert_uint_eq(tables.table.host->missing, 3);
  for (const char *name : {"see", "unix_abstract_d", "unix_run_a-b"})
    ck_assert(tables.row(name).diagnosis->state == ListenerState::missing);
  tables.build({}, {a, c});
  ck_assert_uint_eq(tables.table.host->missing, 1);
}
END_TEST

START_TEST(watched_listeners_are_there_whatever_listener_says) {
  Tables tables({.listener = {"tcp_any_80"}, .watches = {{"tcp_any_443", "", true}}});
  tables.measured = 1h;
  for (int i = 0; i < 3; ++i)
    tables.build({{"tcp_any_80"}, {"tcp_any_443"}, {"tcp_any_22"}});
  assert_text(tables.series(), "tcp_any_443 tcp_any_80");
  ck_assert_uint_eq(tables.table.host->missing, 0);
}
END_TEST

START_TEST(a_given_name_that_is_another_listeners_own_is_not_given) {
  Tables tables({.watches = {{"tcp_any_80", "unix_b", false}}});
  tables.build({{"tcp_any_80"}}, {});
  assert_text(tables.series(), "unix_b");
  ck_assert(tables.table.notices.empty());
  for (int i = 0; i < 2; ++i) {
    tables.build({{"tcp_any_80"}}, {{"unix_b", 1}});
    assert_text(tables.series(), "tcp_any_80 unix_b");
    ck_assert_uint_eq(tables.table.notices.size(), 1);
    assert_text(tables.table.notices.front(),
                "<Watch> cannot give tcp_any_80 the name unix_b: another listener has it by its "
                "address");
  }
}
END_TEST

START_TEST(a_watch_by_the_name_that_another_gives) {
  Tables tables({.watches = {{"tcp_any_80", "web", {}}, {"web", "", true}}});
  tables.measured = 1h;
  for (int i = 0; i < 3; ++i)
    tables.build({{"tcp_any_80"}});
  assert_text(tables.series(), "web");
  ck_assert_uint_eq(tables.table.rows.size(), 1);
  ck_assert_uint_eq(tables.table.host->missing, 0);
  for (int i = 0; i < 3; ++i)
    tables.build({});
  assert_text(tables.series(), "web");
  ck_assert(tables.row("web").diagnosis->state == ListenerState::missing);
}
END_TEST

START_TEST(what_has_matched_nothing_is_told_once) {
  Tables tables(
      {.listener = {"tcp_any_80", "/^tcp_127/", "*:443"},
       .watches = {{"tcp_any_443", "", {}}, {"/nothing/", "", {}}, {"/run/x", "", true}}});
  tables.measured = 30s; // MissingAfter is 60 s
  tables.build({{"tcp_any_80"}, {"tcp_any_443"}});
  ck_assert(tables.table.notices.empty());
  tables.build({{"tcp_any_80"}});
  const std::vector<std::string> told{
      "option Listener: \"/^tcp_127/\" has matched no listener so far",
      "<Watch \"/nothing/\"> has matched no listener so far",
      "<Watch \"/run/x\"> has matched no listener so far"};
  ck_assert(tables.table.notices == told);
  tables.build({});
  ck_assert(tables.table.notices.empty());
}
END_TEST

START_TEST(names_with_ids_are_expected_by_themselves_only) {
  Tables tables({.watches = {{"/./", "", true}, {"named-0123456789", "", true}}});
  tables.measured = 1h;
  for (int i = 0; i < 3; ++i) {
    const std::string id = std::to_string(123456780 + i);
    tables.build(
        {{"plain"}, {"u" + id, 0, 0, 1, false, true}, {"named-0123456789", 0, 0, 1, false, true}});
  }
  tables.build({});
  tables.build({});
  ck_assert_uint_eq(tables.table.host->missing, 2);
  assert_text(tables.series(), "named-0123456789 plain");
}
END_TEST

START_TEST(a_kind_that_is_not_read_switches_off_no_other) {
  Tables tables({.max_listeners = 2, .watches = {{"t", "", true}, {"unix_u", "", true}}});
  tables.measured = 40s; // MissingAfter is 60 s
  tables.build({{"t"}}, {{"unix_u", 1}});
  assert_text(tables.series(), "t unix_u");
  Harvest harvest;
  harvest.measured = tables.measured;
  const auto take_unread_unix = [&](const std::vector<Told> &tcp) {
    harvest.own.tcp = kind_of(tcp);
    harvest.own.unix_sockets.emplace();
    tables.take(harvest);
    ck_assert(!tables.table.is_complete);
    ck_assert(tables.table.kernels.front().unix_unread && !tables.table.kernels.front().tcp_unread);
    ck_assert_uint_eq(tables.table.unread.size(), 1);
    assert_text(tables.table.unread.front(), "unix_u");
  };
  for (int i = 0; i < 3; ++i)
    take_unread_unix({});
  ck_assert(tables.row("t").diagnosis->state == ListenerState::missing);
  ck_assert_uint_eq(tables.table.host->missing, 1);
  tables.build({{"t"}}, {{"unix_u"}}); // its place is kept
  assert_text(tables.series(), "t unix_u");
  ck_assert(tables.row("unix_u").diagnosis->state == ListenerState::ok);

  Tables places({.max_listeners = 1});
  places.build({{"a"}, {"b"}});
  places.build({{"a"}, {"b"}});
  assert_text(places.series(), "a");
  harvest.own.tcp = kind_of({{"b"}});
  harvest.own.unix_sockets.emplace();
  places.take(harvest);
  assert_text(places.series(), "b");
}
END_TEST

START_TEST(other_namespaces_that_are_not_read_keep_what_is_theirs) {
  Tables tables({.max_listeners = 2, .watches = {{"u", "web", false}}});
  Harvest harvest;
  harvest.own.tcp = kind_of({{"a"}});
  harvest.own.unix_sockets = kind_of({});
  NamespaceHarvest &blue = harvest.others.emplace_back();
  blue.label.name = "blue";
  blue.tcp = kind_of({{"u"}});
  blue.unix_sockets = kind_of({});
  tables.take(harvest);
  tables.take(harvest);
  assert_text(tables.series(), "a web");
  blue.tcp = {};
  harvest.own.tcp = kind_of({{"b"}});
  tables.take(harvest);
  ck_assert(!tables.table.is_complete);
  ck_assert_uint_eq(tables.table.unread.size(), 1);
  assert_text(tables.table.unread.front(), "web");
  tables.take(harvest);
  assert_text(tables.series(), "b"); // the place of a
  blue.tcp = kind_of({{"u"}});
  tables.take(harvest);
  assert_text(tables.series(), "b web");
  harvest.others.clear(); // with a namespace its listeners go
  harvest.own.tcp = kind_of({{"b"}, {"c"}});
  tables.take(harvest);
  ck_assert(tables.table.is_complete);
  ck_assert(tables.table.unread.empty());
  tables.take(harvest);
  assert_text(tables.series(), "b c");
}
END_TEST

START_TEST(a_kernel_without_unix_diag_tells_all_that_there_is) {
  Tables tables({.watches = {{"unix_u", "", true}, {"/run/v", "v", true}, {"t", "", true}}});
  Harvest harvest;
  harvest.measured = 1h;
  harvest.own.tcp = kind_of({{"a"}});
  harvest.own.unix_sockets.emplace().absent = true;
  for (int i = 0; i < 3; ++i)
    tables.take(harvest);
  ck_assert(tables.table.is_complete);
  ck_assert(!tables.table.kernels.front().unix_unread);
  ck_assert_uint_eq(tables.table.host->missing, 1); // of Unix listeners nobody can know
  ck_assert(tables.row("t").diagnosis->state == ListenerState::missing);
  for (int i = 0; i < 100; ++i) {
    harvest.own.tcp = kind_of({{"churn_" + std::to_string(i)}});
    tables.take(harvest);
    ck_assert(tables.table.unread.size() <= 2);
  }
}
END_TEST

START_TEST(somaxconn_that_a_limit_comes_from) {
  Tables tables;
  Survey survey;
  /// listeners: names, and for how many intervals they have had their limit.
  using Ages = std::map<std::string, std::optional<std::uint32_t>>;
  const auto take = [&](std::int64_t somaxconn, const Ages &listeners) {
    survey.own.limits.somaxconn = somaxconn;
    Harvest harvest;
    harvest.own.tcp.read = true;
    for (const auto &[name, age] : listeners) {
      ListenerHarvest listener = kind_of({{name}}).listeners.front();
      listener.interval.lowest_limit = 128;
      listener.interval.lowest_limit_for = age;
      harvest.own.tcp.listeners.push_back(listener);
    }
    tables.take(harvest, survey);
  };
  const auto source_of = [&](const char *name) { return tables.row(name).diagnosis->limit_source; };
  const std::optional<std::uint32_t> before;
  take(128, {{"old", before}, {"first", 0}});
  take(128, {{"old", before}, {"first", 1}, {"new", 0}});
  ck_assert(source_of("new") == LimitSource::somaxconn);
  take(4096, {{"old", before}, {"first", 2}, {"new", 1}, {"later", 0}});
  ck_assert(source_of("new") == LimitSource::stale);
  ck_assert(source_of("old") == LimitSource::stale);
  ck_assert(source_of("first") == LimitSource::stale);
  ck_assert(source_of("later") == LimitSource::application);
  // One is restarted, one keeps an old member beside a new one, and of one the old member ends.
  take(4096, {{"old", 0}, {"first", 3}, {"new", 2}, {"later", 1}});
  ck_assert(source_of("old") == LimitSource::application);
  ck_assert(source_of("new") == LimitSource::stale);
  take(4096, {{"old", 1}, {"first", 1}, {"new", 3}, {"later", before}});
  ck_assert(source_of("first") == LimitSource::application);
  ck_assert(source_of("later") == LimitSource::application); // another thread samples it
  take(128, {{"old", 2}, {"new", 4}});
  ck_assert(source_of("old") == LimitSource::application);
  ck_assert(source_of("new") == LimitSource::somaxconn);

  Tables others;
  std::swap(tables, others);
  take(4096, {{"before", before}});
  ck_assert(source_of("before") == LimitSource::unknown);
}
END_TEST

namespace {

/// One listener in whose queue somebody waits, and surveys of it.
struct WaitingScene {
  Family family = Family::tcp;
  std::uint32_t length = 5;
  std::chrono::nanoseconds not_shrinking_for = 300s;
  std::chrono::nanoseconds not_empty_for = 0s;
  std::optional<std::chrono::milliseconds> oldest{}; ///< of as many as wait
  std::uint64_t oldest_cookie = 1;
  std::uint64_t invisible = 0;
  std::optional<UnixWaits> unix_waits{};
  std::chrono::seconds survey_age{0};
  std::chrono::steady_clock::time_point now{};

  ListenerState state_in(Tables &tables) {
    now += 10s;
    FamilyHarvest kind = kind_of({{"a", length}});
    ListenerInterval &interval = kind.listeners[0].interval;
    interval.limit = 4096;
    interval.queue.last = length;
    interval.runs.not_empty_for = not_empty_for;
    interval.waiting.push_back({.cookie = 7,
                                .length = length,
                                .not_shrinking_from = length,
                                .not_shrinking_for = not_shrinking_for,
                                .length_before = 0});
    Harvest harvest;
    harvest.ended_at = now;
    harvest.measured = 10s;
    (family == Family::tcp ? harvest.own.tcp : harvest.own.unix_sockets.emplace()) = kind;
    Survey survey;
    survey.waits_of = now - survey_age;
    if (oldest) {
      TcpWaits &waits = survey.own.tcp_waits["a"];
      waits.ages.assign(length - invisible, *oldest);
      waits.oldest_cookie = oldest_cookie;
      waits.invisible = invisible;
    }
    if (unix_waits)
      survey.unix_waits[7] = *unix_waits;
    tables.take(harvest, survey);
    return tables.row("a").diagnosis->state;
  }
};

} // namespace

START_TEST(who_waits_for_whom) {
  Tables tables({.watches = {{.entry = "tcp_any_80", .name = "web"}}});
  FamilyHarvest kind = kind_of({{"tcp_any_80"}, {"tcp_any_81"}, {"tcp_any_82"}, {"tcp_any_83"}});
  for (std::size_t i = 0; i < kind.listeners.size(); ++i) {
    ListenerInterval &interval = kind.listeners[i].interval;
    interval.cookie = 10 * (i + 1); // of a member at which nobody waits
    interval.queue.last = 100;
    interval.limit = 100;
    interval.waiting.push_back({.cookie = interval.cookie + 1, .length = 100});
    interval.runs.not_empty_for = 60s;
  }
  Survey survey;
  const auto set_clients = [&](const char *name, std::map<std::uint64_t, std::uint64_t> listeners) {
    WaitingClients &clients = survey.own.tcp_clients[name];
    clients.counted = clients.visible = 100;
    clients.most = {{.client = "a.service", .owner = "", .count = 100}};
    clients.of_listeners = std::move(listeners);
    survey.own.tcp_waits[name] = {.ages = std::vector<std::chrono::milliseconds>(100, 60s),
                                  .oldest_cookie = 1};
  };
  set_clients("tcp_any_80", {{21, 3}, {30, 1}});
  set_clients("tcp_any_81", {});
  set_clients("tcp_any_82", {{21, 4}, {11, 1}, {31, 9}}); // 31: its own
  Harvest harvest;
  harvest.measured = 10s;
  harvest.own.tcp = kind;
  tables.take(harvest, survey);
  const auto name_at = [&](std::size_t position) { return tables.table.rows[position].name; };
  std::map<std::string, std::string> waits;
  for (const ListenerWait &wait : tables.table.waits)
    waits[name_at(wait.from)] = name_at(wait.to);
  ck_assert(waits == (std::map<std::string, std::string>{{"web", "tcp_any_82"},
                                                         {"tcp_any_81", "tcp_any_82"},
                                                         {"tcp_any_82", "web"}}));
  const std::string &message = tables.row("tcp_any_82").diagnosis->message;
  ck_assert_msg(
      message.ends_with("slow_accept: it waits for web, look there first; all from a.service"),
      "%s", message.c_str());
  assert_text(tables.row("tcp_any_82").clients, "100 of 100 from a.service");
  assert_text(tables.row("tcp_any_83").clients, "");

  // A survey of an earlier interval says nothing of a queue that has shrunk since.
  harvest.ended_at += 10s;
  tables.take(harvest, survey);
  ck_assert(tables.table.waits.empty());
  assert_text(tables.row("tcp_any_82").clients, "");
}
END_TEST

START_TEST(a_stall_is_proved_by_who_waits) {
  using enum layout::State;
  struct Case {
    const char *name = nullptr;
    WaitingScene scene;
    ListenerState state{};
  };
  const Case cases[] = {
      {"nobody has looked", {}, ok},
      {"the oldest waits 30 s", {.oldest = 30s}, stalled},
      {"and 5 s", {.oldest = 5s}, ok},
      {"the others have reset", {.oldest = 5s, .invisible = 4}, ok},
      {"all have reset", {.oldest = 0s, .invisible = 5}, stalled},
      {"Unix: nobody has looked", {.family = Family::unix_socket}, ok},
      {"Unix: those that wait have changed",
       {.family = Family::unix_socket,
        .unix_waits = UnixWaits{.none_accepted_for = 10s, .oldest = 10s}},
       ok},
      {"Unix: they have not",
       {.family = Family::unix_socket,
        .unix_waits = UnixWaits{.none_accepted_for = 30s, .oldest = {}}},
       stalled},
      {"Unix: accepted from, too slowly",
       {.family = Family::unix_socket,
        .unix_waits = UnixWaits{.none_accepted_for = 1s, .oldest = 31s}},
       stalled},
      {"a look at an earlier interval of a queue that has not shrunk since",
       {.not_shrinking_for = 10s, .oldest = 45s, .survey_age = 10s},
       stalled},
      {"a look at an earlier interval, and a fresh client now",
       {.length = 1, .not_shrinking_for = 1s, .oldest = 45s, .survey_age = 10s},
       ok},
      {"Unix: likewise",
       {.family = Family::unix_socket,
        .not_shrinking_for = 1s,
        .unix_waits = UnixWaits{.none_accepted_for = 40s, .oldest = 45s},
        .survey_age = 10s},
       ok},
  };
  for (const Case &c : cases) {
    Tables tables;
    WaitingScene scene = c.scene;
    const ListenerState state = scene.state_in(tables);
    ck_assert_msg(state == c.state, "%s: %s", c.name, std::string(name_of(state)).c_str());
  }
}
END_TEST

START_TEST(a_stall_lasts_while_scans_take_turns) {
  const auto states = [](WaitingScene scene, std::chrono::nanoseconds not_empty_for) {
    Tables tables;
    std::string text;
    for (const bool is_looked_at : {false, true, false, false, true, false}) {
      WaitingScene turn = scene;
      turn.not_empty_for = not_empty_for;
      turn.oldest_cookie = text.size();
      if (!is_looked_at)
        turn.oldest.reset();
      text += name_of(turn.state_in(tables));
      const auto &wait = tables.row("a").oldest_wait;
      text += wait ? "! " : " "; // the value itself is that of a look
      scene.now = turn.now;
    }
    return text;
  };
  assert_text(states({.oldest = 40s}, 300s), "ok stalled! stalled stalled stalled! stalled ");
  assert_text(states({.oldest = 40s}, 5s), "ok stalled! ok ok stalled! ok ");
  assert_text(states({.oldest = 20s}, 300s), "ok ok! ok ok ok! ok ");
}
END_TEST

START_TEST(a_member_whose_oldest_stays_the_oldest_has_stopped) {
  const auto states = [](bool moves) {
    Tables tables;
    WaitingScene scene{.not_shrinking_for = 1s, .oldest = 20s, .invisible = 1};
    std::string text;
    for (std::uint64_t i = 0; i < 5; ++i) {
      scene.oldest_cookie = moves ? i + 1 : 1;
      text += name_of(scene.state_in(tables));
      text += ' ';
    }
    return text;
  };
  assert_text(states(false), "ok ok ok stalled stalled ");
  assert_text(states(true), "ok ok ok ok ok ");
}
END_TEST

START_TEST(namespaces_have_kernel_rows_and_owners_reach_rows) {
  Tables tables;
  Harvest harvest;
  harvest.own.tcp = kind_of({{"a"}});
  harvest.own.tcp.listeners[0].interval.cookie = 7;
  NamespaceHarvest &blue = harvest.others.emplace_back();
  blue.label = {.name = "blue", .has_id = false};
  blue.id = {1, 2};
  blue.tcp =
      kind_of({{"a__netns_blue", 3}, {.name = "x__netns_blue", .peak = 2, .unstable = true}});
  blue.tcp.listeners[0].interval.waiting.push_back({.cookie = 9, .length = 1});
  NamespaceHarvest &container = harvest.others.emplace_back();
  container.label = {.name = "0123456789ab", .has_id = true};
  container.id = {1, 3};
  container.tcp = kind_of({{.name = "y", .peak = 5, .unstable = true}});
  Survey survey;
  survey.others[{1, 2}].limits.somaxconn = 99;
  survey.others[{1, 2}].tcp_waits["a__netns_blue"].ages = {1500ms};
  survey.owners[7] = Owner{.process = "nginx", .pid = 12, .unit = "nginx.service"};
  tables.take(harvest, survey);
  ck_assert_uint_eq(tables.table.kernels.size(), 3);
  ck_assert(tables.table.kernels[1].has_series);
  ck_assert(!tables.table.kernels[2].has_series);
  assert_text(tables.table.kernels[2].net_namespace, "0123456789ab");
  assert_text(tables.table.kernels[0].instance, "kernel");
  assert_text(tables.table.kernels[1].instance, "kernel_netns_blue");
  ck_assert(tables.table.kernels[1].limits->somaxconn == 99);
  assert_text(tables.row("a").owner, "nginx.service");
  ck_assert(tables.row("a__netns_blue").oldest_wait == 1.5s);
  ck_assert_uint_eq(tables.row("tcp_unstable").queue.peak, 7);
  ck_assert_uint_eq(tables.row("tcp_unstable").members, 2);
}
END_TEST

START_TEST(drops_of_namespaces_that_come_and_go_stay_counted) {
  Tables tables;
  struct Blue {
    ino_t inode;
    std::uint64_t listen_drops;
    std::uint64_t counted;
    bool ended = false;
  };
  const auto take = [&](const std::vector<Blue> &namespaces) {
    Harvest harvest;
    harvest.own.tcp = kind_of({});
    for (const Blue &blue : namespaces) {
      NamespaceHarvest &other = harvest.others.emplace_back();
      other.label.name = "blue";
      other.id = {1, blue.inode};
      other.ended = blue.ended;
      other.tcp = kind_of({});
      other.drops_known = true;
      other.drops_counted = blue.counted;
      other.counted_since = BootClock::time_point(blue.inode * 1s);
      if (blue.ended)
        continue;
      other.counters.emplace().values[static_cast<std::size_t>(Counter::ListenDrops)] =
          blue.listen_drops;
    }
    tables.take(harvest);
    std::string text;
    for (const KernelRow &kernel : tables.table.kernels)
      if (!kernel.net_namespace.empty())
        text += kernel.drops_unattributed ? std::to_string(*kernel.drops_unattributed) + " " : "- ";
    return text + std::to_string(tables.table.host->dropped.value());
  };
  assert_text(take({{2, 70, 10}}), "10 10");
  assert_text(take({{2, 75, 5}}), "15 15");
  ck_assert(tables.table.kernels[1].counted_since.time_since_epoch() == 2s);
  assert_text(take({}), "15");
  assert_text(take({{2, 79, 1}}), "19 19"); // it could not be entered
  // Another one of that name: what it dropped before it was found is not counted.
  assert_text(take({{2, 0, 2, true}, {3, 100, 4}}), "- 25 25");
  ck_assert(tables.table.kernels[2].counted_since.time_since_epoch() == 3s);
  assert_text(take({{3, 103, 3}}), "28 28");
}
END_TEST

START_TEST(counters_of_a_namespace_that_returns_are_a_baseline) {
  Tables tables({.watches = {{"a__netns_blue", "", false}}});
  const auto take = [&](std::optional<std::uint64_t> cookies) {
    Harvest harvest;
    harvest.own.tcp = kind_of({});
    if (cookies) {
      NamespaceHarvest &blue = harvest.others.emplace_back();
      blue.label.name = "blue";
      blue.id = {1, 2};
      blue.tcp = kind_of({{"a__netns_blue"}});
      blue.tcp.listeners.front().interval.limit = 16;
      NetCounters counters;
      counters.values[static_cast<std::size_t>(Counter::SyncookiesSent)] = *cookies;
      blue.counters = counters;
    }
    Survey survey;
    survey.others[{1, 2}].limits.tcp_syncookies = 1;
    survey.others[{1, 2}].syn_queues.emplace().by_listener["a__netns_blue"] = 17;
    tables.take(harvest, survey);
  };
  const auto cause = [&] { return tables.row("a__netns_blue").diagnosis->cause; };
  for (const std::uint64_t cookies : {1, 2, 3, 4})
    take(cookies);
  ck_assert(cause() == Cause::syn_flood);
  take({});
  take(9);
  take(10);
  ck_assert(cause() != Cause::syn_flood);
  take(11);
  ck_assert(cause() == Cause::syn_flood);
}
END_TEST

int main() {
  return run_tests(
      "table_builder", tcp_series_begin_with_the_second_harvest,
      tcp_series_begin_at_once_with_a_drop_or_by_name, ignored_ones_have_no_row,
      unix_series_begin_when_seen_not_empty_or_by_name, unix_listeners_have_no_counters,
      folded_ones_have_a_row_and_one_series_together, without_places_the_fold_has_no_series_either,
      fold_tells_its_drops_though_its_last_listener_went, listener_that_went_tells_its_counter_only,
      listener_that_went_without_a_series_gets_none, counters_begin_with_0_and_survive_restarts,
      each_drop_is_told_once, drops_of_those_that_could_not_be_read,
      a_sampler_that_begins_anew_loses_no_drop, one_in_trouble_has_a_series_at_once, max_listeners,
      places_are_shared_by_both_kinds, places_are_200_a_second_of_the_interval,
      failed_read_moves_no_place, what_was_not_read_is_absent, drops_that_are_not_known_are_absent,
      an_overflow_that_no_counter_tells, a_message_tells_the_waits_of_its_interval, host_figures,
      harvest_and_survey_are_passed_on, syn_queue_of_the_fold_is_the_sum,
      watched_listeners_have_series_and_names, expected_listeners_keep_their_series,
      a_unix_path_is_watched_named_and_expected, watched_listeners_are_there_whatever_listener_says,
      a_given_name_that_is_another_listeners_own_is_not_given,
      a_watch_by_the_name_that_another_gives, what_has_matched_nothing_is_told_once,
      names_with_ids_are_expected_by_themselves_only, a_kind_that_is_not_read_switches_off_no_other,
      other_namespaces_that_are_not_read_keep_what_is_theirs,
      a_kernel_without_unix_diag_tells_all_that_there_is, somaxconn_that_a_limit_comes_from,
      who_waits_for_whom, a_stall_is_proved_by_who_waits, a_stall_lasts_while_scans_take_turns,
      a_member_whose_oldest_stays_the_oldest_has_stopped,
      namespaces_have_kernel_rows_and_owners_reach_rows,
      drops_of_namespaces_that_come_and_go_stay_counted,
      counters_of_a_namespace_that_returns_are_a_baseline);
}
