#include "listener_name.h"
#include "listener_set.h"
#include "short_memory.h"
#include "test_program.h"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>
#include <new>
#include <set>
#include <string>
#include <utility>
#include <vector>

using namespace backlog;
using namespace std::chrono_literals;

namespace {

/// A set whose listeners are told by the test, with a clock of its own.
class Observed {
public:
  struct Socket {
    std::uint64_t cookie;
    const char *name;
    std::uint32_t length = 0, limit = 10;
    std::optional<std::uint32_t> drops = 0;
    bool has_id = false;
    const char *address = "";
    bool counted = true;
  };

  ListenerSet set{[](const ListenerIdentity &identity, ListenerSet::Duration listening_for) {
    return is_unstable(identity.has_id, identity.name.starts_with("given_out"), listening_for);
  }};

  void sample(const std::vector<Socket> &sockets, std::chrono::milliseconds after = 10ms,
              std::chrono::milliseconds max_weight = 1h) {
    set.begin_sample();
    see(sockets);
    now_ += after;
    set.end_sample(now_, max_weight);
  }
  /// Forgets whom it may; how many of those had to go.
  std::size_t forget_gone(bool may = true) {
    std::size_t crowded_out = 0;
    set.forget_gone([&](std::uint32_t, bool, bool crowded) {
      crowded_out += static_cast<std::size_t>(crowded);
      return may || crowded;
    });
    return crowded_out;
  }
  void broken_sample(const std::vector<Socket> &seen) {
    set.begin_sample();
    see(seen);
    set.abandon_sample();
  }

  std::map<std::string, ListenerInterval> harvest() {
    std::map<std::string, ListenerInterval> by_name;
    ListenerSet::Interval interval = set.harvest();
    aggregate = interval.aggregate;
    collisions.clear();
    for (const NameCollision &collision : interval.collisions)
      collisions += collision.name + ":" + collision.keeper + "," + collision.other + " ";
    for (ListenerInterval &listener : interval.listeners)
      by_name[listener.identity.name] = listener;
    return by_name;
  }

  void rest(std::chrono::milliseconds time) {
    now_ += time;
    set.pass_rest(now_);
  }

  ListenerInterval aggregate;
  std::string collisions; ///< "name:keeper,other " each

private:
  void see(const std::vector<Socket> &sockets) {
    for (const Socket &socket : sockets)
      set.see({socket.cookie, socket.length, socket.limit, socket.drops, socket.counted}, [&] {
        return ListenerIdentity{socket.name, socket.address, 0, socket.has_id};
      });
  }

  ListenerSet::TimePoint now_ = std::chrono::steady_clock::now();
};

} // namespace

START_TEST(members_of_one_name_are_one_listener) {
  Observed observed;
  observed.sample({{1, "a", 3, 3}, {2, "a", 0, 7}, {3, "b", 1, 4}});
  observed.sample({{1, "a", 4, 3}, {2, "a", 0, 7}, {3, "b", 0, 4}});
  observed.sample({{1, "a", 0, 3}, {2, "a", 5, 7}, {3, "b", 2, 4}});
  const auto listeners = observed.harvest();
  ck_assert_uint_eq(listeners.size(), 2);
  const ListenerInterval &a = listeners.at("a");
  ck_assert_uint_eq(a.members, 2);
  ck_assert_uint_eq(a.limit, 10);
  ck_assert_uint_eq(a.queue.last, 5);
  ck_assert_uint_eq(a.queue.peak, 5);
  ck_assert_double_eq_tol(a.queue.used_percent, 100, 1e-9); // the worst member, 4 of 3 + 1
  ck_assert_double_gt(a.queue.full_percent, 0);
  const ListenerInterval &b = listeners.at("b");
  ck_assert_double_eq_tol(b.queue.used_percent, 40, 1e-9);
  ck_assert_double_eq(b.queue.full_percent, 0);
}
END_TEST

START_TEST(windows_end_at_the_harvest) {
  Observed observed;
  observed.sample({{1, "a", 9}});
  observed.harvest();
  observed.sample({{1, "a", 2}}, 30ms);
  observed.sample({{1, "a", 0}}, 10ms);
  const WindowFigures queue = observed.harvest().at("a").queue;
  ck_assert_uint_eq(queue.peak, 2);
  ck_assert_uint_eq(queue.last, 0);
  ck_assert_double_eq_tol(queue.mean, 1.5, 1e-9);
}
END_TEST

START_TEST(who_went) {
  struct Case {
    std::vector<Observed::Socket> still_there;
    std::vector<GoneSocket> gone;
  };
  for (const Case &c :
       {Case{{{1, "a", 11}, {2, "a", 6}, {3, "b", 11}, {4, "c", 4}}, {}},
        {{{2, "a", 6}, {3, "b", 11}, {4, "c", 4}}, {GoneSocket{0, true}}},
        {{{1, "a", 11}, {3, "b", 11}, {4, "c", 4}}, {GoneSocket{0, false}}},
        {{{3, "b", 11}, {4, "c", 4}}, {GoneSocket{0, true}}},
        {{{1, "a", 11}, {2, "a", 6}, {4, "c", 4}}, {GoneSocket{1, true}}},
        {{{1, "a", 11}, {2, "a", 6}, {3, "b", 11}}, {GoneSocket{2, false}}},
        {{{1, "a", 11}, {2, "a", 6}}, {GoneSocket{1, true}, GoneSocket{2, false}}}}) {
    Observed observed;
    observed.sample({{1, "a", 11}, {2, "a", 6}, {3, "b", 11}, {4, "c", 4}});
    ck_assert(observed.set.gone_sockets().empty());
    observed.sample(c.still_there);
    ck_assert(observed.set.gone_sockets().empty()); // one miss is not gone
    observed.sample(c.still_there);
    const auto gone = observed.set.gone_sockets();
    ck_assert(std::equal(gone.begin(), gone.end(), c.gone.begin(), c.gone.end()));
    observed.sample(c.still_there);
    ck_assert(observed.set.gone_sockets().empty());
  }
}
END_TEST

START_TEST(one_miss_is_not_gone) {
  Observed observed;
  observed.sample({{1, "a", 3}, {2, "b", 2}});
  observed.sample({{1, "a", 3}});
  ck_assert(observed.set.members_changed());
  auto listeners = observed.harvest();
  ck_assert_uint_eq(listeners.at("b").members, 1);
  ck_assert_uint_eq(listeners.at("b").queue.last, 2);

  observed.sample({{1, "a", 3}, {2, "b", 2}});
  observed.sample({{1, "a", 3}});
  ck_assert_uint_eq(observed.harvest().at("b").members, 1);

  observed.sample({{1, "a", 3}});
  ck_assert(observed.set.members_changed());
  listeners = observed.harvest();
  ck_assert_uint_eq(listeners.at("b").members, 0);
  ck_assert_uint_eq(listeners.at("b").queue.last, 0);
  ck_assert_uint_eq(observed.harvest().count("b"), 0);
}
END_TEST

START_TEST(a_broken_dump_loses_nobody) {
  Observed observed;
  observed.sample({{1, "a"}, {2, "b"}});
  for (int i = 0; i < 3; ++i)
    observed.broken_sample({{1, "a"}});
  observed.sample({{1, "a"}, {2, "b"}});
  ck_assert(!observed.set.members_changed());
  ck_assert_uint_eq(observed.harvest().size(), 2);
}
END_TEST

START_TEST(a_broken_dump_loses_no_drops) {
  Observed observed;
  observed.sample({{1, "a", 0, 10, 3}});
  observed.broken_sample({{1, "a", 0, 10, 8}});
  observed.sample({{1, "a", 0, 10, 10}});
  std::uint32_t moved = 0;
  for (const DropsMoved &drops : observed.set.drops_moved())
    moved += drops.drops;
  ck_assert_uint_eq(moved, 7);
}
END_TEST

