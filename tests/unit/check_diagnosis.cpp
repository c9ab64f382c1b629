#include "diagnosis.h"
#include "test_program.h"

#include <chrono>
#include <functional>
#include <string>
#include <vector>

using namespace backlog;
using namespace std::chrono_literals;

namespace {

/// A listener, its namespace and what it is judged by: by default nginx at rest.
struct Scene {
  ListenerFacts facts;
  NamespaceFacts common{.measured = 10s, .somaxconn = 4096, .tcp_syncookies = 1};
  DiagnosisLimits limits;
  ListenerHistory history;

  Scene() {
    facts.name = "tcp_any_80";
    facts.owner = "nginx.service";
    set_limit(511);
    facts.somaxconn_at_listen = 4096;
  }

  void set_limit(std::uint32_t limit) {
    facts.limit = limit;
    facts.lowest_limit = limit;
  }
  void set_peak(std::uint64_t peak) {
    facts.queue.peak = peak;
    facts.queue.used_percent = used_percent(peak, facts.limit);
    facts.worst_member_percent = facts.queue.used_percent;
    facts.median_member_percent = facts.queue.used_percent;
  }
  /// The accept queue overflowed; it was full and not empty for so long.
  void overflow(std::uint64_t overflows, std::chrono::nanoseconds run) {
    set_peak(facts.limit + 1);
    facts.overflows = overflows;
    facts.drops = overflows;
    facts.runs.longest_full_run = run;
    facts.runs.longest_full = run;
  }
  void use_unix() {
    facts.name = "unix_run_php-fpm-sock";
    facts.owner = "php-fpm.service";
    facts.family = Family::unix_socket;
    facts.drops_known = false;
  }
  /// Four sockets of one name, with limit 128 each.
  void use_group() {
    facts.members = 4;
    facts.limit = 512;
    facts.lowest_limit = 128;
  }

  Diagnosis judge() {
    if (facts.queue.peak_queues.members == 0)
      facts.queue.peak_queues = {facts.limit, facts.members};
    history.add(facts, common, limits);
    return diagnose(facts, common, limits, history);
  }
  /// After so many intervals of the same.
  Diagnosis judge_last_of(int intervals) {
    for (int i = 1; i < intervals; ++i)
      (void)judge();
    return judge();
  }
};

struct Case {
  const char *what = nullptr;
  std::function<void(Scene &)> arrange;
  ListenerState state{};
  Cause cause{};
  LimitSource limit_source{};
  const char *message = nullptr;
  int intervals = 1; ///< of the same, the last of which is looked at
};

void check(const std::vector<Case> &cases) {
  for (const Case &c : cases) {
    Scene scene;
    c.arrange(scene);
    const Diagnosis diagnosis = scene.judge_last_of(c.intervals);
    assert_text(std::string(c.what) + ": " + std::string(name_of(diagnosis.state)),
                std::string(c.what) + ": " + std::string(name_of(c.state)));
    assert_text(std::string(c.what) + ": " + std::string(name_of(diagnosis.cause)),
                std::string(c.what) + ": " + std::string(name_of(c.cause)));
    assert_text(std::string(c.what) + ": " + std::string(name_of(diagnosis.limit_source)),
                std::string(c.what) + ": " + std::string(name_of(c.limit_source)));
    assert_text(diagnosis.message, c.message);
  }
}

constexpr std::uint64_t most = ~0ULL;

using enum layout::State;
using enum layout::Cause;

} // namespace

