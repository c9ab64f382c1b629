#include "scan_budget.h"
#include "test_program.h"

#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <vector>

using namespace backlog;
using namespace std::chrono_literals;
using Duration = ScanBudget::Duration;

namespace {

constexpr auto interval = 10s;
constexpr double share = 0.01;
constexpr Duration interval_time = 100ms;
constexpr int intervals = 1000;
constexpr ScanBudget::TimePoint start{};

struct ScanKind {
  std::string name;
  std::function<Duration(std::uint64_t sockets, int interval)> cost;
  std::function<bool(int interval)> wanted = [](int) { return true; };
};

struct Fate {
  int runs = 0;
  int wanted_since = 0; ///< wanted intervals since it last ran
  int longest_gap = 0;  ///< the most of those
  Duration dearest{0};
};

struct Outcome {
  std::map<std::string, Fate> fates;
  Duration total{0};
  Duration most_beyond_share{0}; ///< of all intervals up to one
  Duration most_in_one_interval{0};
};

/// Runs the budget in a world whose costs it does not know.
Outcome simulate(const std::vector<ScanKind> &kinds,
                 const std::function<std::uint64_t(int)> &sockets) {
  ScanBudget budget(share, interval);
  Outcome outcome;
  for (int i = 0; i < intervals; ++i) {
    std::vector<std::string> wanted;
    for (const ScanKind &kind : kinds)
      if (kind.wanted(i)) {
        wanted.push_back(kind.name);
        Fate &fate = outcome.fates[kind.name];
        fate.longest_gap = std::max(fate.longest_gap, ++fate.wanted_since);
      }
    Duration in_this_interval{0};
    budget.begin(wanted, start + i * interval, sockets(i));
    while (const auto name = budget.next()) {
      ck_assert_msg(std::erase(wanted, *name) == 1, "%s", name->c_str());
      const auto kind = std::find_if(kinds.begin(), kinds.end(),
                                     [&](const ScanKind &other) { return other.name == *name; });
      const Duration cost = kind->cost(sockets(i), i);
      budget.report(*name, cost);
      in_this_interval += cost;
      Fate &fate = outcome.fates[*name];
      ++fate.runs;
      fate.wanted_since = 0;
      fate.dearest = std::max(fate.dearest, cost);
    }
    outcome.total += in_this_interval;
    outcome.most_in_one_interval = std::max(outcome.most_in_one_interval, in_this_interval);
    outcome.most_beyond_share =
        std::max(outcome.most_beyond_share, outcome.total - (i + 1) * interval_time);
  }
  return outcome;
}

std::function<Duration(std::uint64_t, int)> constant(Duration cost) {
  return [cost](std::uint64_t, int) { return cost; };
}

/// As measured with a table of 262144 buckets.
Duration half_open_scan(std::uint64_t sockets, int) {
  return 182us + 60ns * static_cast<std::int64_t>(sockets);
}
Duration waiting_scan(std::uint64_t sockets, int) {
  return 182us + 760ns * static_cast<std::int64_t>(sockets);
}

std::vector<ScanKind> many(int count, Duration cost) {
  std::vector<ScanKind> kinds;
  kinds.reserve(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i)
    kinds.push_back({"scan " + std::to_string(i), constant(cost)});
  return kinds;
}

struct Case {
  const char *name;
  std::vector<ScanKind> kinds;
  std::function<std::uint64_t(int)> sockets;
  /// By kind, in intervals, from the first on; the last one holds for those that follow. At the
  /// start they are longer, since first runs are paid for afterwards.
  std::vector<int> longest_gaps;
};

std::uint64_t few(int) { return 100; }

const Case cases[] = {
    {"all fit", {{"a", constant(200us)}, {"b", constant(50ms)}}, few, {1}},
    {"just all", {{"a", constant(50ms)}, {"b", constant(50ms)}}, few, {1}},
    {"one that takes three intervals", {{"a", constant(300ms)}}, few, {5}},
    {"a cheap one is not held up by a dear one",
     {{"cheap", constant(25ms)}, {"dear", constant(300ms)}},
     few,
     {2, 7}},
    {"two that do not fit into one interval",
     {{"a", constant(60ms)}, {"b", constant(60ms)}},
     few,
     {3}},
    {"a hundred namespaces", many(100, 12ms), few, {24}},
    {"a hundred namespaces and a dear one",
     [] {
       auto kinds = many(100, 1ms);
       kinds.insert(kinds.begin(), {"dear", constant(2s)});
       return kinds;
     }(),
     few,
     {80, 2}},
    {"a busy host",
     {{"SYN queues", half_open_scan}, {"oldest waits", waiting_scan}},
     [](int) { return 200'000; },
     {2, 3}},
    {"a very busy host",
     {{"SYN queues", half_open_scan}, {"oldest waits", waiting_scan}},
     [](int) { return 2'000'000; },
     {5, 50}},
    {"daily load",
     {{"SYN queues", half_open_scan}, {"oldest waits", waiting_scan}},
     [](int i) {
       return static_cast<std::uint64_t>(i % 500 < 250 ? i % 250 : 250 - i % 250) * 2000;
     },
     {2, 6}},
    {"now and then a mass of connections",
     {{"SYN queues", half_open_scan}, {"oldest waits", waiting_scan}},
     [](int i) -> std::uint64_t { return i % 50 == 49 ? 1'000'000 : 1000; },
     {2, 2}},
    {"costs that vary",
     {{"a", [](std::uint64_t, int i) { return (i * 37 % 101) * 1ms; }},
      {"b", [](std::uint64_t, int i) { return (i * 53 % 211) * 1ms; }}},
     few,
     {4}},
    {"wanted now and then",
     {{"a", constant(90ms)},
      {"b", constant(250ms), [](int i) { return i % 100 >= 60; }},
      {"c", constant(250ms), [](int i) { return i % 7 == 0; }}},
     few,
     {3, 7, 7}},
};

} // namespace

START_TEST(scans_keep_to_their_share_and_get_their_turn) {
  for (const Case &c : cases) {
    const Outcome outcome = simulate(c.kinds, c.sockets);
    ck_assert_msg(outcome.total <= intervals * interval_time, "%s: %lld ms", c.name,
                  static_cast<long long>(outcome.total / 1ms));
    Duration dearest{0};
    Duration dearest_of_each{0};
    for (std::size_t i = 0; i < c.kinds.size(); ++i) {
      const char *kind = c.kinds[i].name.c_str();
      const Fate &fate = outcome.fates.at(kind);
      const int longest_gap = c.longest_gaps[std::min(i, c.longest_gaps.size() - 1)];
      ck_assert_msg(fate.runs > 0, "%s: %s never ran", c.name, kind);
      ck_assert_msg(fate.longest_gap <= longest_gap, "%s: %s in one of %d intervals", c.name, kind,
                    fate.longest_gap);
      dearest = std::max(dearest, fate.dearest);
      dearest_of_each += fate.dearest;
    }
    ck_assert_msg(outcome.most_in_one_interval <= interval_time + dearest, "%s: %lld ms at once",
                  c.name, static_cast<long long>(outcome.most_in_one_interval / 1ms));
    // Each kind owes one run at most.
    ck_assert_msg(outcome.most_beyond_share <= dearest_of_each, "%s: %lld ms in debt", c.name,
                  static_cast<long long>(outcome.most_beyond_share / 1ms));
  }
}
END_TEST

START_TEST(what_is_there_is_used) {
  ck_assert_int_eq(simulate({{"a", constant(100ms)}}, few).fates.at("a").runs, intervals);
  ck_assert_int_eq(simulate({{"a", constant(300ms)}}, few).fates.at("a").runs, intervals / 3);
  const Outcome both = simulate({{"a", constant(25ms)}, {"b", constant(300ms)}}, few);
  ck_assert_int_ge(both.fates.at("a").runs, intervals - 1);
  ck_assert_int_ge(both.fates.at("b").runs, intervals / 4 - 1);
}
END_TEST

START_TEST(reads_may_come_at_any_time) {
  constexpr Duration cost = 182us;
  struct Reads {
    Duration apart;
    int runs; ///< of 100 s
  };
  for (const auto &[apart, runs] : {Reads{1ms, 5'000}, Reads{30ms, 3'333}, Reads{50s, 2}}) {
    ScanBudget budget(share, interval);
    int count = 0;
    for (Duration at = 0s; at < 100s; at += apart) {
      budget.begin({"a"}, start + at, 100);
      while (const auto kind = budget.next()) {
        budget.report(*kind, cost);
        ++count;
      }
    }
    ck_assert_int_ge(count, runs);
    // The first interval's worth is there from the beginning.
    ck_assert(count * cost <= 1s + interval_time);
  }
}
END_TEST

/// Whether a scan that is wanted now, and alone, may run.
bool runs(ScanBudget &budget, int at, std::uint64_t sockets, Duration cost) {
  budget.begin({"a"}, start + at * interval, sockets);
  const auto kind = budget.next();
  if (!kind)
    return false;
  budget.report(*kind, cost);
  ck_assert(!budget.next());
  return true;
}

START_TEST(cost_is_predicted_from_the_sockets) {
  ScanBudget budget(share, interval);
  ck_assert(runs(budget, 0, 10'000, 5ms));
  ck_assert(runs(budget, 1, 10'000, 5ms));
  ck_assert(!runs(budget, 2, 1'000'000, 500ms));
  ck_assert(!runs(budget, 3, 1'000'000, 500ms));
  ck_assert(runs(budget, 4, 10'000, 5ms));
  ck_assert(runs(budget, 5, 20'000, 10ms));
  ck_assert(!runs(budget, 6, 1'000'000, 500ms));

  // The walk alone: what ten sockets make of it does not matter.
  ScanBudget idle(share, interval);
  ck_assert(runs(idle, 0, 1, 200us));
  ck_assert(runs(idle, 1, 100, 200us));
  ck_assert(runs(idle, 2, 10'000, 1ms));
}
END_TEST

START_TEST(skipping_is_said_once_when_it_begins_and_ends) {
  ScanBudget budget(share, interval);
  FaultLog log;
  std::vector<LogLine> lines;
  int last_skip = 0;
  for (int i = 0; i < 400; ++i) {
    const bool dear = i >= 100 && i < 200;
    // b has less to do than there is room for; a sees a tenth of the sockets from 200 on.
    budget.begin({"SYN queues", "b"}, start + i * interval, dear ? 600'000 : 10'000);
    std::size_t count = 0;
    while (const auto kind = budget.next()) {
      budget.report(*kind, *kind == "b" ? 1us : dear ? 300ms : 5ms);
      ++count;
    }
    if (count < 2)
      last_skip = i;
    const std::size_t before = lines.size();
    log.update(budget.skipped(), lines);
    for (std::size_t j = before; j < lines.size(); ++j)
      ck_assert_msg(lines[j].level == LogLine::Level::warning
                        ? i == 100
                        : i == last_skip + 60 + FaultSpell::calm - 1,
                    "%d: %s", i, lines[j].text.c_str());
  }
  ck_assert_uint_eq(lines.size(), 2);
  assert_text(lines[0].text,
              "no SYN queues in every interval: all scans together may take 100 ms of CPU time per "
              "interval, this one takes 289 ms");
  assert_text(lines[1].text, "SYN queues in every interval can be read again");
}
END_TEST

START_TEST(at_short_intervals_trouble_that_comes_and_goes_is_said_once) {
  constexpr auto short_interval = 500ms;
  ScanBudget budget(share, short_interval);
  FaultLog log;
  std::vector<LogLine> lines;
  for (int i = 0; i < 2000; ++i) {
    const bool in_trouble = i < 1000 && i % 100 < 10;
    budget.begin(in_trouble ? std::vector<std::string>{"oldest waits"} : std::vector<std::string>{},
                 start + i * short_interval, 10'000);
    while (const auto kind = budget.next())
      budget.report(*kind, 20ms);
    log.update(budget.skipped(), lines);
  }
  ck_assert_uint_eq(lines.size(), 1);
  ck_assert(lines[0].level == LogLine::Level::warning);
}
END_TEST

START_TEST(a_cost_that_is_not_known_is_not_said) {
  ScanBudget budget(share, interval);
  budget.begin({"a", "b"}, start, 1);
  const auto first = budget.next();
  ck_assert(first);
  budget.report(*first, 1s);
  ck_assert(!budget.next());
  const auto skipped = budget.skipped();
  ck_assert_uint_eq(skipped.size(), 1);
  assert_text(skipped[0].reason, "all scans together may take 100 ms of CPU time per interval");
}
END_TEST

START_TEST(what_is_no_longer_wanted_is_no_longer_said) {
  ScanBudget budget(share, interval);
  budget.begin({"a"}, start, 1);
  budget.report(*budget.next(), 1s);
  budget.begin({"a"}, start + interval, 1);
  ck_assert(!budget.next());
  ck_assert_uint_eq(budget.skipped().size(), 1);
  for (int i = 2; i < 62; ++i)
    budget.begin({}, start + i * interval, 1);
  ck_assert(budget.skipped().empty());
}
END_TEST

START_TEST(what_needs_the_others_comes_last_and_gets_its_turn) {
  ScanBudget budget(share, interval);
  int runs = 0;
  for (int i = 0; i < 100; ++i) {
    budget.begin({"a", "last", "z"}, start + i * interval, 1, "last");
    std::string order;
    while (const auto name = budget.next()) {
      order += *name + " ";
      budget.report(*name, *name == "last" ? 60ms : 30ms); // more than there is for all
    }
    const std::size_t at = order.find("last");
    ck_assert_msg(at == std::string::npos || order.ends_with("last "), "%s", order.c_str());
    runs += at == std::string::npos ? 0 : 1;
  }
  ck_assert_msg(runs > 25, "%d", runs);
}
END_TEST

/// Two that each take several intervals, and a small one, after a time in which nobody wanted them,
/// so that they save up from the same moment on: the order of each interval's scans. "last" has
/// waited longest.
std::vector<std::string> orders_after_a_rest(Duration dear) {
  const std::map<std::string, Duration> costs{{"dear", dear}, {"last", 300ms}, {"small", 10ms}};
  ScanBudget budget(share, interval);
  int i = 0;
  const auto run = [&](const std::vector<std::string> &wanted) {
    budget.begin(wanted, start + i++ * interval, 1, "last");
    std::string order;
    while (const auto name = budget.next()) {
      order += order.empty() ? *name : " " + *name;
      budget.report(*name, costs.at(*name));
    }
    return order;
  };
  for (const char *kind : {"last", "dear", "small"})
    (void)run({kind});
  for (int rest = 0; rest < 30; ++rest)
    (void)run({});
  std::vector<std::string> orders;
  orders.reserve(8);
  for (int wanted = 0; wanted < 8; ++wanted)
    orders.push_back(run({"dear", "last", "small"}));
  return orders;
}

START_TEST(one_that_does_not_fit_leaves_the_turn_to_the_last) {
  const auto both = orders_after_a_rest(300ms);
  const auto first = std::find_if(both.begin(), both.end(),
                                  [](const std::string &order) { return order != "small"; });
  ck_assert(first != both.end());
  assert_text(*first, "small last");
}
END_TEST

START_TEST(one_that_has_saved_up_does_not_wait_for_one_that_has_not) {
  const auto orders = orders_after_a_rest(200ms);
  const auto first = std::find_if(orders.begin(), orders.end(),
                                  [](const std::string &order) { return order != "small"; });
  ck_assert(first != orders.end());
  ck_assert_msg(first->find("dear") != std::string::npos, "%s", first->c_str());
}
END_TEST

START_TEST(a_kind_that_nobody_wants_is_forgotten) {
  for (const auto &[unwanted, forgotten] : {std::pair{359, false}, {360, true}}) {
    ScanBudget budget(share, interval);
    ck_assert(runs(budget, 0, 1, 1s));
    for (int i = 1; i <= unwanted; ++i)
      budget.begin({}, start + i * interval, 1);
    // As if it were new, it runs before it has saved anything.
    ck_assert_int_eq(runs(budget, unwanted + 1, 1, 1s), forgotten);
  }
}
END_TEST

int main() {
  return run_tests(
      "scan_budget", one_that_does_not_fit_leaves_the_turn_to_the_last,
      one_that_has_saved_up_does_not_wait_for_one_that_has_not,
      a_kind_that_nobody_wants_is_forgotten, scans_keep_to_their_share_and_get_their_turn,
      what_is_there_is_used, reads_may_come_at_any_time, cost_is_predicted_from_the_sockets,
      skipping_is_said_once_when_it_begins_and_ends,
      at_short_intervals_trouble_that_comes_and_goes_is_said_once,
      what_needs_the_others_comes_last_and_gets_its_turn, a_cost_that_is_not_known_is_not_said,
      what_is_no_longer_wanted_is_no_longer_said);
}