START_TEST(restart_keeps_the_listener) {
  Observed observed;
  observed.sample({{1, "a", 3}});
  const std::uint32_t index = observed.harvest().at("a").index;
  observed.sample({{9, "a", 1}});
  observed.sample({{9, "a", 1}});
  const auto listeners = observed.harvest();
  ck_assert_uint_eq(listeners.at("a").members, 1);
  ck_assert_uint_eq(listeners.at("a").index, index);
  ck_assert_uint_eq(listeners.at("a").queue.last, 1);
}
END_TEST

START_TEST(relisten_changes_the_limit_only) {
  Observed observed;
  observed.sample({{1, "a", 11, 10}});
  observed.harvest();
  observed.sample({{1, "a", 11, 3}});
  const ListenerInterval a = observed.harvest().at("a");
  ck_assert_uint_eq(a.limit, 3);
  ck_assert_uint_eq(a.queue.last, 11);
  ck_assert_double_eq_tol(a.queue.used_percent, 100, 1e-9);
}
END_TEST

START_TEST(drops_have_a_baseline) {
  struct Case {
    std::vector<std::optional<std::uint32_t>>
        drops; // of one cookie; nullopt: missing from the dump
    bool from_first_sample;
    std::uint64_t total;
  };
  const Case cases[] = {
      {{5, 5, 7}, true, 2},
      {{5, 5, 7}, false, 7},
      {{5, {}, 9}, true, 4},
      {{0xfffffffeU, 1U}, true, 3},
      {{4}, false, 4},
      {{0, 0}, false, 0},
      {{0, {}, {}, 2}, true, 2},
      {{3, {}, 4}, false, 4},
      {{5, {}, {}, 7}, true, 2},
      {{3, {}, {}, {}, 4}, false, 4},
      {{5, {}, {}, 7, {}, {}, 8}, true, 3},
  };
  for (const Case &c : cases) {
    Observed observed;
    std::uint64_t total = 0;
    const auto count = [&] {
      for (const DropsMoved &moved : observed.set.drops_moved())
        total += moved.drops;
    };
    if (!c.from_first_sample)
      observed.sample({{1, "other"}});
    for (const auto &drops : c.drops) {
      std::vector<Observed::Socket> sockets{{1, "other"}};
      if (drops)
        sockets.push_back({2, "a", 0, 10, *drops});
      observed.sample(sockets);
      count();
    }
    ck_assert_uint_eq(total, c.total);
  }
}
END_TEST

START_TEST(full_at_either_end) {
  struct Case {
    std::uint32_t before, after;
    bool full, half_full;
  };
  constexpr Case cases[] = {{0, 0, false, false}, {11, 0, true, true}, {0, 11, true, true},
                            {10, 0, false, true}, {0, 6, false, true}, {5, 5, false, false}};
  for (const Case &c : cases) {
    Observed observed;
    observed.sample({{1, "a", c.before, 10, 0}});
    observed.sample({{1, "a", c.after, 10, 1}});
    ck_assert_uint_eq(observed.set.drops_moved().size(), 1);
    ck_assert_int_eq(observed.set.drops_moved()[0].full, c.full);
    ck_assert_int_eq(observed.set.drops_moved()[0].half_full, c.half_full);
  }
}
END_TEST

START_TEST(drops_that_the_kernel_does_not_tell) {
  Observed observed;
  observed.sample({{1, "a", 0, 10, std::nullopt}});
  observed.sample({{1, "a", 0, 10, std::nullopt}});
  ck_assert(observed.set.drops_moved().empty());
}
END_TEST

START_TEST(aggregate_is_the_sum_of_its_listeners) {
  Observed observed;
  observed.sample({{1, "x", 3, 10, 0, true}, {2, "y", 5, 5, 0, true}, {3, "a", 9, 10}});
  observed.sample({{1, "x", 0, 10, 0, true}, {2, "y", 4, 5, 0, true}, {3, "a", 9, 10}});
  observed.harvest();
  ck_assert_uint_eq(observed.aggregate.members, 2);
  ck_assert_uint_eq(observed.aggregate.limit, 15);
  ck_assert_uint_eq(observed.aggregate.queue.peak, 8);
  ck_assert_uint_eq(observed.aggregate.queue.last, 4);
  ck_assert_double_eq_tol(observed.aggregate.queue.used_percent, 100.0 * 5 / 6, 1e-9);
  observed.sample({{2, "y", 4, 5, 0, true}});
  observed.sample({{2, "y", 4, 5, 0, true}});
  observed.set.harvest();
  observed.set.aggregate_again();
  observed.sample({{2, "y", 4, 5, 0, true}});
  observed.harvest();
  ck_assert_uint_eq(observed.aggregate.members, 1);
  ck_assert_uint_eq(observed.aggregate.limit, 5);
}
END_TEST

START_TEST(filling) {
  struct Case {
    std::uint32_t length, limit;
    bool filling;
  };
  constexpr Case cases[] = {
      {3, 4, false}, {4, 4, true}, {4, 128, false}, {15, 128, false}, {16, 128, true}};
  for (const Case &c : cases) {
    Observed observed;
    observed.sample({{1, "a", c.length, c.limit}});
    ck_assert_int_eq(observed.set.filling(), c.filling);
    observed.sample({{1, "a", 0, c.limit}});
    ck_assert(!observed.set.filling());
  }
}
END_TEST

START_TEST(activity) {
  Observed observed;
  observed.sample({});
  ck_assert(observed.set.activity() == QueueActivity::none);
  const struct {
    std::uint32_t length;
    QueueActivity activity;
  } cases[] = {
      {0, QueueActivity::changed}, {0, QueueActivity::empty},   {1, QueueActivity::waiting},
      {4, QueueActivity::filling}, {3, QueueActivity::waiting}, {0, QueueActivity::empty},
  };
  for (const auto &c : cases) {
    observed.sample({{1, "a", c.length, 16}});
    ck_assert(observed.set.activity() == c.activity);
  }
  for (const QueueActivity wanted :
       {QueueActivity::changed, QueueActivity::changed, QueueActivity::none}) {
    observed.sample({});
    ck_assert(observed.set.activity() == wanted);
  }
}
END_TEST

START_TEST(steady_samples_do_not_allocate) {
  Observed observed;
  std::vector<Observed::Socket> idle;
  std::vector<Observed::Socket> busy;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    idle.push_back({i + 1, "", 0, 10});
    busy.push_back({i + 1, "", 11, 10, 2});
  }
  std::vector<std::string> names;
  for (std::size_t i = 0; i < idle.size(); ++i)
    names.push_back("listener_" + std::to_string(i));
  for (std::size_t i = 0; i < idle.size(); ++i)
    idle[i].name = busy[i].name = names[i].c_str();
  observed.sample(idle);
  const std::size_t before = allocation_count;
  observed.sample(busy);
  observed.sample(idle);
  observed.sample(busy);
  ck_assert_uint_eq(allocation_count - before, 0);
  ck_assert_uint_eq(observed.harvest().at("listener_7").queue.peak, 11);
}
END_TEST

START_TEST(order_of_the_dump_does_not_matter) {
  Observed observed;
  observed.sample({{1, "a", 1}, {2, "b", 2}, {3, "c", 3}});
  observed.sample({{3, "c", 3}, {1, "a", 1}, {4, "d", 4}, {2, "b", 2}});
  observed.sample({{2, "b", 5}, {4, "d", 4}, {3, "c", 3}, {1, "a", 6}});
  const auto listeners = observed.harvest();
  ck_assert_uint_eq(listeners.at("a").queue.last, 6);
  ck_assert_uint_eq(listeners.at("b").queue.last, 5);
  ck_assert_uint_eq(listeners.at("c").queue.last, 3);
  ck_assert_uint_eq(listeners.at("d").queue.last, 4);
}
END_TEST