START_TEST(overflows) {
  using enum layout::LimitSource;
  check({
      {.what = "burst at the application's backlog",
       .arrange = [](Scene &s) { s.overflow(34, 300ms); },
       .state = overflow,
       .cause = burst,
       .limit_source = application,
       .message =
           "tcp_any_80 (nginx.service): accept queue overflow, peak 512 of 512, 34 drops in 10 s; "
           "burst: raise listen() backlog (511, somaxconn 4096)"},
      {.what = "a run of which nobody saw all",
       .arrange =
           [](Scene &s) {
             s.overflow(34, 300ms);
             s.facts.runs.unseen_for = 4200ms;
             s.facts.unlimited_peak = 600;
           },
       .state = overflow,
       .cause = none,
       .limit_source = application,
       .message =
           "tcp_any_80 (nginx.service): accept queue overflow, peak 512 of 512, 34 drops in 10 s; "
           "not looked at for 4.2 s, so its cause is not known"},
      {.what = "such a pause",
       .arrange =
           [](Scene &s) {
             s.overflow(34, 3s);
             s.facts.runs.longest_pause = 3s;
             s.facts.runs.unseen_for = 2s;
           },
       .state = overflow,
       .cause = none,
       .limit_source = application,
       .message =
           "tcp_any_80 (nginx.service): accept queue overflow, peak 512 of 512, 34 drops in 10 s; "
           "not looked at for 2 s, so its cause is not known"},
      {.what = "such a run, which goes on",
       .arrange =
           [](Scene &s) {
             s.overflow(34, 300ms);
             s.facts.runs.full_run_goes_on = true;
             s.facts.runs.full_run_for = 300ms;
             s.facts.runs.unseen_for = 2s;
           },
       .state = overflow,
       .cause = none,
       .limit_source = application,
       .message =
           "tcp_any_80 (nginx.service): accept queue overflow, peak 512 of 512, 34 drops in 10 s; "
           "full for 0.3 s so far"},
      {.what = "such a run, and nobody was seen to be accepted",
       .arrange =
           [](Scene &s) {
             s.overflow(34, 3s);
             s.facts.runs.unseen_for = 2s;
           },
       .state = overflow,
       .cause = none,
       .limit_source = application,
       .message =
           "tcp_any_80 (nginx.service): accept queue overflow, peak 512 of 512, 34 drops in 10 s; "
           "not looked at for 2 s, so its cause is not known"},
      {.what = "such a run, and somebody was",
       .arrange =
           [](Scene &s) {
             s.overflow(34, 3s);
             s.facts.runs.unseen_for = 2s;
             s.facts.accepted = true;
           },
       .state = overflow,
       .cause = slow_accept,
       .limit_source = application,
       .message =
           "tcp_any_80 (nginx.service): accept queue overflow, peak 512 of 512, 34 drops in 10 s; "
           "slow_accept: the application does not keep up, a longer queue only adds waiting"},
      {.what = "a member that has closed since",
       .arrange =
           [](Scene &s) {
             s.set_limit(8);
             s.overflow(34, 300ms);
             s.facts.queue.peak = 18;
             s.facts.queue.peak_queues = {.limit = 16, .members = 2};
           },
       .state = overflow,
       .cause = burst,
       .limit_source = application,
       .message = "tcp_any_80 (nginx.service): accept queue overflow, peak 18 of 18 in 2 sockets, "
                  "34 drops in 10 s; burst: raise listen() backlog (8, somaxconn 4096)"},
      {.what = "burst at somaxconn",
       .arrange =
           [](Scene &s) {
             s.set_limit(4096);
             s.overflow(34, 300ms);
           },
       .state = overflow,
       .cause = burst,
       .limit_source = somaxconn,
       .message = "tcp_any_80 (nginx.service): accept queue overflow, peak 4097 of 4097, 34 drops "
                  "in 10 s; "
                  "burst: raise net.core.somaxconn (4096), then restart it"},
      {.what = "somaxconn raised without a restart",
       .arrange =
           [](Scene &s) {
             s.set_limit(128);
             s.facts.somaxconn_at_listen = 128;
             s.overflow(1, 300ms);
           },
       .state = overflow,
       .cause = burst,
       .limit_source = stale,
       .message =
           "tcp_any_80 (nginx.service): accept queue overflow, peak 129 of 129, 1 drop in 10 s; "
           "burst: restart it to listen() again (limit still 128, somaxconn now 4096)"},
      {.what = "somaxconn lowered below the limit",
       .arrange =
           [](Scene &s) {
             s.common.somaxconn = 128;
             s.overflow(2, 300ms);
           },
       .state = overflow,
       .cause = burst,
       .limit_source = stale,
       .message =
           "tcp_any_80 (nginx.service): accept queue overflow, peak 512 of 512, 2 drops in 10 s; "
           "burst: raise listen() backlog (511) and net.core.somaxconn (128), then restart it"},
      {.what = "limit 0",
       .arrange =
           [](Scene &s) {
             s.set_limit(0);
             s.overflow(7, 0ms);
           },
       .state = overflow,
       .cause = burst,
       .limit_source = zero,
       .message =
           "tcp_any_80 (nginx.service): accept queue overflow, peak 1 of 1, 7 drops in 10 s; "
           "burst: raise listen() backlog (0, somaxconn 4096)"},
      {.what = "limit 0 by somaxconn",
       .arrange =
           [](Scene &s) {
             s.set_limit(0);
             s.common.somaxconn = 0;
             s.overflow(7, 0ms);
           },
       .state = overflow,
       .cause = burst,
       .limit_source = zero,
       .message =
           "tcp_any_80 (nginx.service): accept queue overflow, peak 1 of 1, 7 drops in 10 s; "
           "burst: raise net.core.somaxconn (0), then restart it"},
      {.what = "somaxconn that cannot be read",
       .arrange =
           [](Scene &s) {
             s.common.somaxconn.reset();
             s.overflow(7, 0ms);
           },
       .state = overflow,
       .cause = burst,
       .limit_source = unknown,
       .message =
           "tcp_any_80 (nginx.service): accept queue overflow, peak 512 of 512, 7 drops in 10 s; "
           "burst: raise listen() backlog (511) or net.core.somaxconn"},
      {.what = "a server slower than its arrivals",
       .arrange =
           [](Scene &s) {
             s.overflow(12345, 20s);
             s.facts.drops = 12350;
             s.common.measured = 60s;
             s.facts.owner = "";
           },
       .state = overflow,
       .cause = slow_accept,
       .limit_source = application,
       .message =
           "tcp_any_80: accept queue overflow, peak 512 of 512, 12350 drops in 60 s; "
           "slow_accept: the application does not keep up, a longer queue only adds waiting"},
      {.what = "a full moment between two samples of a queue that is never empty",
       .arrange =
           [](Scene &s) {
             s.overflow(1, 0ms);
             s.facts.runs.not_empty_for = 10s;
           },
       .state = overflow,
       .cause = slow_accept,
       .limit_source = application,
       .message =
           "tcp_any_80 (nginx.service): accept queue overflow, peak 512 of 512, 1 drop in 10 s; "
           "slow_accept: the application does not keep up, a longer queue only adds waiting"},
      {.what = "full since a moment before the interval's end",
       .arrange =
           [](Scene &s) {
             s.overflow(200, 600ms);
             s.facts.queue.last = 512;
             s.facts.runs.full_run_goes_on = true;
             s.facts.runs.full_run_for = s.facts.runs.full_untouched_for = 600ms;
           },
       .state = overflow,
       .cause = none,
       .limit_source = application,
       .message =
           "tcp_any_80 (nginx.service): accept queue overflow, peak 512 of 512, 200 drops in 10 s; "
           "full for 0.6 s so far"},
      {.what = "full just now",
       .arrange =
           [](Scene &s) {
             s.overflow(200, 49ms);
             s.facts.runs.full_run_goes_on = true;
             s.facts.runs.full_run_for = 49ms;
           },
       .state = overflow,
       .cause = none,
       .limit_source = application,
       .message =
           "tcp_any_80 (nginx.service): accept queue overflow, peak 512 of 512, 200 drops in 10 s; "
           "full just now"},
      {.what = "full for the shortest time that is shown",
       .arrange =
           [](Scene &s) {
             s.overflow(200, 50ms);
             s.facts.somaxconn_at_listen.reset();
             s.facts.runs.full_run_goes_on = true;
             s.facts.runs.full_run_for = 50ms;
           },
       .state = overflow,
       .cause = none,
       .limit_source = unknown,
       .message =
           "tcp_any_80 (nginx.service): accept queue overflow, peak 512 of 512, 200 drops in 10 s; "
           "full for 0.1 s so far"},
      {.what = "full for long, and nobody knows who set the limit",
       .arrange =
           [](Scene &s) {
             s.overflow(200, 1s);
             s.facts.somaxconn_at_listen.reset();
             s.facts.runs.full_run_goes_on = true;
             s.facts.runs.full_run_for = s.facts.runs.full_untouched_for = 1s;
           },
       .state = overflow,
       .cause = none,
       .limit_source = unknown,
       .message =
           "tcp_any_80 (nginx.service): accept queue overflow, peak 512 of 512, 200 drops in 10 s; "
           "full for 1 s so far; limit 511, not known who set it: a restart may be enough"},
      {.what = "full for long, at a somaxconn that was lowered to the limit",
       .arrange =
           [](Scene &s) {
             s.overflow(200, 1s);
             s.facts.somaxconn_at_listen.reset();
             s.facts.somaxconn_first_seen = 4096;
             s.common.somaxconn = 511;
             s.facts.runs.full_run_goes_on = true;
             s.facts.runs.full_run_for = s.facts.runs.full_untouched_for = 1s;
           },
       .state = overflow,
       .cause = none,
       .limit_source = unknown,
       .message =
           "tcp_any_80 (nginx.service): accept queue overflow, peak 512 of 512, 200 drops in 10 s; "
           "full for 1 s so far"},
      {.what = "a burst at a somaxconn that was lowered to the application's limit",
       .arrange =
           [](Scene &s) {
             s.overflow(34, 300ms);
             s.common.somaxconn = 511;
           },
       .state = overflow,
       .cause = burst,
       .limit_source = application,
       .message =
           "tcp_any_80 (nginx.service): accept queue overflow, peak 512 of 512, 34 drops in 10 s; "
           "burst: raise listen() backlog (511) and net.core.somaxconn (511), then restart it"},
      {.what = "full for long, by the application's limit",
       .arrange =
           [](Scene &s) {
             s.overflow(200, 2s);
             s.facts.runs.full_run_goes_on = true;
             s.facts.runs.full_run_for = s.facts.runs.full_untouched_for = 2s;
           },
       .state = overflow,
       .cause = none,
       .limit_source = application,
       .message =
           "tcp_any_80 (nginx.service): accept queue overflow, peak 512 of 512, 200 drops in 10 s; "
           "full for 2 s so far"},
      {.what = "a pause",
       .arrange =
           [](Scene &s) {
             s.overflow(200, 2500ms);
             s.facts.runs.longest_pause = 2s;
           },
       .state = overflow,
       .cause = pause,
       .limit_source = application,
       .message =
           "tcp_any_80 (nginx.service): accept queue overflow, peak 512 of 512, 200 drops in 10 s; "
           "pause: none accepted for 2 s, a longer queue would hold them that long: raise "
           "listen() backlog (511, somaxconn 4096)"},
      {.what = "the shortest pause, and a full run twice as long",
       .arrange =
           [](Scene &s) {
             s.overflow(200, 1s);
             s.facts.runs.longest_pause = 500ms;
           },
       .state = overflow,
       .cause = pause,
       .limit_source = application,
       .message =
           "tcp_any_80 (nginx.service): accept queue overflow, peak 512 of 512, 200 drops in 10 s; "
           "pause: none accepted for 0.5 s, a longer queue would hold them that long: raise "
           "listen() backlog (511, somaxconn 4096)"},
      {.what = "a pause of less than a second in a longer run",
       .arrange =
           [](Scene &s) {
             s.overflow(200, 2500ms);
             s.facts.runs.longest_pause = 900ms;
           },
       .state = overflow,
       .cause = slow_accept,
       .limit_source = application,
       .message =
           "tcp_any_80 (nginx.service): accept queue overflow, peak 512 of 512, 200 drops in 10 s; "
           "slow_accept: the application does not keep up, a longer queue only adds waiting"},
      {.what = "a pause beside a long overload",
       .arrange =
           [](Scene &s) {
             s.overflow(200, 8s);
             s.facts.runs.longest_pause = 2s;
           },
       .state = overflow,
       .cause = slow_accept,
       .limit_source = application,
       .message =
           "tcp_any_80 (nginx.service): accept queue overflow, peak 512 of 512, 200 drops in 10 s; "
           "slow_accept: the application does not keep up, a longer queue only adds waiting"},
      {.what = "a limit that was set before anyone looked",
       .arrange =
           [](Scene &s) {
             s.facts.somaxconn_at_listen.reset();
             s.facts.somaxconn_first_seen = 4096;
             s.overflow(34, 300ms);
           },
       .state = overflow,
       .cause = burst,
       .limit_source = unknown,
       .message =
           "tcp_any_80 (nginx.service): accept queue overflow, peak 512 of 512, 34 drops in 10 s; "
           "burst: raise listen() backlog (511, somaxconn 4096), not known who set it: a "
           "restart may be enough"},
      {.what = "somaxconn raised since the first look",
       .arrange =
           [](Scene &s) {
             s.set_limit(128);
             s.facts.somaxconn_at_listen.reset();
             s.facts.somaxconn_first_seen = 128;
             s.overflow(34, 300ms);
           },
       .state = overflow,
       .cause = burst,
       .limit_source = stale,
       .message =
           "tcp_any_80 (nginx.service): accept queue overflow, peak 129 of 129, 34 drops in 10 s; "
           "burst: restart it to listen() again (limit still 128, somaxconn now 4096)"},
      {.what = "a run of just less than the first retransmission",
       .arrange =
           [](Scene &s) {
             s.overflow(1, 999ms);
             s.common.measured = 2500ms;
           },
       .state = overflow,
       .cause = burst,
       .limit_source = application,
       .message =
           "tcp_any_80 (nginx.service): accept queue overflow, peak 512 of 512, 1 drop in 2.5 s; "
           "burst: raise listen() backlog (511, somaxconn 4096)"},
      {.what = "a run of the first retransmission",
       .arrange =
           [](Scene &s) {
             s.overflow(1, 1s);
             s.common.measured = 950ms;
           },
       .state = overflow,
       .cause = slow_accept,
       .limit_source = application,
       .message =
           "tcp_any_80 (nginx.service): accept queue overflow, peak 512 of 512, 1 drop in 1 s; "
           "slow_accept: the application does not keep up, a longer queue only adds waiting"},
      {.what = "an interval that collectd ended at once",
       .arrange =
           [](Scene &s) {
             s.overflow(1, 999ms);
             s.common.measured = 12ms;
           },
       .state = overflow,
       .cause = burst,
       .limit_source = application,
       .message = "tcp_any_80 (nginx.service): accept queue overflow, peak 512 of 512, 1 drop; "
                  "burst: raise listen() backlog (511, somaxconn 4096)"},
      {.what = "an overflow, and a full SYN queue for it",
       .arrange =
           [](Scene &s) {
             s.overflow(34, 300ms);
             s.facts.syn_length = 512;
             s.common.cookies_rose = true;
           },
       .state = overflow,
       .cause = burst,
       .limit_source = application,
       .message =
           "tcp_any_80 (nginx.service): accept queue overflow, peak 512 of 512, 34 drops in 10 s; "
           "burst: raise listen() backlog (511, somaxconn 4096)",
       .intervals = 3},
      {.what = "a group whose knob is its worst member's",
       .arrange =
           [](Scene &s) {
             s.use_group();
             s.overflow(34, 300ms);
             s.facts.queue.peak = 400;
           },
       .state = overflow,
       .cause = burst,
       .limit_source = application,
       .message = "tcp_any_80 (nginx.service): accept queue overflow, peak 400 of 516 in 4 "
                  "sockets, 34 drops "
                  "in 10 s; burst: raise listen() backlog (128, somaxconn 4096)"},
      {.what = "a group of two",
       .arrange =
           [](Scene &s) {
             s.overflow(34, 300ms);
             s.facts.members = 2;
             s.facts.queue.peak = 400;
           },
       .state = overflow,
       .cause = burst,
       .limit_source = application,
       .message = "tcp_any_80 (nginx.service): accept queue overflow, peak 400 of 513 in 2 "
                  "sockets, 34 drops in 10 s; burst: raise listen() backlog (511, somaxconn 4096)"},
      {.what = "one member of four is stuck",
       .arrange =
           [](Scene &s) {
             s.use_group();
             s.overflow(34, 8s);
             s.facts.queue.peak = 130;
             s.facts.median_member_percent = 0.8;
             s.facts.longest_hot_member = 8s;
           },
       .state = overflow,
       .cause = skew,
       .limit_source = application,
       .message =
           "tcp_any_80 (nginx.service): accept queue overflow, peak 130 of 516 in 4 sockets, 34 "
           "drops "
           "in 10 s; skew: the fullest of 4 members at 100 %, the median at 1 %, restart the stuck "
           "one"},
  });
}
END_TEST

START_TEST(skew_needs_a_stuck_member_among_idle_ones) {
  struct Members {
    std::uint32_t count;
    double worst;
    double median;
    Cause cause;
    std::chrono::milliseconds hot_for = 1s;
  };
  for (const Members &members :
       {Members{2, 90, 10, skew}, Members{2, 90, 10, burst, 999ms}, Members{2, 89.9, 10, burst},
        Members{2, 90, 10.1, burst}, Members{1, 100, 0, burst}}) {
    Scene scene;
    scene.overflow(1, 0ms);
    scene.facts.members = members.count;
    scene.facts.worst_member_percent = members.worst;
    scene.facts.median_member_percent = members.median;
    scene.facts.longest_hot_member = members.hot_for;
    assert_text(std::string(name_of(scene.judge().cause)), std::string(name_of(members.cause)));
  }
}
END_TEST

START_TEST(skew_among_small_queues) {
  struct Members {
    std::uint32_t limit;
    double median; ///< connections
    Cause cause;
  };
  for (const Members &members :
       {Members{8, 1, skew}, Members{8, 2, skew}, Members{8, 3, burst}, Members{16, 2, skew},
        Members{16, 3, burst}, Members{3, 2, skew}, Members{1, 1, skew}, Members{1, 2, burst},
        Members{0, 1, burst}, Members{128, 12, skew}, Members{128, 13, burst}}) {
    Scene scene;
    scene.overflow(1, 0ms);
    scene.facts.members = 4;
    scene.facts.lowest_limit = members.limit;
    scene.facts.worst_member_percent = 100;
    scene.facts.median_member_percent = 100 * members.median / (members.limit + 1);
    scene.facts.longest_hot_member = 1s;
    assert_text(std::string(name_of(scene.judge().cause)), std::string(name_of(members.cause)));
  }
}
END_TEST

START_TEST(a_member_that_is_full_is_not_judged_by_the_accepts_of_others) {
  struct Members {
    double median;
    bool goes_on;
    std::chrono::milliseconds hot_for;
    Cause cause;
  };
  for (const Members &members :
       {Members{0, true, 900ms, Cause::none}, Members{0, true, 1s, skew},
        Members{0, false, 900ms, slow_accept}, Members{50, true, 900ms, slow_accept}}) {
    Scene scene;
    scene.overflow(1, 1900ms);
    scene.facts.members = 4;
    scene.facts.worst_member_percent = 100;
    scene.facts.median_member_percent = members.median;
    scene.facts.longest_hot_member = members.hot_for;
    scene.facts.runs.full_run_goes_on = members.goes_on;
    scene.facts.runs.full_run_for = 1900ms;
    scene.facts.accepted = true;
    assert_text(std::string(name_of(scene.judge().cause)), std::string(name_of(members.cause)));
  }
}
END_TEST

START_TEST(full_listeners_without_a_counter) {
  using enum layout::LimitSource;
  check({
      {.what = "a burst",
       .arrange =
           [](Scene &s) {
             s.use_unix();
             s.set_limit(128);
             s.set_peak(129);
             s.facts.runs.longest_full = 320ms;
             s.facts.runs.longest_full_run = 450ms;
           },
       .state = overflow,
       .cause = burst,
       .limit_source = application,
       .message = "unix_run_php-fpm-sock (php-fpm.service): accept queue full for 0.3 s, peak 129 "
                  "of 129 in "
                  "10 s; burst: raise listen() backlog (128, somaxconn 4096)"},
      {.what = "a slow server",
       .arrange =
           [](Scene &s) {
             s.use_unix();
             s.set_limit(4096);
             s.set_peak(4097);
             s.facts.runs.longest_full = 100ms;
             s.facts.runs.longest_full_run = 12s;
           },
       .state = overflow,
       .cause = slow_accept,
       .limit_source = somaxconn,
       .message = "unix_run_php-fpm-sock (php-fpm.service): accept queue full for 0.1 s, peak 4097 "
                  "of 4097 "
                  "in 10 s; slow_accept: the application does not keep up, a longer queue only "
                  "adds waiting"},
      {.what = "full for a shorter time",
       .arrange =
           [](Scene &s) {
             s.use_unix();
             s.set_limit(2);
             s.set_peak(3);
             s.facts.runs.longest_full = 99ms;
           },
       .state = ok,
       .cause = none,
       .limit_source = application,
       .message = "unix_run_php-fpm-sock (php-fpm.service): accept queue was full, peak 3 of 3 for "
                  "0.1 s in "
                  "10 s"},
      {.what = "full with four",
       .arrange =
           [](Scene &s) {
             s.use_unix();
             s.set_limit(3);
             s.set_peak(4);
             s.facts.runs.longest_full = 100ms;
           },
       .state = overflow,
       .cause = burst,
       .limit_source = application,
       .message = "unix_run_php-fpm-sock (php-fpm.service): accept queue full for 0.1 s, peak 4 of "
                  "4 in 10 s; "
                  "burst: raise listen() backlog (3, somaxconn 4096)"},
      {.what = "full three times",
       .arrange =
           [](Scene &s) {
             s.use_unix();
             s.set_limit(8);
             s.set_peak(9);
             s.facts.runs.longest_full = 5ms;
             s.facts.runs.full_times = 3;
           },
       .state = overflow,
       .cause = burst,
       .limit_source = application,
       .message = "unix_run_php-fpm-sock (php-fpm.service): accept queue full 3 times, peak 9 of 9 "
                  "in 10 s; "
                  "burst: raise listen() backlog (8, somaxconn 4096)"},
      {.what = "full twice",
       .arrange =
           [](Scene &s) {
             s.use_unix();
             s.set_limit(8);
             s.set_peak(9);
             s.facts.runs.longest_full = 5ms;
             s.facts.runs.full_times = 2;
           },
       .state = ok,
       .cause = none,
       .limit_source = application,
       .message =
           "unix_run_php-fpm-sock (php-fpm.service): accept queue was full, peak 9 of 9 in 10 s"},
      {.what = "a queue of three is only used",
       .arrange =
           [](Scene &s) {
             s.use_unix();
             s.set_limit(2);
             s.set_peak(3);
             s.facts.runs.longest_full = 5s;
             s.facts.runs.full_times = 9;
           },
       .state = ok,
       .cause = none,
       .limit_source = application,
       .message = "unix_run_php-fpm-sock (php-fpm.service): accept queue was full, peak 3 of 3 for "
                  "5 s in 10 "
                  "s",
       .intervals = 6},
      {.what = "full with two at limit 1",
       .arrange =
           [](Scene &s) {
             s.use_unix();
             s.set_limit(1);
             s.set_peak(2);
             s.facts.runs.longest_full = 5s;
           },
       .state = ok,
       .cause = none,
       .limit_source = application,
       .message = "unix_run_php-fpm-sock (php-fpm.service): accept queue was full, peak 2 of 2 for "
                  "5 s in 10 "
                  "s"},
      {.what = "of a TCP listener, when the counters cannot be read",
       .arrange =
           [](Scene &s) {
             s.facts.drops_known = false;
             s.set_peak(512);
             s.facts.runs.longest_full = 320ms;
           },
       .state = overflow,
       .cause = burst,
       .limit_source = application,
       .message = "tcp_any_80 (nginx.service): accept queue full for 0.3 s, peak 512 of 512 in 10 "
                  "s; burst: "
                  "raise listen() backlog (511, somaxconn 4096)"},
      {.what = "full for the shortest time that is shown",
       .arrange =
           [](Scene &s) {
             s.use_unix();
             s.set_limit(8);
             s.set_peak(9);
             s.facts.runs.longest_full = 50ms;
           },
       .state = ok,
       .cause = none,
       .limit_source = application,
       .message = "unix_run_php-fpm-sock (php-fpm.service): accept queue was full, peak 9 of 9 for "
                  "0.1 s in 10 s"},
      {.what = "one overflow found before the counters could not be read any more",
       .arrange =
           [](Scene &s) {
             s.overflow(1, 50ms);
             s.facts.drops_known = false;
           },
       .state = overflow,
       .cause = burst,
       .limit_source = application,
       .message =
           "tcp_any_80 (nginx.service): accept queue overflow, peak 512 of 512, 1 drop in 10 s; "
           "burst: raise listen() backlog (511, somaxconn 4096)"},
      {.what = "overflows found before the counters could not be read any more",
       .arrange =
           [](Scene &s) {
             s.overflow(34, 50ms);
             s.facts.drops_known = false;
           },
       .state = overflow,
       .cause = burst,
       .limit_source = application,
       .message =
           "tcp_any_80 (nginx.service): accept queue overflow, peak 512 of 512, 34 drops in 10 s; "
           "burst: raise listen() backlog (511, somaxconn 4096)"},
      {.what = "stalled",
       .arrange =
           [](Scene &s) {
             s.use_unix();
             s.set_limit(128);
             s.set_peak(129);
             s.facts.queue.last = 129;
             s.facts.runs = {45s, 45s, 50s, false};
             s.facts.none_accepted_for = 45s;
           },
       .state = stalled,
       .cause = not_accepting,
       .limit_source = application,
       .message =
           "unix_run_php-fpm-sock (php-fpm.service): accept queue stalled, 129 waiting, none "
           "accepted "
           "for 45 s; not_accepting: the application has stopped calling accept(), restart it"},
      {.what = "a SYN queue is none of its business",
       .arrange =
           [](Scene &s) {
             s.use_unix();
             s.facts.syn_length = 512;
             s.common.cookies_rose = true;
           },
       .state = ok,
       .cause = none,
       .limit_source = application,
       .message = "unix_run_php-fpm-sock (php-fpm.service): accept queue ok, peak 0 of 512 in 10 s",
       .intervals = 3},
  });
}
END_TEST