START_TEST(runs_cross_intervals) {
  Observed observed;
  observed.sample({{1, "a", 0, 3}});
  observed.sample({{1, "a", 2, 3}});
  observed.sample({{1, "a", 4, 3}}, 100ms); // full
  observed.sample({{1, "a", 4, 3}}, 200ms);
  QueueRuns runs = observed.harvest().at("a").runs;
  ck_assert(runs.longest_full_run == 300ms);
  ck_assert(runs.full_run_goes_on);
  ck_assert(runs.longest_full == 200ms);
  ck_assert(runs.not_empty_for == 310ms);

  observed.sample({{1, "a", 1, 3}}, 400ms);
  runs = observed.harvest().at("a").runs;
  ck_assert(runs.longest_full_run == 700ms);
  ck_assert(runs.longest_full == 0ms);
  ck_assert(runs.not_empty_for == 710ms);

  observed.sample({{1, "a", 0, 3}});
  observed.sample({{1, "a", 3, 3}});
  observed.sample({{1, "a", 3, 3}});
  runs = observed.harvest().at("a").runs;
  ck_assert(runs.longest_full_run == 700ms); // the one that ended; the new run has none
  ck_assert(!runs.full_run_goes_on);
  ck_assert(runs.not_empty_for == 20ms);

  observed.sample({{1, "a", 0, 3}});
  runs = observed.harvest().at("a").runs;
  ck_assert(runs.not_empty_for == 0ms);
}
END_TEST

START_TEST(members_that_have_not_been_seen_to_shrink) {
  Observed observed;
  const auto is = [](const WaitingMember &member, std::uint32_t length, std::uint32_t from,
                     std::chrono::milliseconds shrank_ago, std::uint32_t before) {
    return member.length == length && member.not_shrinking_from == from &&
           member.not_shrinking_for == shrank_ago && member.length_before == before;
  };
  observed.sample({{1, "a", 0, 9}, {2, "a", 3, 9}});
  observed.sample({{1, "a", 2, 9}, {2, "a", 1, 9}});
  observed.sample({{1, "a", 4, 9}, {2, "a", 0, 9}}, 100ms);
  auto members = observed.harvest().at("a").waiting;
  ck_assert_uint_eq(members.size(), 1);
  ck_assert(is(members[0], 4, 2, 100ms, 0));
  observed.sample({{1, "a", 4, 9}, {2, "a", 2, 9}}, 200ms);
  observed.sample({{1, "a", 5, 9}, {2, "a", 2, 9}}, 10ms);
  members = observed.harvest().at("a").waiting;
  ck_assert_uint_eq(members.size(), 2);
  ck_assert(is(members[0], 5, 2, 310ms, 4));
  ck_assert(is(members[1], 2, 2, 10ms, 0));

  // A fall begins the while anew, also one that a dump saw which broke off.
  observed.sample({{1, "a", 3, 9}, {2, "a", 2, 9}});
  observed.broken_sample({{2, "a", 1, 9}});
  observed.sample({{1, "a", 4, 9}, {2, "a", 2, 9}}, 50ms);
  members = observed.harvest().at("a").waiting;
  ck_assert(is(members[0], 4, 3, 50ms, 0));
  ck_assert(is(members[1], 2, 2, 0ms, 0));
  // Nobody waits, or the member is gone.
  observed.sample({{1, "a", 0, 9}});
  observed.sample({{1, "a", 0, 9}});
  ck_assert(observed.harvest().at("a").waiting.empty());
}
END_TEST

START_TEST(members_at_90_percent) {
  Observed observed;
  observed.sample({{1, "a", 0, 9}, {2, "a", 0, 9}});
  observed.sample({{1, "a", 9, 9}, {2, "a", 1, 9}});
  observed.sample({{1, "a", 10, 9}, {2, "a", 8, 9}}, 300ms);
  ck_assert(observed.harvest().at("a").longest_hot_member == 300ms);
  observed.sample({{1, "a", 9, 9}, {2, "a", 9, 9}}, 100ms);
  observed.sample({{1, "a", 8, 9}, {2, "a", 9, 9}}, 50ms);
  ck_assert(observed.harvest().at("a").longest_hot_member == 400ms);
  observed.sample({{1, "a", 8, 9}, {2, "a", 0, 9}}, 50ms);
  ck_assert(observed.harvest().at("a").longest_hot_member == 50ms);
  observed.sample({{1, "a", 8, 9}, {2, "a", 0, 9}}, 50ms);
  ck_assert(observed.harvest().at("a").longest_hot_member == 0ms);
}
END_TEST

START_TEST(members_apart) {
  struct Case {
    std::vector<std::uint32_t> lengths;
    double worst, median;
  };
  const Case cases[] = {{{0}, 0, 0},          {{4}, 100, 100},
                        {{4, 0}, 100, 0},     {{0, 4, 0, 0}, 100, 0},
                        {{2, 4, 0}, 100, 50}, {{2, 2}, 50, 50}};
  for (const Case &c : cases) {
    Observed observed;
    std::vector<Observed::Socket> members;
    for (const std::uint32_t length : c.lengths)
      members.push_back({members.size() + 1, "a", length, 3});
    observed.sample(members);
    const ListenerInterval a = observed.harvest().at("a");
    ck_assert_double_eq_tol(a.worst_member_percent, c.worst, 1e-4);
    ck_assert_double_eq_tol(a.median_member_percent, c.median, 1e-4);
    for (Observed::Socket &member : members)
      member.length = 0;
    observed.sample(members);
    ck_assert_double_eq(observed.harvest().at("a").worst_member_percent, 0);
  }
}
END_TEST

// Nobody slips under the name of another by an address that is much like it.
START_TEST(addresses_that_meet_in_one_name_are_two_listeners) {
  const Observed::Socket one{1, "unix_a-b", 1, 10, {}, false, "/a.b"};
  const Observed::Socket two{2, "unix_a-b", 2, 10, {}, false, "/a.b"};
  const Observed::Socket other{3, "unix_a-b", 4, 10, {}, false, "/a-b"};
  const Observed::Socket apart{4, "unix_c", 0, 10, {}, false, "/c"};
  const std::string other_name = alternative_name("unix_a-b", "/a-b");
  for (const std::vector<Observed::Socket> &sockets :
       {std::vector{one, two, other, apart}, std::vector{other, one, apart, two}}) {
    Observed observed;
    for (int i = 0; i < 2; ++i) {
      observed.sample(sockets);
      observed.sample(sockets);
      const auto listeners = observed.harvest();
      assert_text(observed.collisions, i == 0 ? "unix_a-b:/a.b,/a-b " : "");
      ck_assert_uint_eq(listeners.size(), 3);
      ck_assert_uint_eq(listeners.at("unix_a-b").members, 2);
      ck_assert_uint_eq(listeners.at("unix_a-b").queue.last, 3);
      assert_text(listeners.at("unix_a-b").identity.address, "/a.b");
      ck_assert_uint_eq(listeners.at(other_name).members, 1);
      ck_assert_uint_eq(listeners.at(other_name).queue.last, 4);
      assert_text(listeners.at(other_name).identity.address, "/a-b");
    }
  }
}
END_TEST

START_TEST(an_address_keeps_its_name_when_the_other_goes) {
  Observed observed;
  const Observed::Socket service{1, "unix_a-b", 0, 10, {}, false, "/a.b"};
  const Observed::Socket again{2, "unix_a-b", 0, 10, {}, false, "/a.b"};
  const Observed::Socket other{3, "unix_a-b", 0, 10, {}, false, "/a-b"};
  const std::string other_name = alternative_name("unix_a-b", "/a-b");
  const auto names = [&](const std::vector<Observed::Socket> &sockets) {
    for (int i = 0; i < 3; ++i)
      observed.sample(sockets);
    observed.forget_gone();
    observed.harvest();
    observed.sample(sockets);
    std::string text;
    for (const auto &[name, listener] : observed.harvest())
      if (listener.members > 0)
        text += name + " ";
    return text;
  };
  assert_text(names({service}), "unix_a-b ");
  assert_text(names({}), "");
  assert_text(names({other}), other_name + " "); // while the service is restarted
  assert_text(names({again, other}), "unix_a-b " + other_name + " ");
  assert_text(names({again}), "unix_a-b ");
  assert_text(names({again, other}), "unix_a-b " + other_name + " ");
  assert_text(names({other}), other_name + " ");
}
END_TEST