START_TEST(stalls) {
  using enum layout::LimitSource;
  check({
      {.what = "two are waiting",
       .arrange =
           [](Scene &s) {
             s.facts.queue.last = 2;
             s.facts.oldest_wait = 45s;
             s.facts.none_accepted_for = 44s;
           },
       .state = stalled,
       .cause = not_accepting,
       .limit_source = application,
       .message =
           "tcp_any_80 (nginx.service): accept queue stalled, 2 waiting, the oldest for 45 s; "
           "not_accepting: the application has stopped calling accept(), restart it"},
      {.what = "one is waiting",
       .arrange =
           [](Scene &s) {
             s.facts.queue.last = 1;
             s.facts.oldest_wait = 30s;
             s.facts.none_accepted_for = 27s; // the first sample that saw it came later
           },
       .state = stalled,
       .cause = not_accepting,
       .limit_source = application,
       .message = "tcp_any_80 (nginx.service): accept queue stalled, 1 waiting for 30 s; "
                  "not_accepting: the application has stopped calling accept(), restart it"},
      {.what = "five whose clients have reset",
       .arrange =
           [](Scene &s) {
             s.facts.queue.last = 5;
             s.facts.none_accepted_for = 30s;
           },
       .state = stalled,
       .cause = not_accepting,
       .limit_source = application,
       .message =
           "tcp_any_80 (nginx.service): accept queue stalled, 5 waiting, none accepted for 30 s; "
           "not_accepting: the application has stopped calling accept(), restart it"},
      {.what = "one whose client has reset",
       .arrange =
           [](Scene &s) {
             s.facts.queue.last = 1;
             s.facts.none_accepted_for = 30s;
           },
       .state = stalled,
       .cause = not_accepting,
       .limit_source = application,
       .message =
           "tcp_any_80 (nginx.service): accept queue stalled, 1 waiting, none accepted for 30 s; "
           "not_accepting: the application has stopped calling accept(), restart it"},
      {.what = "the others have reset",
       .arrange =
           [](Scene &s) {
             s.facts.queue.last = 5;
             s.facts.oldest_wait = 2s;
             s.facts.none_accepted_for = 30s;
           },
       .state = stalled,
       .cause = not_accepting,
       .limit_source = application,
       .message =
           "tcp_any_80 (nginx.service): accept queue stalled, 5 waiting, none accepted for 30 s; "
           "not_accepting: the application has stopped calling accept(), restart it"},
      {.what = "a short wait",
       .arrange =
           [](Scene &s) {
             s.facts.queue.last = 5;
             s.facts.oldest_wait = 29.9s;
             s.facts.none_accepted_for = 29900ms;
           },
       .state = ok,
       .cause = none,
       .limit_source = application,
       .message = "tcp_any_80 (nginx.service): accept queue ok, peak 0 of 512 in 10 s"},
      {.what = "empty in the end",
       .arrange =
           [](Scene &s) {
             s.facts.oldest_wait = 45s;
             s.facts.none_accepted_for = 45s;
           },
       .state = ok,
       .cause = none,
       .limit_source = application,
       .message = "tcp_any_80 (nginx.service): accept queue ok, peak 0 of 512 in 10 s"},
      {.what = "it drops by now",
       .arrange =
           [](Scene &s) {
             s.overflow(1200, 40s);
             s.facts.queue.last = 512;
             s.facts.oldest_wait = 45s;
             s.facts.none_accepted_for = 44s;
           },
       .state = stalled,
       .cause = not_accepting,
       .limit_source = application,
       .message =
           "tcp_any_80 (nginx.service): accept queue stalled, 512 waiting, the oldest for 45 s, "
           "1200 drops in 10 s; not_accepting: the application has stopped calling accept(), "
           "restart "
           "it"},
      {.what = "a queue that moves, only too slowly",
       .arrange =
           [](Scene &s) {
             s.facts.queue.last = 512;
             s.facts.oldest_wait = 45s;
             s.facts.none_accepted_for = 14900ms;
             s.facts.runs.not_empty_for = 60s;
           },
       .state = stalled,
       .cause = slow_accept,
       .limit_source = application,
       .message =
           "tcp_any_80 (nginx.service): accept queue stalled, 512 waiting, the oldest for 45 s; "
           "slow_accept: the application does not keep up, a longer queue only adds waiting"},
      {.what = "its first drop, and just as long for the oldest as it takes",
       .arrange =
           [](Scene &s) {
             s.overflow(1, 40s);
             s.facts.queue.last = 512;
             s.facts.oldest_wait = 30s;
             s.facts.none_accepted_for = 1s;
             s.facts.runs.not_empty_for = 40s;
           },
       .state = stalled,
       .cause = slow_accept,
       .limit_source = application,
       .message =
           "tcp_any_80 (nginx.service): accept queue stalled, 512 waiting, the oldest for 30 s, "
           "1 drop in 10 s; slow_accept: the application does not keep up, a longer queue only "
           "adds waiting"},
      {.what = "waiting since before the first look, and nobody accepted since then",
       .arrange =
           [](Scene &s) {
             s.facts.queue.last = 6;
             s.facts.oldest_wait = 45s;
             s.facts.none_accepted_for = 2800ms;
             s.facts.runs.not_empty_for = 2900ms;
           },
       .state = stalled,
       .cause = none,
       .limit_source = application,
       .message =
           "tcp_any_80 (nginx.service): accept queue stalled, 6 waiting, the oldest for 45 s; "
           "none accepted for 2.8 s so far"},
      {.what = "the same for most of StalledAfter",
       .arrange =
           [](Scene &s) {
             s.facts.queue.last = 6;
             s.facts.oldest_wait = 65s;
             s.facts.none_accepted_for = 20s;
             s.facts.runs.not_empty_for = 20s;
           },
       .state = stalled,
       .cause = none,
       .limit_source = application,
       .message =
           "tcp_any_80 (nginx.service): accept queue stalled, 6 waiting, the oldest for 65 s; "
           "none accepted for 20 s so far"},
      {.what = "the same for nearly all of it",
       .arrange =
           [](Scene &s) {
             s.facts.queue.last = 6;
             s.facts.oldest_wait = 72s;
             s.facts.none_accepted_for = 27s;
             s.facts.runs.not_empty_for = 27s;
           },
       .state = stalled,
       .cause = not_accepting,
       .limit_source = application,
       .message =
           "tcp_any_80 (nginx.service): accept queue stalled, 6 waiting, the oldest for 72 s; "
           "not_accepting: the application has stopped calling accept(), restart it"},
      {.what = "waiting since before the first look, and somebody was accepted since then",
       .arrange =
           [](Scene &s) {
             s.facts.queue.last = 6;
             s.facts.oldest_wait = 45s;
             s.facts.none_accepted_for = 2800ms;
             s.facts.runs.not_empty_for = 4s;
           },
       .state = stalled,
       .cause = slow_accept,
       .limit_source = application,
       .message =
           "tcp_any_80 (nginx.service): accept queue stalled, 6 waiting, the oldest for 45 s; "
           "slow_accept: the application does not keep up, a longer queue only adds waiting"},
      {.what = "the same where a new client follows each accept()",
       .arrange =
           [](Scene &s) {
             s.facts.queue.last = 6;
             s.facts.oldest_wait = 45s;
             s.facts.none_accepted_for = 2800ms;
             s.facts.runs.not_empty_for = 2900ms;
             s.facts.accepted = true;
           },
       .state = stalled,
       .cause = slow_accept,
       .limit_source = application,
       .message =
           "tcp_any_80 (nginx.service): accept queue stalled, 6 waiting, the oldest for 45 s; "
           "slow_accept: the application does not keep up, a longer queue only adds waiting"},
      {.what = "half of StalledAfter without an accept()",
       .arrange =
           [](Scene &s) {
             s.facts.queue.last = 512;
             s.facts.oldest_wait = 45s;
             s.facts.none_accepted_for = 15s;
             s.facts.runs.not_empty_for = 45s;
           },
       .state = stalled,
       .cause = not_accepting,
       .limit_source = application,
       .message =
           "tcp_any_80 (nginx.service): accept queue stalled, 512 waiting, the oldest for 45 s; "
           "not_accepting: none accepted for 15 s so far"},
      {.what = "a queue that moved slowly, and perhaps moves no more",
       .arrange =
           [](Scene &s) {
             s.facts.queue.last = 512;
             s.facts.oldest_wait = 45s;
             s.facts.none_accepted_for = 26900ms;
             s.facts.runs.not_empty_for = 45s;
           },
       .state = stalled,
       .cause = not_accepting,
       .limit_source = application,
       .message =
           "tcp_any_80 (nginx.service): accept queue stalled, 512 waiting, the oldest for 45 s; "
           "not_accepting: none accepted for 27 s so far"},
      {.what = "a stop in a long interval",
       .arrange =
           [](Scene &s) {
             s.common.measured = 60s;
             s.facts.queue.last = 2;
             s.facts.none_accepted_for = 40s;
           },
       .state = stalled,
       .cause = not_accepting,
       .limit_source = application,
       .message =
           "tcp_any_80 (nginx.service): accept queue stalled, 2 waiting, none accepted for 40 s; "
           "not_accepting: the application has stopped calling accept(), restart it"},
      {.what = "one of two processes has stopped",
       .arrange =
           [](Scene &s) {
             s.facts.members = 2;
             s.facts.queue.last = 2;
             s.facts.none_accepted_for = 30s;
           },
       .state = stalled,
       .cause = not_accepting,
       .limit_source = application,
       .message =
           "tcp_any_80 (nginx.service): accept queue stalled, 2 waiting, none accepted for 30 s; "
           "not_accepting: a process has stopped calling accept(), restart it"},
      {.what = "one member of four has stopped",
       .arrange =
           [](Scene &s) {
             s.use_group();
             s.facts.queue.last = 2;
             s.facts.oldest_wait = 45s;
             s.facts.none_accepted_for = 30s;
           },
       .state = stalled,
       .cause = not_accepting,
       .limit_source = application,
       .message =
           "tcp_any_80 (nginx.service): accept queue stalled, 2 waiting, the oldest for 45 s; "
           "not_accepting: a process has stopped calling accept(), restart it"},
      {.what = "and its queue is full",
       .arrange =
           [](Scene &s) {
             s.use_group();
             s.facts.queue.last = 129;
             s.facts.worst_member_percent = 100;
             s.facts.longest_hot_member = 40s;
             s.facts.oldest_wait = 45s;
             s.facts.none_accepted_for = 45s;
           },
       .state = stalled,
       .cause = skew,
       .limit_source = application,
       .message =
           "tcp_any_80 (nginx.service): accept queue stalled, 129 waiting, the oldest for 45 s; "
           "skew: the fullest of 4 members at 100 %, the median at 0 %, restart the stuck one"},
      {.what = "a group that is accepted from",
       .arrange =
           [](Scene &s) {
             s.use_group();
             s.facts.queue.last = 20;
             s.facts.oldest_wait = 45s;
             s.facts.none_accepted_for = 29s;
           },
       .state = ok,
       .cause = none,
       .limit_source = application,
       .message =
           "tcp_any_80 (nginx.service): accept queue ok, peak 0 of 516 in 4 sockets in 10 s"},
      {.what = "a group that overflows, one client of which waits for long",
       .arrange =
           [](Scene &s) {
             s.use_group();
             s.overflow(500, 40s);
             s.facts.queue.last = 513;
             s.facts.oldest_wait = 45s;
             s.facts.none_accepted_for = 1s;
           },
       .state = overflow,
       .cause = slow_accept,
       .limit_source = application,
       .message = "tcp_any_80 (nginx.service): accept queue overflow, peak 513 of 516 in 4 "
                  "sockets, 500 drops in 10 s; slow_accept: the application does not keep up, a "
                  "longer queue only adds waiting; the oldest waits 45 s"},
      {.what = "nobody has looked at who waits",
       .arrange =
           [](Scene &s) {
             s.overflow(500, 40s);
             s.facts.queue.last = 512;
             s.facts.runs.not_empty_for = 300s;
           },
       .state = overflow,
       .cause = slow_accept,
       .limit_source = application,
       .message =
           "tcp_any_80 (nginx.service): accept queue overflow, peak 512 of 512, 500 drops in 10 s; "
           "slow_accept: the application does not keep up, a longer queue only adds waiting"},
      {.what = "always full when looked at, but the oldest is younger than that",
       .arrange =
           [](Scene &s) {
             s.overflow(500, 40s);
             s.facts.queue.last = 512;
             s.facts.oldest_wait = 5s;
             s.facts.none_accepted_for = 1s;
           },
       .state = overflow,
       .cause = slow_accept,
       .limit_source = application,
       .message =
           "tcp_any_80 (nginx.service): accept queue overflow, peak 512 of 512, 500 drops in 10 s; "
           "slow_accept: the application does not keep up, a longer queue only adds waiting; "
           "the oldest waits 5 s"},
  });
}
END_TEST

START_TEST(high_queues) {
  using enum layout::LimitSource;
  const auto at_84_percent = [](Scene &s) { s.set_peak(430); };
  check({
      {.what = "twice",
       .arrange = at_84_percent,
       .state = ok,
       .cause = none,
       .limit_source = application,
       .message = "tcp_any_80 (nginx.service): accept queue ok, peak 430 of 512 in 10 s",
       .intervals = 2},
      {.what = "three times",
       .arrange = at_84_percent,
       .state = high,
       .cause = burst,
       .limit_source = application,
       .message = "tcp_any_80 (nginx.service): accept queue high, peak 430 of 512 (84 %) in 10 s; "
                  "burst: raise listen() backlog (511, somaxconn 4096)",
       .intervals = 3},
      {.what = "never empty",
       .arrange =
           [](Scene &s) {
             s.set_peak(430);
             s.facts.runs.not_empty_for = 10s;
           },
       .state = high,
       .cause = slow_accept,
       .limit_source = application,
       .message = "tcp_any_80 (nginx.service): accept queue high, peak 430 of 512 (84 %) in 10 s; "
                  "slow_accept: the application does not keep up, a longer queue only adds waiting",
       .intervals = 3},
      {.what = "empty in between",
       .arrange =
           [](Scene &s) {
             s.set_peak(430);
             s.facts.runs.not_empty_for = 9900ms;
           },
       .state = high,
       .cause = burst,
       .limit_source = application,
       .message = "tcp_any_80 (nginx.service): accept queue high, peak 430 of 512 (84 %) in 10 s; "
                  "burst: raise listen() backlog (511, somaxconn 4096)",
       .intervals = 3},
      {.what = "never empty in a short interval",
       .arrange =
           [](Scene &s) {
             s.set_peak(430);
             s.common.measured = 500ms;
             s.facts.runs.not_empty_for = 900ms;
           },
       .state = high,
       .cause = burst,
       .limit_source = application,
       .message = "tcp_any_80 (nginx.service): accept queue high, peak 430 of 512 (84 %) in 0.5 s; "
                  "burst: raise listen() backlog (511, somaxconn 4096)",
       .intervals = 3},
  });

  struct Threshold {
    std::uint32_t limit;
    std::uint64_t peak;
    double warning_percent;
    std::uint64_t warning_minimum;
    ListenerState state;
  };
  for (const Threshold &t :
       {Threshold{19, 16, 80, 16, high}, Threshold{20, 16, 80, 16, ok},
        Threshold{17, 15, 80, 16, ok}, Threshold{17, 15, 80, 15, high},
        Threshold{99, 60, 60, 16, high}, Threshold{99, 59, 60, 16, ok}, Threshold{5, 5, 80, 16, ok},
        Threshold{0, 1, 80, 16, ok}, Threshold{1, 2, 80, 2, high}, Threshold{5, 6, 80, 16, high},
        Threshold{3, 4, 80, 16, high}, Threshold{2, 3, 80, 16, ok}, Threshold{14, 15, 80, 16, high},
        Threshold{14, 14, 80, 16, ok}}) {
    Scene scene;
    scene.set_limit(t.limit);
    scene.set_peak(t.peak);
    scene.limits.warning_percent = t.warning_percent;
    scene.limits.warning_minimum = t.warning_minimum;
    ck_assert_msg(scene.judge_last_of(6).state == t.state, "limit %u, peak %u", t.limit,
                  static_cast<unsigned>(t.peak));
  }
}
END_TEST

// h: a high interval, -: another one, a blank: not there; then the state, H high, . ok.
START_TEST(high_in_three_of_six_intervals) {
  struct Days {
    const char *intervals;
    const char *states;
  };
  for (const Days &days :
       {Days{"hh-h--", "...H.."}, Days{"h----h", "......"}, Days{"h---hh", ".....H"},
        Days{"h----hh", "......."}, Days{"hh----h", "......."},
        Days{"hhhh--h------hhh", "..HH..H........H"}, Days{"h-h-h-h-", "....H.H."},
        Days{"h  hh", "....H"}, Days{"h    hh", "......."}}) {
    Scene scene;
    std::string states;
    for (const char *interval = days.intervals; *interval != '\0'; ++interval) {
      scene.set_peak(*interval == '-' ? 0 : 500);
      scene.facts.is_there = *interval != ' ';
      states += scene.judge().state == high ? 'H' : '.';
    }
    assert_text(states, days.states);
  }
}
END_TEST

START_TEST(full_syn_queues) {
  using enum layout::LimitSource;
  const auto flood = [](Scene &s) {
    s.facts.syn_length = 512;
    s.common.cookies_rose = true;
  };
  const auto flood_without_cookies = [](Scene &s) {
    s.facts.syn_length = 511;
    s.facts.drops = 1000;
    s.common.tcp_syncookies = 0;
    s.common.req_q_full_drop_rose = true;
  };
  check({
      {.what = "with cookies, once",
       .arrange = flood,
       .state = ok,
       .cause = none,
       .limit_source = application,
       .message = "tcp_any_80 (nginx.service): accept queue ok, peak 0 of 512 in 10 s"},
      {.what = "with cookies, twice",
       .arrange = flood,
       .state = ok,
       .cause = syn_flood,
       .limit_source = application,
       .message =
           "tcp_any_80 (nginx.service): SYN queue full, 512 of 512 in 10 s; syn_flood: cookies are "
           "sent instead; if these are clients, raise listen() backlog (511, somaxconn 4096)",
       .intervals = 2},
      {.what = "without cookies, once",
       .arrange = flood_without_cookies,
       .state = ok,
       .cause = none,
       .limit_source = application,
       .message = "tcp_any_80 (nginx.service): accept queue ok, peak 0 of 512, 1000 drops without "
                  "overflow in "
                  "10 s"},
      {.what = "without cookies, twice",
       .arrange = flood_without_cookies,
       .state = ok,
       .cause = syn_queue_full,
       .limit_source = application,
       .message = "tcp_any_80 (nginx.service): SYN queue full, 511 of 512, 1000 drops in 10 s; "
                  "syn_queue_full: set net.ipv4.tcp_syncookies to 1",
       .intervals = 2},
      {.what = "without cookies, and a single drop",
       .arrange =
           [](Scene &s) {
             s.facts.syn_length = 511;
             s.facts.drops = 1;
             s.common.tcp_syncookies = 0;
             s.common.req_q_full_drop_rose = true;
           },
       .state = ok,
       .cause = syn_queue_full,
       .limit_source = application,
       .message = "tcp_any_80 (nginx.service): SYN queue full, 511 of 512, 1 drop in 10 s; "
                  "syn_queue_full: set net.ipv4.tcp_syncookies to 1",
       .intervals = 2},
      {.what = "of a socket that is held for a service",
       .arrange =
           [](Scene &s) {
             s.facts.held_by_manager = true;
             s.facts.syn_length = 512;
             s.common.cookies_rose = true;
           },
       .state = ok,
       .cause = syn_flood,
       .limit_source = application,
       .message =
           "tcp_any_80 (nginx.service): SYN queue full, 512 of 512 in 10 s; syn_flood: cookies are "
           "sent instead; if these are clients, raise listen() backlog (511, somaxconn 4096)",
       .intervals = 2},
      {.what = "the accept queue high besides",
       .arrange =
           [](Scene &s) {
             s.set_peak(430);
             s.facts.syn_length = 512;
             s.common.cookies_rose = true;
           },
       .state = high,
       .cause = burst,
       .limit_source = application,
       .message = "tcp_any_80 (nginx.service): accept queue high, peak 430 of 512 (84 %) in 10 s; "
                  "burst: raise listen() backlog (511, somaxconn 4096)",
       .intervals = 3},
  });
}
END_TEST

START_TEST(what_is_no_full_syn_queue) {
  struct Noise {
    const char *what = nullptr;
    std::optional<std::uint64_t> length;
    std::uint32_t limit = 0;
    std::uint64_t drops = 0;
    std::optional<std::int64_t> cookies;
    bool cookies_rose = false;
    bool drop_rose = false;
    Cause cause{};
  };
  for (const Noise &n : std::vector<Noise>{{.what = "syncookies=2 count every SYN",
                        .length = 512,
                        .limit = 511,
                        .drops = 0,
                        .cookies = 2,
                        .cookies_rose = true,
                        .drop_rose = false,
                        .cause = none},
                                           {.what = "deferred accept",
                                           .length = 512,
                                           .limit = 511,
                                           .drops = 3,
                                           .cookies = 1,
                                           .cookies_rose = false,
                                           .drop_rose = false,
                                           .cause = none},
                                           {.what = "cookies for another listener",
                                           .length = 510,
                                           .limit = 511,
                                           .drops = 0,
                                           .cookies = 1,
                                           .cookies_rose = true,
                                           .drop_rose = false,
                                           .cause = none},
                                           {.what = "not counted",
                                           .length = std::nullopt,
                                           .limit = 511,
                                           .drops = 0,
                                           .cookies = 1,
                                           .cookies_rose = true,
                                           .drop_rose = false,
                                           .cause = none},
                                           {.what = "one handshake at limit 0",
                                           .length = 0,
                                           .limit = 0,
                                           .drops = 0,
                                           .cookies = 1,
                                           .cookies_rose = true,
                                           .drop_rose = false,
                                           .cause = none},
                                           {.what = "one more than limit 0",
                                           .length = 1,
                                           .limit = 0,
                                           .drops = 0,
                                           .cookies = 1,
                                           .cookies_rose = true,
                                           .drop_rose = false,
                                           .cause = syn_flood},
                                           {.what = "no drops of this listener",
                                           .length = 512,
                                           .limit = 511,
                                           .drops = 0,
                                           .cookies = 0,
                                           .cookies_rose = false,
                                           .drop_rose = true,
                                           .cause = none},
                                           {.what = "cookies switched on again",
                                           .length = 512,
                                           .limit = 511,
                                           .drops = 5,
                                           .cookies = 1,
                                           .cookies_rose = false,
                                           .drop_rose = true,
                                           .cause = none},
                                           {.what = "setting unknown, dropped",
                                           .length = 512,
                                           .limit = 511,
                                           .drops = 5,
                                           .cookies = std::nullopt,
                                           .cookies_rose = true,
                                           .drop_rose = true,
                                           .cause = syn_queue_full},
                                           {.what = "setting unknown, cookies",
                                           .length = 512,
                                           .limit = 511,
                                           .drops = 5,
                                           .cookies = std::nullopt,
                                           .cookies_rose = true,
                                           .drop_rose = false,
                                           .cause = syn_flood}}) {
    Scene scene;
    scene.set_limit(n.limit);
    scene.facts.syn_length = n.length;
    scene.facts.drops = n.drops;
    scene.common.tcp_syncookies = n.cookies;
    scene.common.cookies_rose = n.cookies_rose;
    scene.common.req_q_full_drop_rose = n.drop_rose;
    const Diagnosis diagnosis = scene.judge_last_of(4);
    assert_text(std::string(n.what) + ": " + std::string(name_of(diagnosis.cause)),
                std::string(n.what) + ": " + std::string(name_of(n.cause)));
    ck_assert(diagnosis.state == ok);
  }
}
END_TEST