START_TEST(names_that_are_made_to_meet_stay_apart) {
  Observed observed;
  const std::string second = alternative_name("unix_a-b", "/a-b");
  const std::vector<Observed::Socket> sockets{
      {1, "unix_a-b", 1, 10, {}, false, "/a-b"},
      {2, second.c_str(), 2, 10, {}, false, "/a-b/12345678"},
      {3, "unix_a-b", 3, 10, {}, false, "/a.b"},
      {4, second.c_str(), 4, 10, {}, false, "/a-b/1234.678"},
  };
  for (int i = 0; i < 2; ++i) {
    observed.sample(sockets);
    std::map<std::string, std::uint64_t> lengths;
    for (const auto &[name, listener] : observed.harvest())
      lengths[listener.identity.address] = listener.queue.last;
    ck_assert(
        (lengths == std::map<std::string, std::uint64_t>{
                        {"/a-b", 1}, {"/a-b/12345678", 2}, {"/a.b", 3}, {"/a-b/1234.678", 4}}));
  }
}
END_TEST

START_TEST(a_listener_settles_after_ten_minutes) {
  Observed observed;
  const Observed::Socket held{1, "given_out", 3, 10};
  const auto is_unstable = [&](std::chrono::milliseconds after) {
    observed.sample({held}, after);
    const bool unstable = observed.harvest().at("given_out").unstable;
    observed.set.settle();
    return unstable;
  };
  ck_assert(is_unstable(10ms));
  ck_assert(is_unstable(9min));
  ck_assert_uint_eq(observed.aggregate.members, 1);
  for (int i = 0; i < 2; ++i) // a break
    observed.sample({});
  observed.harvest();
  ck_assert(is_unstable(10ms));
  ck_assert(is_unstable(9min));
  ck_assert(is_unstable(1min));
  ck_assert(!is_unstable(10ms));
  ck_assert_uint_eq(observed.aggregate.members, 0);
  for (int i = 0; i < 2; ++i) // once settled, a restart changes nothing
    observed.sample({});
  observed.harvest();
  ck_assert(!is_unstable(10ms));
}
END_TEST

START_TEST(lowest_limit_is_of_a_member_that_is_there) {
  Observed observed;
  const auto lowest = [&] { return observed.harvest().at("a").lowest_limit; };
  observed.sample({{1, "a", 0, 9}, {2, "a", 0, 3}, {3, "a", 0, 7}, {4, "b", 0, 1}});
  ck_assert_uint_eq(lowest(), 3);
  observed.sample({{1, "a", 0, 9}, {2, "a", 0, 12}, {3, "a", 0, 7}});
  ck_assert_uint_eq(lowest(), 7);
  observed.sample({{1, "a", 0, 9}, {2, "a", 0, 12}});
  ck_assert_uint_eq(lowest(), 7); // one miss is not gone
  observed.sample({{1, "a", 0, 9}, {2, "a", 0, 12}});
  ck_assert_uint_eq(lowest(), 9);
  observed.sample({{1, "a", 0, 0}, {2, "a", 0, 12}});
  ck_assert_uint_eq(lowest(), 0);
}
END_TEST

START_TEST(for_how_long_the_lowest_limit_has_stood) {
  Observed observed;
  const auto intervals = [&] { return observed.harvest().at("a").lowest_limit_for; };
  observed.sample({{1, "a", 0, 9}});
  ck_assert(!intervals());
  observed.sample({{1, "a", 0, 9}, {2, "a", 0, 9}});
  ck_assert(!intervals());
  for (int i = 0; i < 2; ++i)
    observed.sample({{2, "a", 0, 9}});
  ck_assert(intervals() == 1);
  observed.sample({{2, "a", 0, 7}});
  ck_assert(intervals() == 0); // listen() again
  observed.sample({{2, "a", 3, 7}, {3, "a", 0, 0}});
  ck_assert(intervals() == 0);
  observed.sample({{2, "a", 3, 7}, {3, "a", 0, 0}, {4, "a", 0, 7}});
  ck_assert(intervals() == 1);
}
END_TEST

START_TEST(the_lowest_limit_of_the_interval) {
  Observed observed;
  const auto lowest = [&] { return observed.harvest().at("a").lowest_limit_seen; };
  observed.sample({{1, "a", 0, 9}});
  ck_assert_uint_eq(lowest(), 9);
  observed.sample({{1, "a", 0, 9}});
  observed.sample({{1, "a", 0, 64}});
  ck_assert_uint_eq(lowest(), 9);
  ck_assert_uint_eq(lowest(), 64);
  observed.sample({{1, "a", 0, 8}});
  ck_assert_uint_eq(lowest(), 8);
}
END_TEST

START_TEST(a_limit_is_older_than_the_name) {
  Observed observed;
  const auto sample = [&](bool is_known, const char *name, bool counted = true) {
    observed.set.begin_sample();
    observed.set.see({1, 0, 9, {}, counted}, [&] {
      return is_known ? std::optional(ListenerIdentity{name, "", 0, false}) : std::nullopt;
    });
    observed.set.end_sample(std::chrono::steady_clock::now(), 1h);
  };
  const auto intervals = [&](const char *name) {
    return observed.harvest().at(name).lowest_limit_for;
  };
  sample(false, "");
  observed.harvest();
  sample(false, "");
  observed.harvest();
  sample(true, "a");
  ck_assert(!intervals("a"));
  observed.set.move_out(1);
  observed.harvest();
  sample(true, "b");
  ck_assert(!intervals("b"));
  sample(true, "b", false);
  sample(true, "b");
  ck_assert(!intervals("b"));
}
END_TEST

START_TEST(lowest_limit_of_the_fold) {
  Observed observed;
  observed.sample(
      {{1, "x", 0, 9, 0, true}, {2, "y", 0, 5, 0, true}, {3, "z", 0, 7, 0, true}, {4, "a", 0, 1}});
  observed.harvest();
  ck_assert_uint_eq(observed.aggregate.lowest_limit, 5);
  for (int i = 0; i < 2; ++i)
    observed.sample({{1, "x", 0, 9, 0, true}, {4, "a", 0, 1}});
  observed.harvest();
  ck_assert_uint_eq(observed.aggregate.lowest_limit, 9);
}
END_TEST

START_TEST(a_sample_stands_for_no_more_than_its_maximum) {
  Observed observed;
  observed.sample({{1, "a", 0}});
  observed.harvest();
  observed.sample({{1, "a", 0}}, 20ms, 40ms);
  observed.sample({{1, "a", 9}}, 10s, 40ms); // it was late
  observed.sample({{1, "a", 0}}, 20ms, 40ms);
  const WindowFigures queue = observed.harvest().at("a").queue;
  ck_assert_double_eq_tol(queue.mean, 9 * 40.0 / 80, 1e-9);
}
END_TEST

// A socket whose path leads to another one.
START_TEST(a_member_that_is_not_counted_is_a_socket_more) {
  Observed observed;
  observed.sample({{1, "a", 0, 4, {}, false, "", false}, {2, "a", 5, 9}});
  ListenerInterval a = observed.harvest().at("a");
  ck_assert_uint_eq(a.members, 2);
  ck_assert_uint_eq(a.counted, 1);
  ck_assert_uint_eq(a.cookie, 2);
  ck_assert_uint_eq(a.lowest_limit, 9);
  ck_assert_uint_eq(a.limit, 9);
  ck_assert_double_eq_tol(a.worst_member_percent, 50, 1e-4);
  ck_assert_double_eq_tol(a.median_member_percent, 50, 1e-4);

  // Full itself, it changes nothing.
  observed.sample({{1, "a", 5, 4, {}, false, "", false}, {2, "a", 3, 9}});
  a = observed.harvest().at("a");
  ck_assert_uint_eq(a.queue.peak, 3);
  ck_assert_double_eq_tol(a.queue.used_percent, 30, 1e-4);
  ck_assert_double_eq(a.queue.full_percent, 0);

  // Another of them counts now.
  observed.sample({{1, "a", 5, 4}, {2, "a", 3, 9, {}, false, "", false}});
  a = observed.harvest().at("a");
  ck_assert_uint_eq(a.counted, 1);
  ck_assert_uint_eq(a.cookie, 1);
  ck_assert_uint_eq(a.queue.last, 5);
  for (int i = 0; i < 2; ++i)
    observed.sample({{1, "a", 5, 4}});
  a = observed.harvest().at("a");
  ck_assert_uint_eq(a.members, 1);
  ck_assert_uint_eq(a.counted, 1);

  // After it was seen.
  observed.set.begin_sample();
  for (const std::uint64_t cookie : {1, 3})
    observed.set.see({cookie, 5, 4, {}}, [] { return ListenerIdentity{"a", "", 0, false}; });
  observed.set.discount(1);
  observed.set.end_sample(std::chrono::steady_clock::now(), 1h);
  a = observed.harvest().at("a");
  ck_assert_uint_eq(a.queue.peak, 5);
  ck_assert_uint_eq(a.members, 2);
  ck_assert_uint_eq(a.counted, 1);
}
END_TEST

START_TEST(who_went_with_nothing_to_tell_is_forgotten_at_once) {
  struct Case {
    Observed::Socket socket;
    bool may = false;         ///< nothing was dropped for it
    bool is_unstable = false; ///< otherwise told one by one
    bool told = false;
  };
  const Case cases[] = {
      {{2, "b", 0}, true, false, false}, {{2, "b", 0}, false, false, true},
      {{2, "b", 1}, true, false, true},  {{2, "b", 0}, true, true, false},
      {{2, "b", 1}, true, true, false},  {{2, "b", 11}, true, true, true}, // drops may be its
  };
  for (const Case &c : cases) {
    Observed observed;
    Observed::Socket socket = c.socket;
    socket.has_id = c.is_unstable;
    observed.sample({{1, "a"}, socket});
    for (int i = 0; i < 2; ++i) {
      observed.sample({{1, "a"}});
      observed.forget_gone(c.may);
    }
    if (c.is_unstable)
      ck_assert_uint_eq(observed.set.gone_members().size(), 1);
    const auto listeners = observed.harvest();
    ck_assert_uint_eq(listeners.count("b"), c.told);
    ck_assert_uint_eq(observed.aggregate.queue.peak, c.is_unstable ? socket.length : 0);
  }
}
END_TEST

START_TEST(a_million_listeners_in_one_interval) {
  struct Case {
    std::uint32_t length; ///< of each queue
    bool has_id, may;
    std::size_t most; ///< listeners there is room for at the end
  };
  // Beside those that are open at once: those that are told.
  constexpr std::size_t at_once = 10;
  for (const Case &c : {Case{0, true, true, 4 * at_once}, Case{0, false, true, 4 * at_once},
                        Case{3, true, true, 4 * at_once}, Case{3, false, true, 10000 + 4 * at_once},
                        Case{0, false, false, 10000 + 4 * at_once}}) {
    Observed observed;
    observed.sample({{1, "stable"}});
    std::uint64_t cookie = 1;
    std::size_t crowded_out = 0;
    constexpr std::uint64_t churned = 1000000;
    while (cookie < churned) {
      std::vector<std::string> names;
      std::vector<Observed::Socket> sockets{{1, "stable"}};
      for (std::size_t i = 0; i < at_once; ++i)
        names.push_back("churn_" + std::to_string(cookie + i));
      for (const std::string &name : names)
        sockets.push_back({++cookie, name.c_str(), c.length, 10, 0, c.has_id, "/a"});
      observed.sample(sockets);
      crowded_out += observed.forget_gone(c.may);
    }
    ck_assert_uint_le(observed.set.capacity(), c.most);
    ck_assert_int_eq(crowded_out > 0, c.most > 10000);
    ck_assert_uint_eq(observed.harvest().at("stable").members, 1);
  }
}
END_TEST

START_TEST(collisions_of_an_interval_are_few_and_told_once_each) {
  Observed observed;
  const std::vector<Observed::Socket> first{{1, "unix_a", 0, 10, {}, false, "/a.b"}};
  for (std::uint64_t cookie = 2; cookie < 10; ++cookie) {
    auto both = first;
    both.push_back({cookie, "unix_a", 0, 10, {}, false, "/a-b"});
    observed.sample(both);
  }
  observed.harvest();
  assert_text(observed.collisions, "unix_a:/a.b,/a-b ");
  std::vector<std::string> addresses;
  addresses.reserve(1000);
  for (int i = 0; i < 1000; ++i)
    addresses.push_back("/" + std::to_string(i));
  for (std::uint64_t i = 0; i < 1000; ++i) {
    auto both = first;
    both.push_back({i + 100, "unix_a", 0, 10, {}, false, addresses[i].c_str()});
    observed.sample(both);
  }
  observed.harvest();
  ck_assert_int_eq(std::count(observed.collisions.begin(), observed.collisions.end(), ':'), 100);
}
END_TEST

START_TEST(beyond_the_room_come_those_with_clients_and_those_with_a_name) {
  const auto room = std::make_shared<ListenerRoom>(ListenerRoom{8}); // an eighth: 1
  struct Socket {
    std::uint64_t cookie;
    std::uint32_t length = 0;
    bool named = false;
  };
  ListenerSet set([](const ListenerIdentity &, ListenerSet::Duration) { return false; }, room);
  auto now = ListenerSet::TimePoint(1h);
  int asked = 0;
  const auto sample = [&](const std::vector<Socket> &more, std::uint64_t first_cookie = 1) {
    set.begin_sample();
    std::vector<Socket> sockets;
    for (std::uint64_t cookie = first_cookie; cookie <= 8; ++cookie)
      sockets.push_back({cookie});
    sockets.insert(sockets.end(), more.begin(), more.end());
    for (const Socket &socket : sockets)
      set.see(
          {socket.cookie, socket.length, 10, std::nullopt, true},
          [&] { return ListenerIdentity{.name = std::to_string(socket.cookie), .address = ""}; },
          [&] {
            ++asked;
            return socket.named;
          });
    set.end_sample(now += 1s, 1h);
  };
  const auto names = [&] {
    ListenerSet::Interval interval = set.harvest();
    ck_assert_uint_eq(interval.without_room, set.without_room());
    std::set<int> numbers;
    for (const ListenerInterval &listener : interval.listeners)
      if (listener.members > 0)
        numbers.insert(std::stoi(listener.identity.name));
    std::string all;
    for (const int number : numbers)
      all += std::to_string(number) + " ";
    return all;
  };
  sample({{9}, {10}, {11, 0, true}});
  assert_text(names(), "1 2 3 4 5 6 7 8 11 ");
  ck_assert_uint_eq(set.without_room(), 2);
  ck_assert_int_eq(asked, 3);
  // None is asked for its name twice; whoever is in stays in.
  sample({{9}, {10}, {11}, {12, 0, true}, {13, 0, true}});
  assert_text(names(), "1 2 3 4 5 6 7 8 11 12 ");
  ck_assert_int_eq(asked, 5);
  for (int i = 0; i < 3; ++i) // gone when two dumps have missed them
    sample({{9}, {10}, {14, 1}}, 4);
  assert_text(names(), "4 5 6 7 8 9 10 14 ");
  ck_assert_uint_eq(room->taken, 8);
  sample({{9}, {10}, {14}, {15, 1}, {16, 1}}, 4);
  assert_text(names(), "4 5 6 7 8 9 10 14 15 ");
  ck_assert_uint_eq(set.without_room(), 1);
}
END_TEST