// f: full, while cookies are sent; n: full, while none are; -: not full; a blank: not there.
START_TEST(full_syn_queues_in_two_intervals_that_follow) {
  Scene scene;
  std::string causes;
  for (const char interval : std::string("f-f-ff-ff fnfnnff")) {
    scene.facts.syn_length = interval == '-' ? 0 : 512;
    scene.common.cookies_rose = interval != 'n';
    scene.facts.is_there = interval != ' ';
    causes += scene.judge().cause == syn_flood ? 'F' : '.';
  }
  assert_text(causes, ".....F..F.......F");
}
END_TEST

START_TEST(who_only_holds_a_socket_for_a_service_is_not_blamed) {
  for (const auto &arrange : std::vector<std::function<void(Scene &)>>{
           [](Scene &s) {
             s.facts.queue.last = 5;
             s.facts.oldest_wait = 45s;
             s.facts.none_accepted_for = 45s;
           },
           [](Scene &s) { s.overflow(34, 10s); },
       }) {
    Scene scene;
    scene.facts.owner = "held by systemd";
    scene.facts.held_by_manager = true;
    arrange(scene);
    const std::string message = scene.judge().message;
    ck_assert_msg(message.ends_with(": no service accepts, see systemctl list-sockets"), "%s",
                  message.c_str());
  }
}
END_TEST

START_TEST(drops_alone_are_no_alarm) {
  Scene scene;
  scene.facts.drops = 1;
  const Diagnosis diagnosis = scene.judge();
  ck_assert(diagnosis.state == ok);
  ck_assert(!diagnosis.overflowed);
  assert_text(diagnosis.message, "tcp_any_80 (nginx.service): accept queue ok, peak 0 of 512, "
                                 "1 drop without overflow in 10 s");
}
END_TEST

START_TEST(tells_the_overflow_whatever_else_is_wrong) {
  Scene scene;
  scene.overflow(5, 40s);
  scene.facts.queue.last = 512;
  scene.facts.oldest_wait = 45s;
  const Diagnosis diagnosis = scene.judge();
  ck_assert(diagnosis.state == stalled);
  ck_assert(diagnosis.overflowed);
  ck_assert_uint_eq(diagnosis.overflows, 5);
}
END_TEST

START_TEST(missing_ones) {
  Scene scene;
  scene.limits.expected = true;
  scene.facts.is_there = false;
  struct Step {
    ListenerState state;
    const char *message;
  };
  const auto run = [&](const std::vector<Step> &steps) {
    for (const Step &step : steps) {
      const Diagnosis diagnosis = scene.judge();
      assert_text(diagnosis.message, step.message);
      ck_assert(diagnosis.state == step.state);
      ck_assert(diagnosis.cause == none);
      ck_assert(diagnosis.limit_source == LimitSource::unknown);
      ck_assert(!diagnosis.is_there);
      ck_assert(diagnosis.is_expected);
    }
  };
  scene.common.measured = 25s;
  scene.facts.owner = "";
  run({{ok, "tcp_any_80: expected, but not listening for 25 s"},
       {ok, "tcp_any_80: expected, but not listening for 50 s"},
       {missing, "tcp_any_80: missing, expected, but not listening for 75 s: start it"}});
  scene.facts.is_there = true;
  ck_assert(scene.judge().state == ok);
  // It went at some time of the first interval without it.
  scene.facts.is_there = false;
  scene.common.measured = 30s;
  run({{ok, "tcp_any_80: expected, but not listening for 0 s"},
       {ok, "tcp_any_80: expected, but not listening for 30 s"},
       {missing, "tcp_any_80: missing, expected, but not listening for 60 s: start it"}});
  scene.limits.missing_after = 61s;
  scene.common.measured = 500ms;
  run({{ok, "tcp_any_80: expected, but not listening for 61 s"},
       {missing, "tcp_any_80: missing, expected, but not listening for 61 s: start it"}});
}
END_TEST

START_TEST(a_file_that_is_gone) {
  Scene scene;
  scene.use_unix();
  scene.limits.expected = true;
  scene.limits.missing_after = 30s;
  scene.facts.is_there = false;
  scene.facts.file_is_gone = true;
  scene.common.measured = 20s;
  assert_text(scene.judge().message,
              "unix_run_php-fpm-sock (php-fpm.service): its file is gone and "
              "no client can connect, for 20 s");
  const Diagnosis diagnosis = scene.judge();
  ck_assert(diagnosis.state == missing);
  assert_text(diagnosis.message, "unix_run_php-fpm-sock (php-fpm.service): missing, its file is "
                                 "gone and no client can connect, for 40 s: restart it");
}
END_TEST

START_TEST(gone_ones_are_no_trouble) {
  Scene scene;
  scene.overflow(1000, 40s);
  scene.facts.is_there = false;
  const Diagnosis diagnosis = scene.judge_last_of(100);
  ck_assert(diagnosis.state == ok);
  ck_assert(!diagnosis.is_there);
  ck_assert(!diagnosis.is_expected);
  ck_assert(!diagnosis.overflowed);
  assert_text(diagnosis.message, "tcp_any_80 (nginx.service): not listening");
}
END_TEST

START_TEST(limit_sources) {
  using enum layout::LimitSource;
  struct Case {
    const char *name = nullptr;
    Somaxconn somaxconn;
    std::uint32_t limit = 0;
    LimitSource source{};
  };
  const Case cases[] = {
      {.name = "below",
       .somaxconn = {.now = 4096, .at_listen = 4096, .first_seen = 4096},
       .limit = 511,
       .source = application},
      {.name = "equal",
       .somaxconn = {.now = 4096, .at_listen = 4096, .first_seen = 4096},
       .limit = 4096,
       .source = somaxconn},
      {.name = "equal, set before",
       .somaxconn = {.now = 4096, .at_listen = {}, .first_seen = 4096},
       .limit = 4096,
       .source = somaxconn},
      {.name = "raised since",
       .somaxconn = {.now = 4096, .at_listen = 128, .first_seen = 128},
       .limit = 128,
       .source = stale},
      {.name = "raised since, set before",
       .somaxconn = {.now = 4096, .at_listen = {}, .first_seen = 128},
       .limit = 128,
       .source = stale},
      {.name = "raised before",
       .somaxconn = {.now = 4096, .at_listen = {}, .first_seen = 4096},
       .limit = 128,
       .source = unknown},
      {.name = "raised since, below",
       .somaxconn = {.now = 4096, .at_listen = 128, .first_seen = 128},
       .limit = 100,
       .source = application},
      {.name = "raised since, below, before",
       .somaxconn = {.now = 4096, .at_listen = {}, .first_seen = 128},
       .limit = 9,
       .source = unknown},
      {.name = "lowered",
       .somaxconn = {.now = 128, .at_listen = 4096, .first_seen = 4096},
       .limit = 511,
       .source = stale},
      {.name = "lowered before",
       .somaxconn = {.now = 128, .at_listen = {}, .first_seen = 128},
       .limit = 511,
       .source = stale},
      {.name = "lowered to it",
       .somaxconn = {.now = 128, .at_listen = 4096, .first_seen = 4096},
       .limit = 128,
       .source = application},
      {.name = "lowered to it, set before",
       .somaxconn = {.now = 128, .at_listen = {}, .first_seen = 4096},
       .limit = 128,
       .source = unknown},
      {.name = "raised to it and back",
       .somaxconn = {.now = 128, .at_listen = 128, .first_seen = 4096},
       .limit = 128,
       .source = somaxconn},
      {.name = "zero",
       .somaxconn = {.now = 4096, .at_listen = 4096, .first_seen = 4096},
       .limit = 0,
       .source = zero},
      {.name = "zero, set before",
       .somaxconn = {.now = 4096, .at_listen = {}, .first_seen = 4096},
       .limit = 0,
       .source = zero},
      {.name = "zero by somaxconn",
       .somaxconn = {.now = 0, .at_listen = 0, .first_seen = 0},
       .limit = 0,
       .source = zero},
      {.name = "zero by an earlier one",
       .somaxconn = {.now = 128, .at_listen = 0, .first_seen = 0},
       .limit = 0,
       .source = stale},
      {.name = "not readable",
       .somaxconn = {.now = {}, .at_listen = 511, .first_seen = 511},
       .limit = 511,
       .source = unknown},
      {.name = "never read before",
       .somaxconn = {.now = 4096, .at_listen = {}, .first_seen = {}},
       .limit = 511,
       .source = unknown},
      {.name = "large",
       .somaxconn = {.now = 2147483647, .at_listen = {}, .first_seen = {}},
       .limit = 4294967295U,
       .source = stale},
  };
  for (const Case &c : cases)
    assert_text(std::string(c.name) + ": " +
                    std::string(name_of(limit_source(c.limit, c.somaxconn))),
                std::string(c.name) + ": " + std::string(name_of(c.source)));
}
END_TEST

START_TEST(long_names_are_shortened_in_their_middle) {
  const std::string name = "tcp_" + std::string(92, 'n') + "_443";
  const std::string owner = "docker-" + std::string(150, 'o') + ".scope";
  const std::string text(100, 't');
  assert_text(message_about("tcp_any_80", owner.substr(0, 20), text),
              "tcp_any_80 (" + owner.substr(0, 20) + "): " + text);
  assert_text(message_about(name, owner, text), name + " (docker-" + std::string(17, 'o') + "..." +
                                                    std::string(17, 'o') + ".scope): " + text);
  assert_text(message_about(name, "", text), name + ": " + text);
  assert_text(message_about(name, owner, std::string(160, 't')),
              "tcp_" + std::string(28, 'n') + "..." + std::string(27, 'n') +
                  "_443 (docker-oooo...oooo.scope): " + std::string(160, 't'));
  for (std::size_t size = 0; size < 400; ++size)
    for (const std::string &who : {std::string(), std::string("x"), owner}) {
      const std::string message = message_about(name, who, std::string(size, 't'));
      ck_assert_uint_le(message.size(), message_max_bytes);
      if (name.size() + who.size() + size + (who.empty() ? 2 : 5) > message_max_bytes)
        ck_assert_uint_eq(message.size(), message_max_bytes);
      if (size <= 245)
        ck_assert(message.ends_with(": " + std::string(size, 't')));
    }
}
END_TEST