START_TEST(sets_share_a_room_until_they_go) {
  const auto room = std::make_shared<ListenerRoom>(ListenerRoom{8});
  const auto sample = [](ListenerSet &set) {
    set.begin_sample();
    for (std::uint64_t cookie = 1; cookie <= 6; ++cookie)
      set.see({cookie, 0, 10, std::nullopt, true},
              [&] { return ListenerIdentity{.name = std::to_string(cookie), .address = ""}; });
    set.end_sample(ListenerSet::TimePoint(1h), 1h);
  };
  const auto is_unstable = [](const ListenerIdentity &, ListenerSet::Duration) { return false; };
  ListenerSet second(is_unstable, room);
  {
    ListenerSet first(is_unstable, room);
    sample(first);
    sample(second);
    ck_assert_uint_eq(first.without_room(), 0);
    ck_assert_uint_eq(second.without_room(), 4);
  }
  sample(second);
  ck_assert_uint_eq(second.without_room(), 0);
  ck_assert_uint_eq(room->taken, 6);
}
END_TEST

namespace {

SocketEvents events_of(std::uint64_t added, std::uint32_t peak, std::uint32_t limit) {
  SocketEvents events;
  events.added = added;
  events.peak = peak;
  events.limit = limit;
  return events;
}

} // namespace

START_TEST(events_tell_what_no_sample_saw) {
  Observed observed;
  observed.sample({{1, "a", 2, 10}, {2, "a", 0, 10}, {3, "b", 1, 10}, {4, "c", 0, 10}});
  observed.harvest();
  observed.sample({{1, "a", 3, 10}, {2, "a", 0, 10}, {3, "b", 4, 10}, {4, "c", 0, 10}});
  EventReading reading;
  reading.is_whole = true;
  reading.sockets[1] = events_of(20, 8, 10);
  reading.sockets[1].group_peak = 9; // with the other member
  reading.sockets[3] = events_of(5, 2, 10);
  reading.sockets[9] = events_of(7, 7, 10); // in a net namespace that is not looked into
  observed.set.take_events(reading);
  ck_assert(reading.sockets[1].known && reading.sockets[3].known && !reading.sockets[9].known);
  const auto listeners = observed.harvest();
  const ListenerInterval &a = listeners.at("a");
  ck_assert_uint_eq(a.queue.peak, 9);
  ck_assert_double_eq_tol(a.queue.used_percent, used_percent(8, 10), 1e-9);
  ck_assert_double_eq_tol(a.worst_member_percent, used_percent(8, 10), 1e-4);
  ck_assert_uint_eq(a.flow->arrived, 20);
  ck_assert_uint_eq(a.flow->accepted, 19);            // one more is waiting than before
  ck_assert_uint_eq(listeners.at("b").queue.peak, 4); // seen
  ck_assert_uint_eq(listeners.at("b").flow->accepted, 2);
  ck_assert_uint_eq(listeners.at("c").flow->arrived, 0);
}
END_TEST

START_TEST(events_of_a_part_of_an_interval_are_no_flow) {
  Observed observed;
  observed.sample({{1, "a", 0, 10}});
  EventReading reading;
  reading.sockets[1] = events_of(20, 8, 10);
  observed.set.take_events(reading);
  const auto listeners = observed.harvest();
  ck_assert_uint_eq(listeners.at("a").queue.peak, 8);
  ck_assert(!listeners.at("a").flow);
}
END_TEST

START_TEST(events_of_a_socket_that_is_gone_are_its_listeners) {
  Observed observed;
  observed.set.ask_events([](std::uint64_t cookie) { return cookie == 1; });
  observed.sample({{1, "a", 0, 10}, {2, "b", 0, 10}});
  observed.harvest();
  for (int i = 0; i < 2; ++i) {
    observed.sample({{3, "a", 0, 10}});
    observed.forget_gone();
  }
  EventReading reading;
  reading.is_whole = true;
  reading.sockets[1] = events_of(6, 6, 10);
  observed.set.take_events(reading);
  const auto listeners = observed.harvest();
  ck_assert_uint_eq(listeners.at("a").queue.peak, 6);
  ck_assert_uint_eq(listeners.at("a").flow->arrived, 6);
  ck_assert_uint_eq(listeners.size(), 1); // b had nothing to tell
}
END_TEST

START_TEST(one_accept_between_two_samples_is_no_stall) {
  Observed observed;
  std::uint32_t taken = 7;
  observed.set.ask_taken([&](std::uint64_t) { return std::optional(taken); });
  for (const std::uint32_t more : {0, 1}) {
    observed.sample({{1, "a", 1, 10}});
    taken += more;
    observed.sample({{1, "a", 1, 10}}, 1s);
    const auto listeners = observed.harvest();
    const std::vector<WaitingMember> &waiting = listeners.at("a").waiting;
    ck_assert_uint_eq(waiting.size(), 1);
    ck_assert_int_eq(waiting.front().not_shrinking_for >= 1s, more == 0);
  }
}
END_TEST

START_TEST(accepts_are_no_stall_though_the_queue_never_falls) {
  Observed observed;
  for (const std::uint64_t added : {0, 5}) {
    observed.sample({{1, "a", 3, 10}});
    observed.harvest();
    observed.sample({{1, "a", 3, 10}}, 1s);
    EventReading reading;
    reading.is_whole = true;
    reading.sockets[1] = events_of(added, 3, 10);
    observed.set.take_events(reading);
    const auto listeners = observed.harvest();
    const std::vector<WaitingMember> &waiting = listeners.at("a").waiting;
    ck_assert_uint_eq(waiting.size(), 1);
    ck_assert_int_eq(waiting.front().not_shrinking_for >= 1s, added == 0);
  }
}
END_TEST

START_TEST(drops_are_exact_with_frees) {
  Observed observed;
  std::optional<std::uint64_t> freed = 5; // before the first sample
  observed.set.ask_frees([&](std::uint64_t) {
    return freed ? std::optional(FreedSegments{.freed = *freed}) : std::nullopt;
  });
  observed.sample({{1, "a", 0, 10, 100U}});
  const struct {
    std::optional<std::uint64_t> freed;
    std::uint32_t drops = 0;
    std::uint32_t moved = 0;
  } samples[] = {
      {.freed = 5, .drops = 100, .moved = 0},
      {.freed = 5, .drops = 110, .moved = 10},  // each a drop
      {.freed = 15, .drops = 130, .moved = 10}, // final ACKs, which count twice
      {.freed = 25, .drops = 140, .moved = 0},  // noise
      {.freed = 40, .drops = 150, .moved = 0},
      {.freed = 40, .drops = 160, .moved = 5}, // freed between the dump and the reading of it
      {.freed = std::nullopt, .drops = 170, .moved = 10}, // as if nothing had been freed
      {.freed = 2, .drops = 180, .moved = 8},             // the programs were attached anew
  };
  for (const auto &sample : samples) {
    freed = sample.freed;
    observed.sample({{1, "a", 0, 10, sample.drops}});
    const auto moved = observed.set.drops_moved();
    ck_assert_uint_eq(moved.empty() ? 0 : moved.front().drops, sample.moved);
    ck_assert(moved.empty() || moved.front().full); // whatever the queue is like
  }
  ck_assert_uint_eq(observed.set.take_moved(), 43);
  ck_assert_uint_eq(observed.set.take_moved(), 0);
}
END_TEST

START_TEST(a_rest_counts_as_it_began) {
  Observed observed;
  observed.sample({{1, "a", 1, 10}});
  observed.harvest();
  observed.sample({{1, "a", 1, 10}}, 10ms, 50ms);
  observed.rest(970ms);
  observed.sample({{1, "a", 8, 10}}, 20ms, 50ms); // what woke the sampler
  const auto listeners = observed.harvest();
  ck_assert_double_eq_tol(listeners.at("a").queue.mean, (980 * 1 + 20 * 8) / 1000.0, 1e-6);
}
END_TEST

START_TEST(stuck) {
  Observed observed;
  observed.sample({{1, "a", 0, 100}});
  observed.sample({{1, "a", 2, 100}}, 25ms);
  ck_assert(!observed.set.is_stuck(60ms));
  observed.sample({{1, "a", 3, 100}}, 25ms);
  ck_assert(!observed.set.is_stuck(60ms));
  observed.sample({{1, "a", 3, 100}}, 25ms);
  observed.sample({{1, "a", 3, 100}}, 25ms);
  ck_assert(observed.set.is_stuck(60ms));
  observed.sample({{1, "a", 2, 100}}, 25ms); // somebody was accepted
  ck_assert(!observed.set.is_stuck(60ms));
  observed.sample({{1, "a", 1, 100}}, 25ms);
  observed.sample({{1, "a", 1, 100}}, 100ms); // a single one
  ck_assert(!observed.set.is_stuck(60ms));
}
END_TEST

START_TEST(whom_each_member_refused) {
  const struct {
    const char *what;
    std::vector<std::vector<Observed::Socket>> samples; ///< after an empty one
    std::optional<std::uint64_t> unlimited_peak;
  } cases[] = {
      {"nobody", {{{1, "a", 11}, {2, "a", 11}}}, {}},
      {"one of two", {{{1, "a", 11, 10, 20}, {2, "a", 3}}}, 31},
      {"both, the longer of the two counts",
       {{{1, "a", 11, 10, 20}, {2, "a", 0}}, {{1, "a", 11, 10, 20}, {2, "a", 11, 10, 30}}},
       41},
      {"one that closes then",
       {{{1, "a", 11, 10, 20}, {2, "a", 0}}, {{2, "a", 0}}, {{2, "a", 0}}},
       31},
  };
  for (const auto &c : cases) {
    Observed observed;
    observed.sample({{1, "a"}, {2, "a"}});
    for (const auto &sockets : c.samples) {
      observed.sample(sockets);
      observed.set.note_refused({});
    }
    ck_assert_msg(observed.harvest().at("a").unlimited_peak == c.unlimited_peak, "%s", c.what);
  }
}
END_TEST

// Without events the counters of the net namespace tell SYNs from ACKs. Its member alone refuses.
START_TEST(acks_that_come_again_are_of_the_same_clients) {
  Observed observed;
  observed.sample({{1, "a"}, {2, "b"}});
  observed.sample({{1, "a", 11, 10, 45}, {2, "b"}}); // 5 SYNs, 20 ACKs and data
  observed.set.note_refused({.overflows = 25});
  observed.sample({{1, "a", 11, 10, 45}, {2, "b"}}, 200ms);
  observed.sample({{1, "a", 11, 10, 65}, {2, "b"}}); // 10 come again
  observed.set.note_refused({.overflows = 10});
  observed.sample({{1, "a", 11, 10, 65}, {2, "b"}});
  observed.sample({{1, "a", 11, 10, 65}, {2, "b"}}, 300ms);
  ck_assert(observed.harvest().at("a").unlimited_peak == 26U);
}
END_TEST

// The counter is read after the sockets. What it is ahead by is of the next sample, or of a
// listener that nobody sees.
START_TEST(overflows_that_were_counted_early_are_of_the_next_sample) {
  for (const bool is_quiet : {false, true}) {
    Observed observed;
    observed.sample({{1, "a"}, {2, "b"}});
    observed.sample({{1, "a", 11, 10, 4}, {2, "b"}});
    observed.set.note_refused({.overflows = 20});
    if (is_quiet)
      observed.sample({{1, "a", 11, 10, 4}, {2, "b"}});
    observed.sample({{1, "a", 11, 10, 4}, {2, "b", 11, 10, 16}});
    observed.set.note_refused({.overflows = 8});
    for (int i = 0; i < 2; ++i)
      observed.sample({{1, "a", 11, 10, 4}, {2, "b", 11, 10, 16}}, 400ms);
    const std::uint64_t refused = is_quiet ? 8 : 16; // ACKs, which are freed, or SYNs
    ck_assert_uint_eq(observed.harvest().at("b").unlimited_peak.value_or(0), 11 + refused);
  }
}
END_TEST

// The counters of the net namespace do not tell whose segments came again.
START_TEST(acks_beside_another_socket_that_refuses_are_not_known) {
  const struct {
    const char *what = "";
    ListenerSet::Risen risen;
    std::uint32_t drops = 0; ///< of b, beside 20 of a
    std::optional<std::uint64_t> a, b;
  } cases[] = {
      {"SYNs", {.overflows = 50}, 30, 31U, 41U},
      {"SYNs, counted early", {.overflows = 60}, 30, 31U, 41U},
      {"an ACK among them", {.overflows = 49}, 30, 31U, 41U},
      {"ACKs", {.overflows = 45}, 30, {}, {}},
      {"cookies", {.overflows = 50, .cookies = 10}, 30, {}, {}},
      {"no counter", {}, 30, 31U, 41U},
      {"ACKs of a alone", {.overflows = 15}, 0, 21U, {}}, // 10 SYNs so far
  };
  for (const auto &c : cases) {
    Observed observed;
    observed.sample({{1, "a"}, {2, "b"}});
    observed.sample({{1, "a", 11, 10, 20}, {2, "b", 11, 10, c.drops}});
    observed.set.note_refused(c.risen);
    const auto listeners = observed.harvest();
    ck_assert_msg(listeners.at("a").unlimited_peak == c.a, "%s", c.what);
    ck_assert_msg(listeners.at("b").unlimited_peak == c.b, "%s", c.what);
    for (const char *name : {"a", "b"})
      ck_assert_msg(listeners.at(name).runs.unseen_for == 0ms, "%s", c.what);
  }
}
END_TEST

START_TEST(a_peak_is_compared_with_the_limit_of_its_time) {
  const struct {
    const char *what;
    std::vector<std::vector<Observed::Socket>> samples;
    std::uint64_t peak;
    Window::Queues queues;
  } cases[] = {
      {"a member closes while full",
       {{{1, "a", 9, 8}, {2, "a", 9, 8}}, {{1, "a", 9, 8}}, {{1, "a", 9, 8}}},
       18,
       {16, 2}},
      {"a limit is lowered", {{{1, "a", 30, 40}}, {{1, "a", 9, 8}}}, 30, {40, 1}},
      {"and raised", {{{1, "a", 9, 8}}, {{1, "a", 3, 40}}}, 9, {8, 1}},
      {"a member comes", {{{1, "a", 9, 8}}, {{1, "a", 0, 8}, {2, "a", 0, 8}}}, 9, {8, 1}},
      {"no peak", {{{1, "a", 0, 8}, {2, "a", 0, 8}}}, 0, {16, 2}},
      {"none that counts",
       {{{1, "a", 3, 8}, {.cookie = 2, .name = "a", .length = 0, .limit = 8, .counted = false}}},
       3,
       {8, 1}},
  };
  for (const auto &c : cases) {
    Observed observed;
    for (const auto &sockets : c.samples)
      observed.sample(sockets);
    const WindowFigures queue = observed.harvest().at("a").queue;
    ck_assert_msg(queue.peak == c.peak, "%s", c.what);
    ck_assert_msg(queue.peak_queues.limit == c.queues.limit, "%s", c.what);
    ck_assert_msg(queue.peak_queues.members == c.queues.members, "%s", c.what);
  }
}
END_TEST