START_TEST(the_longest_figures_leave_room_for_name_and_owner) {
  const std::string name = "tcp6_" + std::string(95, 'n');
  const std::string owner(300, 'o');
  std::vector<std::function<void(Scene &)>> scenes = {
      [](Scene &s) { s.facts.overflows = most; },
      [](Scene &s) {
        s.facts.overflows = most;
        s.facts.runs.longest_full_run = 2s;
      },
      [](Scene &s) {
        s.facts.overflows = most;
        s.facts.median_member_percent = 0;
      },
      [](Scene &s) {
        s.facts.overflows = most;
        s.facts.somaxconn_at_listen = s.facts.lowest_limit;
        s.common.somaxconn = s.facts.lowest_limit + 1000000000L;
      },
      [](Scene &s) {
        s.facts.oldest_wait = 31536000s;
        s.facts.overflows = most;
        s.facts.median_member_percent = 0;
      },
      [](Scene &s) {
        s.facts.syn_length = most;
        s.common.cookies_rose = true;
        s.facts.queue.used_percent = 0;
      },
  };
  for (const auto &arrange : scenes) {
    Scene scene;
    scene.use_group();
    scene.facts.name = name;
    scene.facts.owner = owner;
    scene.facts.members = 1000;
    scene.facts.limit = 2147483647000;
    scene.facts.lowest_limit = 2147483647;
    scene.facts.queue.last = 2147483648000;
    scene.facts.queue.peak = 2147483648000;
    scene.facts.queue.used_percent = 100;
    scene.facts.worst_member_percent = 100;
    scene.facts.median_member_percent = 100;
    scene.facts.drops = most;
    scene.common.somaxconn = 2147483647;
    scene.common.measured = 86400s;
    arrange(scene);
    const std::string longest = scene.judge_last_of(6).message;
    scene.facts.name = "n";
    scene.facts.owner = "o";
    const std::string shortest = scene.judge().message;
    ck_assert_uint_le(longest.size(), message_max_bytes);
    ck_assert_msg(longest.ends_with(shortest.substr(shortest.find("): "))), "%s", longest.c_str());
    ck_assert_msg(longest.starts_with("tcp6_nnnnnn"), "%s", longest.c_str());
    ck_assert_msg(longest.find("n (oooooo") != std::string::npos, "%s", longest.c_str());
  }
}
END_TEST

START_TEST(messages_are_printable) {
  assert_text(message_about("tcp_any_80", "a\nSeverity: OKAY\x7f \xc3", "down"),
              R"(tcp_any_80 (a\x0aSeverity: OKAY\x7f \xc3): down)");
  // An owner is cut between its escapes.
  const std::string owner = message_about(std::string(300, 'n'), std::string(60, '\xff'), "down");
  ck_assert_msg(owner.find(R"( (\xff\xff)") != std::string::npos, "%s", owner.c_str());
  ck_assert_msg(owner.find(R"(\xff...\xff)") != std::string::npos, "%s", owner.c_str());
  ck_assert_msg(owner.ends_with(R"(\xff): down)"), "%s", owner.c_str());
}
END_TEST

START_TEST(states_have_the_numbers_of_gauge_state) {
  ck_assert_int_eq(static_cast<int>(ok), 0);
  ck_assert_int_eq(static_cast<int>(high), 1);
  ck_assert_int_eq(static_cast<int>(overflow), 2);
  ck_assert_int_eq(static_cast<int>(stalled), 3);
  ck_assert_int_eq(static_cast<int>(missing), 4);
}
END_TEST

START_TEST(what_is_high_at_the_start_may_have_been_so_for_long) {
  for (const bool is_baseline : {false, true}) {
    NamespaceFacts common;
    common.is_baseline = is_baseline;
    ListenerFacts facts;
    facts.limit = 128;
    facts.queue.peak = 100;
    facts.queue.used_percent = 90;
    ListenerHistory history;
    history.add(facts, common, DiagnosisLimits());
    ck_assert_int_eq(history.is_high(), is_baseline);
  }
}
END_TEST

START_TEST(cause_of_a_burst_that_goes_on_is_open) {
  struct Case {
    QueueRuns::Duration longest_full_run{0};
    QueueRuns::Duration untouched_for{0};
    bool goes_on = false;
    bool open = false;
    bool accepted = false;
    QueueRuns::Duration full_run_for{longest_full_run};
  };
  constexpr Case cases[] = {
      {.longest_full_run = 400ms, .untouched_for = 400ms, .goes_on = true, .open = true},
      {.longest_full_run = 400ms, .untouched_for = 0ms, .goes_on = true, .open = true},
      {.longest_full_run = 400ms, .untouched_for = 0ms, .goes_on = false, .open = false},
      {.longest_full_run = 2s, .untouched_for = 2s, .goes_on = true, .open = true},
      {.longest_full_run = 2s, .untouched_for = 0ms, .goes_on = true, .open = false},
      {.longest_full_run = 2s,
       .untouched_for = 2s,
       .goes_on = true,
       .open = false,
       .accepted = true},
      {.longest_full_run = 8s,
       .untouched_for = 1s,
       .goes_on = true,
       .open = false,
       .accepted = false,
       .full_run_for = 1s},
      {.longest_full_run = 1s,
       .untouched_for = 100ms,
       .goes_on = true,
       .open = false,
       .accepted = false,
       .full_run_for = 100ms},
      {.longest_full_run = 1s, .untouched_for = 0ms, .goes_on = true, .open = false},
      {.longest_full_run = 2s, .untouched_for = 1s, .goes_on = true, .open = true},
      {.longest_full_run = 3s, .untouched_for = 1200ms, .goes_on = true, .open = false},
      {.longest_full_run = 900ms,
       .untouched_for = 1s,
       .goes_on = true,
       .open = true,
       .accepted = false,
       .full_run_for = 100ms}};
  for (const Case &c : cases) {
    NamespaceFacts common;
    common.measured = 10s;
    ListenerFacts facts;
    facts.limit = facts.lowest_limit = 8;
    facts.overflows = facts.drops = 200;
    facts.queue.peak = facts.queue.last = 9;
    facts.queue.used_percent = 100;
    facts.runs.longest_full_run = c.longest_full_run;
    facts.runs.full_run_goes_on = c.goes_on;
    facts.runs.full_run_for = c.full_run_for;
    facts.runs.full_untouched_for = c.untouched_for;
    facts.accepted = c.accepted;
    ListenerHistory history;
    history.add(facts, common, DiagnosisLimits());
    ck_assert_int_eq(diagnose(facts, common, DiagnosisLimits(), history).cause_is_open, c.open);
  }
}
END_TEST

START_TEST(a_limit_that_would_have_held_them) {
  const struct {
    const char *what;
    std::chrono::milliseconds run;
    std::chrono::milliseconds pause;
    std::uint64_t unlimited_peak;
    std::optional<std::uint64_t> enough;
  } cases[] = {
      {"burst", 300ms, 0ms, 547, 546},
      {"pause", 2000ms, 2000ms, 547, 546},
      {"no limit helps a slow server", 2000ms, 0ms, 547, {}},
      {"the limit would have done", 300ms, 0ms, 512, {}},
      {"one more than the queue holds", 300ms, 0ms, 513, 512},
  };
  for (const auto &c : cases) {
    Scene scene;
    scene.overflow(34, c.run);
    scene.facts.runs.longest_pause = c.pause;
    scene.facts.unlimited_peak = c.unlimited_peak;
    const Diagnosis diagnosis = scene.judge();
    ck_assert_msg(diagnosis.enough == c.enough, "%s", c.what);
    const std::string remark =
        "; a limit of " + std::to_string(c.unlimited_peak - 1) + " would have held them";
    ck_assert_msg(diagnosis.message.ends_with(remark) == c.enough.has_value(), "%s: %s", c.what,
                  diagnosis.message.c_str());
  }
  Scene unknown;
  unknown.overflow(34, 300ms);
  ck_assert(!unknown.judge().enough);

  // Of each of several sockets.
  Scene group;
  group.use_group();
  group.overflow(34, 300ms);
  group.facts.unlimited_peak = 201;
  ck_assert(group.judge().enough == 200U);
  group.facts.unlimited_peak = 129;
  ck_assert(!group.judge().enough);

  // It is left out rather than the name.
  Scene wordy;
  wordy.overflow(34, 2000ms);
  wordy.facts.runs.longest_pause = 2000ms;
  wordy.facts.unlimited_peak = 547;
  wordy.facts.somaxconn_at_listen.reset();
  wordy.facts.name = "tcp_127-0-0-1_12324";
  wordy.facts.owner = "python3[1738]";
  const std::string message = wordy.judge().message;
  ck_assert_msg(message.starts_with("tcp_127-0-0-1_12324 (pyth"), "%s", message.c_str());
  ck_assert_msg(message.ends_with("a restart may be enough"), "%s", message.c_str());
}
END_TEST