// Events see more than the samples, and not how many members there were.
START_TEST(a_peak_of_events_is_compared_with_the_most_that_fitted) {
  Observed observed;
  observed.set.ask_events([](std::uint64_t cookie) { return cookie == 2; });
  observed.sample({{1, "a", 0, 8}, {2, "a", 0, 8}, {3, "b", 0, 20}});
  (void)observed.harvest();
  observed.sample({{1, "a", 0, 8}, {3, "b", 0, 8}});
  observed.sample({{1, "a", 0, 8}, {3, "b", 0, 8}});
  EventReading events;
  events.sockets[2].peak = 9;
  events.sockets[2].group_peak = 18;
  events.sockets[2].limit = 8;
  events.sockets[3].peak = 21;
  events.sockets[3].limit = 20;
  observed.set.take_events(events);
  const auto listeners = observed.harvest();
  ck_assert_uint_eq(listeners.at("a").queue.peak, 18);
  ck_assert_uint_eq(listeners.at("a").queue.peak_queues.capacity(), 18);
  ck_assert_uint_eq(listeners.at("b").queue.peak, 21);
  ck_assert_uint_eq(listeners.at("b").queue.peak_queues.capacity(), 21);
}
END_TEST

// A client that is refused while nobody looks may have come any number of times.
START_TEST(whom_a_queue_refused_unseen_is_not_known) {
  struct Step {
    std::chrono::milliseconds after;
    std::uint32_t length;
    std::uint32_t drops;
    std::chrono::milliseconds rested = 0ms; ///< of `after`, while events showed that nothing was
  };
  const struct {
    const char *what;
    std::vector<std::vector<Step>> intervals; ///< the last counts
    std::optional<std::uint64_t> unlimited_peak;
    std::chrono::milliseconds unseen = 0ms;
  } cases[] = {
      {"seen", {{{10ms, 11, 20}}}, 31U},
      {"sooner than a client comes again", {{{900ms, 11, 20}}}, 31U},
      {"not looked at", {{{4s, 11, 20}}}, {}, 4s},
      {"nor seen full", {{{4s, 0, 20}}}, {}, 4s},
      {"nobody was refused then, but some waited",
       {{{4s, 3, 0}, {10ms, 11, 20}, {10ms, 0, 20}}},
       31U,
       4s},
      {"events saw that nothing happened", {{{4s, 11, 20, 3900ms}}}, 31U},
      {"and refused again at the same queue", {{{4s, 11, 20}, {10ms, 11, 25}}}, {}, 4s},
      {"and in the next interval", {{{4s, 11, 20}}, {{10ms, 11, 25}}}, {}, 4s},
      {"and as long as they may come again",
       {{{4s, 11, 20}}, {{10ms, 0, 20}, {4400ms, 0, 20}}, {{10ms, 11, 25}, {10ms, 0, 25}}},
       {}},
      {"and later",
       {{{4s, 11, 20}}, {{10ms, 0, 20}, {4500ms, 0, 20}}, {{10ms, 11, 25}, {10ms, 0, 25}}},
       16U},
      {"and in the same interval", {{{4s, 11, 20}, {10ms, 0, 20}, {10ms, 11, 25}}}, {}, 4s},
  };
  for (const auto &c : cases) {
    Observed observed;
    observed.sample({{1, "a"}});
    ListenerInterval a;
    std::uint32_t drops = 0;
    for (const auto &interval : c.intervals) {
      for (const Step &step : interval) {
        observed.rest(step.rested);
        observed.sample({{1, "a", step.length, 10, step.drops}}, step.after - step.rested);
        observed.set.note_refused({.overflows = step.drops - std::exchange(drops, step.drops)});
      }
      a = observed.harvest().at("a");
    }
    ck_assert_msg(a.unlimited_peak == c.unlimited_peak, "%s", c.what);
    ck_assert_msg(a.runs.unseen_for == c.unseen, "%s", c.what);
  }
}
END_TEST

// Events tell those who came once from those who came again, but not of SYNs.
START_TEST(events_know_whom_a_queue_refused_unseen) {
  const struct {
    const char *what = "";
    FreedSegments freed;
    std::uint32_t drops = 0;
    std::optional<std::uint64_t> unlimited_peak;
  } cases[] = {
      {"20 final ACKs and 20 that are sent again",
       {.freed = 40, .final_acks = 20, .repeated = 20},
       80,
       31U},
      {"and a SYN", {.freed = 40, .final_acks = 20, .repeated = 20}, 81, {}},
  };
  for (const auto &c : cases) {
    FreedSegments freed;
    Observed observed;
    observed.set.ask_frees([&](std::uint64_t) { return std::optional(freed); });
    observed.sample({{1, "a"}});
    freed = c.freed;
    observed.sample({{1, "a", 11, 10, c.drops}}, 4s);
    observed.set.note_refused({});
    ck_assert_msg(observed.harvest().at("a").unlimited_peak == c.unlimited_peak, "%s", c.what);
  }
}
END_TEST

// The time at which a queue is seen empty is the time in which those refused would have been
// accepted, however often it is looked at.
START_TEST(refused_ones_are_accepted_while_the_queue_is_empty) {
  Observed observed;
  observed.sample({{1, "a"}});
  observed.sample({{1, "a", 11, 10, 20}});
  observed.set.note_refused({});
  observed.sample({{1, "a", 1, 10, 20}}); // 1000 a second
  for (int i = 0; i < 5; ++i)
    observed.sample({{1, "a", 0, 10, 20}});
  (void)observed.harvest();
  observed.sample({{1, "a", 11, 10, 24}});
  observed.set.note_refused({});
  ck_assert(observed.harvest().at("a").unlimited_peak == 15U);
}
END_TEST

int main() {
  return run_tests(
      "listener_set", a_peak_is_compared_with_the_limit_of_its_time,
      a_peak_of_events_is_compared_with_the_most_that_fitted,
      whom_a_queue_refused_unseen_is_not_known, events_know_whom_a_queue_refused_unseen,
      events_tell_what_no_sample_saw, events_of_a_part_of_an_interval_are_no_flow,
      events_of_a_socket_that_is_gone_are_its_listeners, drops_are_exact_with_frees,
      a_rest_counts_as_it_began, accepts_are_no_stall_though_the_queue_never_falls,
      one_accept_between_two_samples_is_no_stall, stuck, members_of_one_name_are_one_listener,
      windows_end_at_the_harvest, one_miss_is_not_gone, who_went, a_broken_dump_loses_nobody,
      a_broken_dump_loses_no_drops, restart_keeps_the_listener, relisten_changes_the_limit_only,
      drops_have_a_baseline, full_at_either_end, drops_that_the_kernel_does_not_tell,
      aggregate_is_the_sum_of_its_listeners, filling, activity, runs_cross_intervals,
      members_that_have_not_been_seen_to_shrink, members_at_90_percent, members_apart,
      steady_samples_do_not_allocate, order_of_the_dump_does_not_matter,
      addresses_that_meet_in_one_name_are_two_listeners,
      an_address_keeps_its_name_when_the_other_goes, names_that_are_made_to_meet_stay_apart,
      a_listener_settles_after_ten_minutes, lowest_limit_is_of_a_member_that_is_there,
      for_how_long_the_lowest_limit_has_stood, the_lowest_limit_of_the_interval,
      a_limit_is_older_than_the_name, lowest_limit_of_the_fold,
      a_sample_stands_for_no_more_than_its_maximum, a_member_that_is_not_counted_is_a_socket_more,
      who_went_with_nothing_to_tell_is_forgotten_at_once, a_million_listeners_in_one_interval,
      collisions_of_an_interval_are_few_and_told_once_each,
      beyond_the_room_come_those_with_clients_and_those_with_a_name,
      sets_share_a_room_until_they_go, whom_each_member_refused,
      acks_that_come_again_are_of_the_same_clients,
      overflows_that_were_counted_early_are_of_the_next_sample,
      acks_beside_another_socket_that_refuses_are_not_known,
      refused_ones_are_accepted_while_the_queue_is_empty);
}