START_TEST(remarks_follow_the_remedy) {
  const auto slow = [](Scene &s) {
    s.overflow(200, 8s);
    s.facts.queue.last = 512;
    s.facts.came = 600;
    s.facts.accepts = 354;
    s.facts.oldest_wait = 1.44s;
  };
  const std::string begins =
      "tcp_any_80 (nginx.service): accept queue overflow, peak 512 of 512, 200 drops in 10 s; "
      "slow_accept: the application does not keep up, a longer queue only adds waiting";
  const struct {
    const char *what;
    std::function<void(Scene &)> arrange;
    std::string message;
  } cases[] = {
      {"rates and the longest wait", slow,
       begins + "; 60/s come, 35/s are accepted: no limit helps; the oldest waits 1.4 s"},
      {"rates below ten a second have a tenth",
       [&](Scene &s) {
         slow(s);
         s.facts.came = 95;
         s.facts.accepts = 12;
       },
       begins + "; 9.5/s come, 1.2/s are accepted: no limit helps; the oldest waits 1.4 s"},
      {"others have none, and no whole one has",
       [&](Scene &s) {
         slow(s);
         s.facts.came = 104;
         s.facts.accepts = 40;
       },
       begins + "; 10/s come, 4/s are accepted: no limit helps; the oldest waits 1.4 s"},
      {"a third more come than are accepted",
       [&](Scene &s) {
         slow(s);
         s.facts.came = 470;
       },
       begins + "; 47/s come, 35/s are accepted: no limit helps; the oldest waits 1.4 s"},
      {"clients leave no room for rates",
       [&](Scene &s) {
         slow(s);
         s.facts.oldest_wait.reset();
         s.facts.clients = "31 of 40 waiting from a-service-of-a-long-name.service, 9 from others";
       },
       begins + "; 31 of 40 waiting from a-service-of-a-long-name.service, 9 from others"},
      {"clients that have no room leave it to rates",
       [&](Scene &s) {
         slow(s);
         s.facts.clients = "31 of 40 waiting from a-service-of-a-very-long-name-that-goes-on-and-"
                           "on-and-on-and-on-and-on.service";
       },
       begins + "; 60/s come, 35/s are accepted: no limit helps; the oldest waits 1.4 s"},
      {"waits before the longest, if there is no room for both",
       [&](Scene &s) {
         slow(s);
         s.facts.wait_mean = 700ms;
         s.facts.wait_p50 = 1.26s;
         s.facts.wait_p99 = 4800ms;
       },
       begins + "; 60/s come, 35/s are accepted: no limit helps; waits: p50 1.3 s, p99 4.8 s"},
      {"waits and the longest",
       [&](Scene &s) {
         slow(s);
         s.facts.came.reset();
         s.facts.wait_p50 = 1.26s;
         s.facts.wait_p99 = 14.8s;
       },
       begins + "; waits: p50 1.3 s, p99 15 s; the oldest waits 1.4 s"},
      {"a median that would be 0 s",
       [&](Scene &s) {
         slow(s);
         s.facts.came.reset();
         s.facts.wait_p50 = 49ms;
         s.facts.wait_p99 = 50ms;
       },
       begins + "; waits: p99 0.1 s; the oldest waits 1.4 s"},
      {"a median that is not known",
       [&](Scene &s) {
         slow(s);
         s.facts.came.reset();
         s.facts.wait_p99 = 700ms;
       },
       begins + "; waits: p99 0.7 s; the oldest waits 1.4 s"},
      {"waits that would be 0 s",
       [&](Scene &s) {
         slow(s);
         s.facts.came.reset();
         s.facts.wait_mean = 40ms;
         s.facts.wait_p99 = 49ms;
       },
       begins + "; the oldest waits 1.4 s"},
      {"the mean, where no more is known",
       [&](Scene &s) {
         slow(s);
         s.facts.came.reset();
         s.facts.wait_mean = 0.42s;
       },
       begins + "; waits: 0.4 s on average; the oldest waits 1.4 s"},
      {"a mean that would be 0 s",
       [&](Scene &s) {
         slow(s);
         s.facts.came.reset();
         s.facts.wait_mean = 49ms;
       },
       begins + "; the oldest waits 1.4 s"},
      {"as many are accepted as come",
       [&](Scene &s) {
         slow(s);
         s.facts.came = 389;
       },
       begins + "; the oldest waits 1.4 s"},
      {"nobody comes, and nobody is accepted",
       [&](Scene &s) {
         slow(s);
         s.facts.came = 0;
         s.facts.accepts = 0;
       },
       begins + "; the oldest waits 1.4 s"},
      {"nobody waits any more",
       [&](Scene &s) {
         slow(s);
         s.facts.accepts.reset();
         s.facts.queue.last = 0;
       },
       begins},
      {"a wait that would be 0 s",
       [&](Scene &s) {
         slow(s);
         s.facts.came.reset();
         s.facts.oldest_wait = 49ms;
         s.facts.clients = "all from php-fpm.service";
       },
       begins + "; all from php-fpm.service"},
      {"the shortest wait that is shown",
       [&](Scene &s) {
         slow(s);
         s.facts.came.reset();
         s.facts.oldest_wait = 50ms;
       },
       begins + "; the oldest waits 0.1 s"},
      {"clients before the longest wait, if there is no room for both",
       [&](Scene &s) {
         slow(s);
         s.facts.clients = "31 of 40 from web.service";
       },
       begins + "; 60/s come, 35/s are accepted: no limit helps; 31 of 40 from web.service"},
      {"one that waits for another is not to blame",
       [&](Scene &s) {
         slow(s);
         s.facts.clients = "31 of 40 waiting from web.service";
         s.facts.waits_for = "tcp_127-0-0-1_3306";
       },
       "tcp_any_80 (nginx.service): accept queue overflow, peak 512 of 512, 200 drops in 10 s; "
       "slow_accept: it waits for tcp_127-0-0-1_3306, look there first; the oldest waits 1.4 s; "
       "31 of 40 waiting from web.service"},
      {"whom it waits for, whatever the room",
       [](Scene &s) {
         s.overflow(34, 3s);
         s.facts.runs.longest_pause = 3s;
         s.facts.queue.last = 9;
         s.facts.oldest_wait = 400ms;
         s.facts.clients = "31 of 40 waiting from web.service";
         s.facts.waits_for = "unix_run_postgresql_-s-PGSQL-5432";
       },
       "tcp_any_80 (nginx.service): accept queue overflow, peak 512 of 512, 34 drops in 10 s; "
       "pause: none accepted for 3 s, a longer queue would hold them that long: raise listen() "
       "backlog (511, somaxconn 4096); waits for unix_run_postgresql_-s-PGSQL-5432"},
      {"a pause",
       [](Scene &s) {
         s.overflow(34, 3s);
         s.facts.runs.longest_pause = 3s;
         s.facts.queue.last = 9;
         s.facts.oldest_wait = 400ms;
       },
       "tcp_any_80 (nginx.service): accept queue overflow, peak 512 of 512, 34 drops in 10 s; "
       "pause: none accepted for 3 s, a longer queue would hold them that long: raise listen() "
       "backlog (511, somaxconn 4096); the oldest waits 0.4 s"},
      {"waits of a pause",
       [](Scene &s) {
         s.overflow(34, 3s);
         s.facts.runs.longest_pause = 3s;
         s.facts.wait_p50 = 1s;
         s.facts.wait_p99 = 3s;
       },
       "tcp_any_80 (nginx.service): accept queue overflow, peak 512 of 512, 34 drops in 10 s; "
       "pause: none accepted for 3 s, a longer queue would hold them that long: raise listen() "
       "backlog (511, somaxconn 4096); waits: p50 1 s, p99 3 s"},
      {"a burst",
       [](Scene &s) {
         s.overflow(34, 300ms);
         s.facts.wait_p50 = 0.2s;
         s.facts.wait_p99 = 0.3s;
         s.facts.queue.last = 9;
         s.facts.oldest_wait = 400ms;
         s.facts.came = 600;
         s.facts.accepts = 300;
       },
       "tcp_any_80 (nginx.service): accept queue overflow, peak 512 of 512, 34 drops in 10 s; "
       "burst: raise listen() backlog (511, somaxconn 4096)"},
      {"one that is well",
       [](Scene &s) {
         s.facts.clients = "all from web.service";
         s.facts.waits_for = "tcp_any_3306";
       },
       "tcp_any_80 (nginx.service): accept queue ok, peak 0 of 512 in 10 s"},
  };
  for (const auto &c : cases) {
    Scene scene;
    c.arrange(scene);
    assert_text(std::string(c.what) + ": " + scene.judge().message,
                std::string(c.what) + ": " + c.message);
  }
}
END_TEST

// Of a name and an owner that are longer people need the beginning and the end.
START_TEST(remarks_leave_room_for_48_bytes_of_name_and_32_of_owner) {
  constexpr std::size_t frame = 5; // " (): "
  const std::string name(60, 'n');
  const std::string owner(40, 'o');
  Scene scene;
  scene.facts.name = name;
  scene.facts.owner = owner;
  scene.overflow(200, 8s);
  const std::string plain = scene.judge().message;
  const std::size_t text = plain.size() - plain.find("): ") - 3;
  const std::string clients(message_max_bytes - 48 - 32 - frame - text - 2, 'c');
  scene.facts.clients = clients;
  ck_assert_msg(scene.judge().message.ends_with("; " + clients), "%s",
                scene.judge().message.c_str());
  const std::string longer = clients + "c";
  scene.facts.clients = longer;
  assert_text(scene.judge().message, plain);

  // Whom it waits for is worth more than either.
  Scene waiting;
  waiting.facts.name = name;
  waiting.facts.owner = owner;
  waiting.overflow(34, 3s);
  waiting.facts.runs.longest_pause = 3s;
  waiting.facts.waits_for = "unix_run_postgresql_-s-PGSQL-5432";
  const std::string message = waiting.judge().message;
  ck_assert_msg(message.ends_with("; waits for unix_run_postgresql_-s-PGSQL-5432"), "%s",
                message.c_str());
}
END_TEST

START_TEST(a_full_run_that_ended_has_a_cause_of_its_own) {
  const auto run = [](std::chrono::milliseconds full, std::chrono::milliseconds pause) {
    return [=](Scene &s) {
      s.facts.runs.longest_full_run = full;
      s.facts.runs.longest_pause = pause;
    };
  };
  const std::string begins = "tcp_any_80 (nginx.service): accept queue was full";
  const struct {
    const char *what;
    std::function<void(Scene &)> arrange;
    Cause cause;
    std::string message;
  } cases[] = {
      {"nothing", run(0ms, 0ms), none, ""},
      {"a pause", run(3s, 3s), pause,
       begins + " for 3 s; pause: none accepted for 3 s, a longer queue would hold them that "
                "long: raise listen() backlog (511, somaxconn 4096)"},
      {"a burst", run(500ms, 0ms), burst,
       begins + " for 0.5 s; burst: raise listen() backlog (511, somaxconn 4096)"},
      {"the shortest that is shown", run(50ms, 0ms), burst,
       begins + " for 0.1 s; burst: raise listen() backlog (511, somaxconn 4096)"},
      {"a shorter one", run(49ms, 0ms), burst,
       begins + "; burst: raise listen() backlog (511, somaxconn 4096)"},
      {"the shortest of all", [](Scene &s) { s.facts.runs.longest_full_run = 1ns; }, burst,
       begins + "; burst: raise listen() backlog (511, somaxconn 4096)"},
      {"one of which nobody saw all",
       [&](Scene &s) {
         run(500ms, 0ms)(s);
         s.facts.runs.unseen_for = 2s;
       },
       none, ""},
      {"one that goes on",
       [&](Scene &s) {
         run(3s, 3s)(s);
         s.facts.runs.full_run_goes_on = true;
       },
       none, ""},
      {"one with overflows, whose message tells it",
       [](Scene &s) {
         s.overflow(34, 3s);
         s.facts.runs.longest_pause = 3s;
       },
       none, ""},
      {"what would have been enough gives way to the name",
       [&](Scene &s) {
         run(3s, 3s)(s);
         s.facts.unlimited_peak = 547;
         s.facts.somaxconn_at_listen.reset();
       },
       pause,
       begins + " for 3 s; pause: none accepted for 3 s, a longer queue would hold them that "
                "long: raise listen() backlog (511, somaxconn 4096), not known who set it: a "
                "restart may be enough"},
  };
  for (const auto &c : cases) {
    Scene scene;
    c.arrange(scene);
    const Diagnosis diagnosis = scene.judge();
    assert_text(std::string(c.what) + ": " + std::string(name_of(diagnosis.ended_cause)),
                std::string(c.what) + ": " + std::string(name_of(c.cause)));
    assert_text(diagnosis.ended_message, c.message);
  }
}
END_TEST

int main() {
  return run_tests(
      "diagnosis", remarks_leave_room_for_48_bytes_of_name_and_32_of_owner,
      a_full_run_that_ended_has_a_cause_of_its_own, remarks_follow_the_remedy,
      a_limit_that_would_have_held_them, overflows, skew_needs_a_stuck_member_among_idle_ones,
      skew_among_small_queues, a_member_that_is_full_is_not_judged_by_the_accepts_of_others,
      full_listeners_without_a_counter, stalls, high_queues, high_in_three_of_six_intervals,
      full_syn_queues, what_is_no_full_syn_queue, full_syn_queues_in_two_intervals_that_follow,
      drops_alone_are_no_alarm, who_only_holds_a_socket_for_a_service_is_not_blamed,
      tells_the_overflow_whatever_else_is_wrong, missing_ones, gone_ones_are_no_trouble,
      a_file_that_is_gone, limit_sources, long_names_are_shortened_in_their_middle,
      the_longest_figures_leave_room_for_name_and_owner, messages_are_printable,
      states_have_the_numbers_of_gauge_state, what_is_high_at_the_start_may_have_been_so_for_long,
      cause_of_a_burst_that_goes_on_is_open);
}
