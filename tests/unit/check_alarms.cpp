#include "alarms.h"
#include "test_program.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

using namespace backlog;
using namespace std::chrono_literals;

namespace {

using enum layout::State;

constexpr auto measured = 10s;

/// One interval of a listener: `.` ok, `h` high, `o` overflow, `O` a hundred of them, `u` a full
/// Unix queue, `b` a thousand overflows in a run that goes on, `s` stalled, `S` stalled and
/// overflowed, `m` missing, `g` gone, `a` absent but expected, `?` not read.
Diagnosis diagnosis_of(char interval) {
  Diagnosis diagnosis;
  diagnosis.message = std::string("was ") + interval;
  switch (interval) {
  case 'h':
    diagnosis.state = high;
    diagnosis.cause = Cause::burst;
    break;
  case 'o':
  case 'O':
  case 'u':
    diagnosis.state = overflow;
    diagnosis.cause = Cause::slow_accept;
    diagnosis.overflowed = true;
    diagnosis.overflows = interval == 'o' ? 99 : interval == 'O' ? 100 : 0;
    break;
  case 'b':
    diagnosis.state = overflow;
    diagnosis.cause_is_open = true;
    diagnosis.overflowed = true;
    diagnosis.overflows = 1000;
    break;
  case 'S':
    diagnosis.overflowed = true;
    [[fallthrough]];
  case 's':
    diagnosis.state = stalled;
    diagnosis.cause = Cause::not_accepting;
    break;
  case 'm':
    diagnosis.state = missing;
    [[fallthrough]];
  case 'a':
    diagnosis.is_expected = true;
    [[fallthrough]];
  case 'g':
    diagnosis.is_there = false;
    break;
  default:
    break;
  }
  return diagnosis;
}

/// The notifications sent: `h`, `o`, `s`, `m` as above, `O` an overflow's FAILURE, `k` OKAY.
char letter_of(const Notification &notification) {
  const char letter = notification.state == ok ? 'k' : name_of(notification.state).front();
  const bool is_overflow = notification.state == overflow;
  const Severity severity = notification.state == ok     ? Severity::okay
                            : notification.state == high ? Severity::warning
                            : is_overflow                ? notification.severity
                                                         : Severity::failure;
  ck_assert(notification.severity == severity);
  return is_overflow && severity == Severity::failure ? 'O' : letter;
}

/// The notifications about one listener in each interval; it is not among the listeners where its
/// interval is a blank.
std::string told(const std::string &intervals, NotifyStates notify = {}) {
  Alarms alarms(notify);
  std::string letters;
  for (const char interval : intervals) {
    const Diagnosis diagnosis = diagnosis_of(interval);
    std::vector<AlarmInput> listeners;
    if (interval != ' ')
      listeners.push_back({"tcp_any_80", interval == '?' ? nullptr : &diagnosis, {}});
    const std::vector<Notification> notifications = alarms.update(listeners, measured);
    ck_assert_uint_le(notifications.size(), 1);
    letters += notifications.empty() ? '.' : letter_of(notifications.front());
    for (const Notification &notification : notifications) {
      assert_text(notification.name, "tcp_any_80");
      if (interval != ' ' && (diagnosis.is_there || diagnosis.state == missing)) {
        assert_text(notification.message, diagnosis.message);
        ck_assert(notification.cause == diagnosis.cause);
      }
    }
  }
  return letters;
}

/// So many listeners, all with the same interval.
class Crowd {
public:
  explicit Crowd(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i)
      names_.push_back("tcp_any_" + std::to_string(1000 + i));
  }
  std::vector<Notification> update(const std::string &intervals) {
    std::vector<Diagnosis> diagnoses;
    std::vector<AlarmInput> listeners;
    for (std::size_t i = 0; i < names_.size(); ++i)
      diagnoses.push_back(diagnosis_of(intervals[i * intervals.size() / names_.size()]));
    for (std::size_t i = 0; i < names_.size(); ++i)
      listeners.push_back({names_[i], &diagnoses[i], {}});
    return alarms_.update(listeners, measured);
  }
  const Alarms &alarms() const { return alarms_; }

private:
  std::vector<std::string> names_;
  Alarms alarms_{NotifyStates{}};
};

} // namespace

START_TEST(changes_only) {
  struct Case {
    const char *what;
    const char *intervals;
    const char *told;
  };
  for (const Case &c : std::vector<Case>{
           {"health", "..........", ".........."},
           {"high stands", ".hhhhh....", ".h......k."},
           {"one overflow", ".o.......", ".o..k...."},
           {"overflows in two of three, in a row", ".ooooo...", ".oO.....k"},
           {"overflows in two of three", ".o.o....", ".o.O..k."},
           {"overflows in two of four", ".o..o....", ".o.....k."},
           {"a hundred overflows", ".O...", ".O..k"},
           {"a hundred overflows later", ".o..O...", ".o..O..k"},
           {"a FAILURE stands", ".O..o..o...", ".O........k"},
           {"a Unix queue full in two of three", ".u.u...", ".o.O..k"},
           {"stalled, missing", ".ss...mm...", ".s...km...k"},
           {"it gets worse", ".hosm...", ".hosm..k"},
           {"it ends", ".mm......", ".m...k..."},
           {"step by step", ".ssooohhh...", ".s...O..h..k"},
           {"better is told when it is so", ".ssooo.h.h.h...", ".s...O...h....k"},
           {"a flapping overflow", ".ohohohohoh...", ".o.O.........k"},
           {"it ends and comes again", ".h...h...", ".h..kh..k"},
           {"a hundred in a run that goes on", ".bO...", ".oO..k"},
           {"the cause shows later", ".bbbOO...", ".oO.O...k"},
       })
    assert_text(std::string(c.what) + ": " + told(c.intervals),
                std::string(c.what) + ": " + c.told);
}
END_TEST

namespace {

/// The states told in intervals of a second, `.` where nothing is.
std::string told_each_second(const std::vector<Diagnosis> &intervals) {
  Alarms alarms{NotifyStates{}};
  std::string letters;
  for (const Diagnosis &diagnosis : intervals) {
    const auto notifications =
        alarms.update(std::array{AlarmInput{"tcp_any_80", &diagnosis, {}}}, 1s);
    letters += notifications.empty() ? '.' : letter_of(notifications.front());
  }
  return letters;
}

std::vector<Diagnosis> diagnoses_of(const std::string &intervals) {
  std::vector<Diagnosis> diagnoses;
  for (const char interval : intervals)
    diagnoses.push_back(diagnosis_of(interval));
  return diagnoses;
}

} // namespace

START_TEST(what_comes_again_soon_stands_for_ten_seconds) {
  assert_text(told_each_second(diagnoses_of("..oo...oo....oo..........")),
              "..oO..koO...............k");
  const std::string later(61, '.');
  assert_text(told_each_second(diagnoses_of("..oo..." + later + "oo....")),
              "..oO..k" + later + "oO..k.");
  const struct {
    const char *what;
    std::string intervals;
    std::string told;
  } cases[] = {
      {"a minute after its end", "..oo..." + std::string(59, '.') + "o..........",
       "..oO..k" + std::string(59, '.') + "o.........k"},
      {"a second later", "..oo..." + std::string(60, '.') + "o....",
       "..oO..k" + std::string(60, '.') + "o..k."},
      {"it stands for more than a minute", "..oo..." + std::string(70, 'o') + "..........",
       "..oO..ko"
       "O" +
           std::string(68, '.') + ".........k"},
      {"what comes is worse than what ended", "..hh...oo......", "..h...koO..k..."},
      {"the listener was gone meanwhile", "..oo...goo...", "..oO..k.oO..k"},
  };
  for (const auto &c : cases)
    assert_text(std::string(c.what) + ": " + told_each_second(diagnoses_of(c.intervals)),
                std::string(c.what) + ": " + c.told);
}
END_TEST

START_TEST(the_cause_of_a_run_that_ends_without_drops) {
  std::vector<Diagnosis> intervals = diagnoses_of("..bb..");
  // One that ended before counts no more while the next one goes on; nor is one told twice.
  for (std::size_t i = 3; i < intervals.size(); ++i) {
    intervals[i].ended_cause = Cause::pause;
    intervals[i].ended_message = "pause";
  }
  Alarms alarms{NotifyStates{}};
  for (std::size_t i = 0; i < intervals.size(); ++i) {
    const auto notifications =
        alarms.update(std::array{AlarmInput{"tcp_any_80", &intervals[i], {}}}, 1s);
    ck_assert_uint_eq(notifications.size(), i == 2 || i == 3 || i == 4);
    if (i == 3)
      assert_text(notifications[0].message, "was b");
    if (i != 4)
      continue;
    assert_text(notifications[0].message, "pause");
    ck_assert(notifications[0].cause == Cause::pause);
    ck_assert(notifications[0].state == overflow);
    ck_assert(alarms.standing("tcp_any_80").cause == Cause::pause);
  }
}
END_TEST

START_TEST(the_alarm_that_stands) {
  Alarms alarms{NotifyStates{}};
  const auto after = [&](char interval) {
    const Diagnosis diagnosis = diagnosis_of(interval);
    const AlarmInput listener{"tcp_any_80", &diagnosis, {}};
    (void)alarms.update({&listener, 1}, measured);
    return alarms.standing("tcp_any_80");
  };
  ck_assert(after('.').state == ok);
  StandingAlarm alarm = after('h');
  ck_assert(alarm.state == high && alarm.severity == Severity::warning);
  ck_assert(alarm.cause == Cause::burst);
  alarm = after('b');
  ck_assert(alarm.state == overflow && alarm.severity == Severity::warning);
  ck_assert(alarm.cause == Cause::none);
  ck_assert(after('o').cause == Cause::slow_accept);
  ck_assert(after('h').cause == Cause::slow_accept);
  ck_assert(alarms.standing("tcp_any_81").state == ok);
}
END_TEST

START_TEST(the_first_interval_is_a_baseline) {
  for (const char *intervals :
       {"h.......", "o.......", "O.......", "u.......", "s.......", "m.......", "hhh.....",
        "OO......", "ss......", "mmmmm...", "sshh....", "h       "})
    assert_text(told(intervals), "........");
  assert_text(told("h....h..."), ".....h..k");
  assert_text(told("O....o..."), ".....o..k");
  assert_text(told("m....m..."), ".....m..k");
  assert_text(told("oo..."), ".....");
  assert_text(told("hs..."), ".s..k");
  assert_text(told("sshhhhs..."), "......s..k");
  assert_text(told(" o..."), ".o..k");
}
END_TEST

START_TEST(what_later_intervals_prove_is_told_though_it_began_in_the_first) {
  struct Case {
    const char *what;
    const char *intervals;
    const char *told;
  };
  for (const Case &c : std::vector<Case>{
           {"two overflows", "ooo...", "..O..k"},
           {"two overflows with a gap", "o.o.o...", "....O..k"},
           {"one overflow more", "o.o...", "......"},
           {"full Unix queue", "uuu...", "..O..k"},
           {"three high intervals", "hhhh...", "...h..k"},
           {"stalled for StalledAfter since the start", "ssss...", "..s...k"},
           {"missing for MissingAfter since the start", "mmmmmmm...", ".....m...k"},
           {"unread intervals prove nothing", "s??s?s...", ".....s..k"},
           {"it got better first", "ss...hs...", ".....hs..k"},
           {"it ended before the proof and came again", "oo...o...", ".....o..k"},
       })
    assert_text(std::string(c.what) + ": " + told(c.intervals),
                std::string(c.what) + ": " + c.told);
}
END_TEST

START_TEST(a_restart_of_a_service_is_no_change) {
  assert_text(told(".. ...g..."), "..........");
  assert_text(told(".s  ssssss"), ".s........");
  assert_text(told(".sggssssss"), ".s........");
  assert_text(told(".s g.."), ".s....");
  assert_text(told(".s  ..."), ".s....k");
  assert_text(told(".o o..."), ".o.O..k");
}
END_TEST

START_TEST(a_listener_that_is_gone_ends_its_alarm) {
  assert_text(told(".s    "), ".s..k.");
  assert_text(told(".sggg "), ".s..k.");
  assert_text(told(".s.  s   "), ".s......k");
  Alarms alarms{NotifyStates{}};
  const Diagnosis healthy = diagnosis_of('.');
  const Diagnosis hung = diagnosis_of('s');
  (void)alarms.update(std::array{AlarmInput{"tcp_any_80", &healthy, {}}}, measured);
  (void)alarms.update(std::array{AlarmInput{"tcp_any_80", &hung, {}}}, measured);
  for (int i = 0; i < 2; ++i)
    ck_assert(alarms.update({}, measured).empty());
  const std::vector<Notification> notifications = alarms.update({}, measured);
  ck_assert_uint_eq(notifications.size(), 1);
  assert_text(notifications.front().message, "tcp_any_80: gone, so its alarm (stalled) has ended");
  ck_assert(notifications.front().cause == Cause::none);
  ck_assert_uint_eq(alarms.size(), 0);
}
END_TEST

START_TEST(an_expected_one_that_is_absent_keeps_its_alarm) {
  assert_text(told(".saaaaammmm..."), ".s.....m.....k");
  assert_text(told(".saaaaa..."), ".s.......k");
  assert_text(told(".aaaamm..."), ".....m...k");
  NotifyStates without_missing;
  without_missing.missing = false;
  assert_text(told(".saaa...", without_missing), ".s..k...");
  assert_text(told(".ammm...", without_missing), "........");
}
END_TEST

START_TEST(what_could_not_be_read_stays_as_it_is) {
  assert_text(told(".s????????...??"), ".s..........k..");
  assert_text(told(".o?o..."), ".o.O..k");
  assert_text(told(".s.?.?.?"), ".s....k.");
  assert_text(told(".s ? ? "), ".s....k");
  assert_text(told("????"), "....");
}
END_TEST

START_TEST(states_that_are_not_sent) {
  const auto without = [](bool NotifyStates::*state) {
    NotifyStates notify;
    notify.*state = false;
    return notify;
  };
  assert_text(told(".hhh...hohh...", without(&NotifyStates::high)), "........o..k..");
  assert_text(told(".ooo...oso...", without(&NotifyStates::overflow)), "........s..k.");
  assert_text(told(".sss...oso...", without(&NotifyStates::stalled)), ".......o.O..k");
  assert_text(told(".SS...", without(&NotifyStates::stalled)), ".oO..k");
  assert_text(told(".mmm...sm...", without(&NotifyStates::missing)), ".......s...k");
  const NotifyStates nothing{false, false, false, false};
  assert_text(told(".hoOuSsm...", nothing), "...........");
}
END_TEST

START_TEST(ten_an_interval_and_a_sum_of_the_rest) {
  Crowd crowd(40);
  ck_assert(crowd.update(".").empty());
  std::vector<Notification> notifications = crowd.update("hhso");
  ck_assert_uint_eq(notifications.size(), 11);
  for (std::size_t i = 0; i < 10; ++i) {
    ck_assert(notifications[i].state == stalled);
    assert_text(notifications[i].name, "tcp_any_" + std::to_string(1020 + i));
  }
  assert_text(notifications[10].name, "host");
  assert_text(notifications[10].message, "host: 30 more listeners have changed: 10 overflow, 20 "
                                         "high");
  ck_assert(notifications[10].state == overflow);
  ck_assert(notifications[10].severity == Severity::warning);

  // They are told by name when there is room, the worst first.
  notifications = crowd.update("hhs.");
  ck_assert_uint_eq(notifications.size(), 10);
  for (const Notification &notification : notifications) {
    ck_assert(notification.state == overflow);
    assert_text(notification.message, "was o");
  }
  for (int interval = 0; interval < 2; ++interval) {
    notifications = crowd.update("hhs.");
    ck_assert_uint_eq(notifications.size(), interval == 0 ? 10 : 11);
    // The overflows have ended by the second one, and who goes first does so then.
    for (std::size_t i = 0; i < 10; ++i)
      ck_assert(notifications[i].state == high);
  }
  assert_text(notifications[10].message, "host: 10 more listeners have changed: 10 ok");
  ck_assert(notifications[10].severity == Severity::okay);
  notifications = crowd.update("hhs.");
  ck_assert_uint_eq(notifications.size(), 10);
  for (const Notification &notification : notifications)
    ck_assert(notification.severity == Severity::okay);
  ck_assert(crowd.update("hhs.").empty());

  (void)crowd.update(".");
  (void)crowd.update(".");
  notifications = crowd.update(".");
  ck_assert_uint_eq(notifications.size(), 11);
  assert_text(notifications[10].message, "host: 20 more listeners have changed: 20 ok");
  ck_assert(notifications[10].severity == Severity::okay);
  // The end of what was told by name is told by name.
  ck_assert_uint_eq(crowd.update(".").size(), 10);
  ck_assert_uint_eq(crowd.update(".").size(), 10);
  ck_assert(crowd.update(".").empty());
  for (int interval = 0; interval < 7; ++interval)
    ck_assert_uint_eq(crowd.update(".").size(), 0);
  ck_assert_uint_eq(crowd.alarms().size(), 0);
}
END_TEST

START_TEST(ten_and_one_more) {
  Crowd ten(10);
  (void)ten.update(".");
  ck_assert_uint_eq(ten.update("s").size(), 10);
  Crowd eleven(11);
  (void)eleven.update(".");
  const std::vector<Notification> notifications = eleven.update("s");
  ck_assert_uint_eq(notifications.size(), 11);
  assert_text(notifications[10].message, "host: 1 more listener has changed: 1 stalled");
  ck_assert(notifications[10].severity == Severity::failure);
  // What is named late is told as it is by then.
  const std::vector<Notification> later = eleven.update("S");
  ck_assert_uint_eq(later.size(), 2);
  assert_text(later[0].message, "was S");
}
END_TEST

START_TEST(a_sum_ends_when_all_of_it_are_named) {
  Crowd crowd(12);
  (void)crowd.update(".");
  ck_assert_uint_eq(crowd.update("ssssssssssho").size(), 11);
  const std::vector<Notification> notifications = crowd.update("ssssssssssho");
  ck_assert_uint_eq(notifications.size(), 3);
  assert_text(notifications[0].name, "tcp_any_1011");
  ck_assert(notifications[0].state == overflow);
  ck_assert(notifications[0].severity == Severity::failure); // it got worse
  assert_text(notifications[1].name, "tcp_any_1010");
  ck_assert(notifications[1].state == high);
  assert_text(notifications[2].name, "host");
  ck_assert(notifications[2].severity == Severity::okay);
  ck_assert(notifications[2].state == ok);
  assert_text(notifications[2].message,
              "host: each listener summed up earlier has been named or is well again");
  ck_assert(crowd.update("ssssssssss..").empty());
}
END_TEST

START_TEST(a_sum_is_as_bad_as_what_still_stands_of_an_earlier_one) {
  Crowd crowd(48);
  (void)crowd.update(".");
  (void)crowd.update("ss..");
  const std::vector<Notification> notifications = crowd.update("ssoo");
  ck_assert_uint_eq(notifications.size(), 11);
  assert_text(notifications[10].message, "host: 24 more listeners have changed: 24 overflow");
  ck_assert(notifications[10].state == stalled);
  ck_assert(notifications[10].severity == Severity::failure);
}
END_TEST

namespace {

/// An interval with one service and so many others, each with a state and a precedence of its own.
struct Member {
  std::string name;
  char interval;
  Precedence precedence;
};

std::vector<Notification> update(Alarms &alarms, const std::vector<Member> &members) {
  std::vector<Diagnosis> diagnoses;
  diagnoses.reserve(members.size());
  for (const Member &member : members)
    diagnoses.push_back(diagnosis_of(member.interval));
  std::vector<AlarmInput> inputs;
  for (std::size_t i = 0; i < members.size(); ++i)
    inputs.push_back({members[i].name, &diagnoses[i], members[i].precedence});
  return alarms.update(inputs, measured);
}

std::string names_of(const std::vector<Notification> &notifications) {
  std::string names;
  for (const Notification &notification : notifications)
    names += (names.empty() ? "" : " ") + notification.name + ":" + letter_of(notification);
  return names;
}

constexpr BootClock::time_point start{1000h};

} // namespace

START_TEST(new_listeners_that_are_full_do_not_hide_a_service) {
  struct Case {
    const char *what;
    Precedence service;
    Precedence noise;
  };
  for (const Case &c : std::vector<Case>{
           {"watched", {.watched = true, .since = start + 1h}, {.since = start}},
           {"with a name that stays", {.since = start + 1h}, {.stable = false, .since = start}},
           {"known for longer", {.since = start}, {.since = start + 1s}},
       }) {
    Alarms alarms{NotifyStates{}};
    std::string told;
    const std::string service = ".o..o..........";
    int number = 0;
    std::vector<Member> noise;
    for (const char interval : service) {
      for (Member &member : noise)
        member.interval = 's';
      for (int i = 0; i < 16; ++i)
        noise.push_back({"unix_" + std::to_string(number++), 'u', c.noise});
      std::vector<Member> members = noise;
      members.push_back({"tcp_any_80", interval, c.service});
      const std::vector<Notification> notifications = update(alarms, members);
      ck_assert_uint_le(notifications.size(), 11);
      char letter = '.';
      for (const Notification &notification : notifications)
        if (notification.name == "tcp_any_80")
          letter = letter_of(notification);
      told += letter;
    }
    assert_text(std::string(c.what) + " " + told, std::string(c.what) + " .o.....k.......");
  }
}
END_TEST

START_TEST(who_was_summed_up_is_named_before_new_ones_that_go_after) {
  Alarms alarms{NotifyStates{}};
  const Precedence old{.since = start};
  const Precedence young{.since = start + 1h};
  std::vector<Member> members;
  members.reserve(31);
  for (int i = 0; i < 11; ++i)
    members.push_back({"old_" + std::to_string(i), '.', old});
  for (int i = 0; i < 20; ++i)
    members.push_back({"young_" + std::to_string(i), '.', young});
  (void)update(alarms, members);
  for (int i = 0; i < 11; ++i)
    members[static_cast<std::size_t>(i)].interval = i == 10 ? 'h' : 's';
  std::vector<Notification> notifications = update(alarms, members);
  ck_assert_uint_eq(notifications.size(), 11);
  for (int i = 11; i < 31; ++i)
    members[static_cast<std::size_t>(i)].interval = 's';
  members[10].interval = '.'; // for now, and its state stands
  notifications = update(alarms, members);
  ck_assert_uint_eq(notifications.size(), 11);
  assert_text(notifications[0].name, "old_10");
  assert_text(notifications[0].message, "was h");
  assert_text(notifications[10].message, "host: 11 more listeners have changed: 11 stalled");
}
END_TEST

START_TEST(an_end_is_told_by_name_where_the_trouble_was_and_only_there) {
  Alarms alarms{NotifyStates{}};
  const Precedence old{.since = start};
  const Precedence young{.since = start + 1h};
  std::vector<Member> members{{"named", '.', young}, {"summed", '.', young}};
  for (int i = 0; i < 10; ++i)
    members.push_back({"old_" + std::to_string(i), '.', old});
  const auto set_old = [&](char interval) {
    for (std::size_t i = 2; i < members.size(); ++i)
      members[i].interval = interval;
  };
  (void)update(alarms, members);
  members[0].interval = 's';
  assert_text(names_of(update(alarms, members)), "named:s");
  // From here on the old ones have something to tell in every interval.
  members[1].interval = 's';
  members[0].interval = '.';
  const std::string of_old = "hosm";
  for (const char interval : of_old) {
    set_old(interval);
    members[1].interval = interval == 'h' ? 's' : '.';
    const std::vector<Notification> notifications = update(alarms, members);
    ck_assert_uint_ge(notifications.size(), 10);
    for (std::size_t i = 0; i < 10; ++i)
      ck_assert(notifications[i].name.starts_with("old_"));
  }
  assert_text(names_of(update(alarms, members)), "named:k");
}
END_TEST

START_TEST(names_that_come_and_go_leave_nothing) {
  Alarms alarms{NotifyStates{}};
  const Diagnosis healthy = diagnosis_of('.');
  const Diagnosis overflowed = diagnosis_of('o');
  std::size_t most = 0;
  for (int interval = 0; interval < 3000; ++interval) {
    std::array<std::string, 20> names;
    std::vector<AlarmInput> listeners;
    for (std::size_t i = 0; i < names.size(); ++i) {
      names.at(i) = "tcp_any_" + std::to_string(interval) + "_" + std::to_string(i);
      listeners.push_back({names.at(i), i < 5 ? &overflowed : &healthy, {}});
    }
    (void)alarms.update(listeners, measured);
    most = std::max(most, alarms.size());
  }
  ck_assert_uint_le(most, 15);
  for (int i = 0; i < 3; ++i)
    (void)alarms.update({}, measured);
  ck_assert_uint_eq(alarms.size(), 0);
}
END_TEST

namespace {

/// A day of one listener, made interval by interval by the diagnosis.
class HealthyListener {
public:
  HealthyListener(std::size_t number, std::uint64_t seed) : kind_(number % 10), random_(seed) {
    facts_.family = kind_ == tiny_unix ? Family::unix_socket : Family::tcp;
    name_ =
        (facts_.family == Family::tcp ? "tcp_any_" : "unix_run_") + std::to_string(8000 + number);
    constexpr std::array<std::uint32_t, 10> limits = {4096, 511, 128, 5, 0, 1, 2, 511, 1, 128};
    facts_.limit = limits.at(kind_);
    facts_.lowest_limit = limits.at(kind_);
    if (kind_ == group) {
      facts_.members = 4;
      facts_.limit *= 4;
    }
  }

  const std::string &name() const { return name_; }

  Diagnosis live(const NamespaceFacts &common, const DiagnosisLimits &limits, int interval) {
    facts_.name = name_;
    const std::uint64_t peak = peak_of(interval);
    facts_.queue.peak = peak;
    facts_.queue.last = chance(3) ? std::min<std::uint64_t>(peak, below(3)) : 0;
    facts_.queue.used_percent =
        used_percent(kind_ == group ? (peak + 1) / 2 : peak, facts_.lowest_limit);
    facts_.worst_member_percent = facts_.queue.used_percent;
    facts_.median_member_percent = facts_.queue.used_percent / 2;
    const auto run = std::chrono::milliseconds(below(900));
    facts_.runs.longest_full_run = is_full(peak, facts_.lowest_limit) ? run : 0ms;
    facts_.runs.longest_full = facts_.runs.longest_full_run / 2;
    facts_.runs.not_empty_for = facts_.queue.last > 0 ? run : 0ms;
    facts_.oldest_wait.reset();
    if (facts_.queue.last > 0 && chance(10))
      facts_.none_accepted_for = facts_.oldest_wait = facts_.runs.not_empty_for;
    // Deferred accept, scans, and what ICMP says of clients that went.
    facts_.drops = kind_ == deferred ? peak * 100 : chance(50) ? below(20) : 0;
    if (facts_.family == Family::tcp)
      facts_.syn_length = kind_ == deferred ? below(600) : below(5);
    // A restart now and then takes an interval or two.
    if (chance(2000))
      absent_ = 1 + static_cast<int>(below(2));
    facts_.is_there = absent_ == 0;
    absent_ = std::max(absent_ - 1, 0);
    history_.add(facts_, common, limits);
    return diagnose(facts_, common, limits, history_);
  }

private:
  // Places in the list of limits.
  static constexpr std::size_t deferred = 1;
  static constexpr std::size_t small = 3;
  static constexpr std::size_t tiny_unix = 8;
  static constexpr std::size_t group = 9;

  std::uint64_t below(std::uint64_t end) { return random_() % end; }
  bool chance(std::uint64_t one_in) { return below(one_in) == 0; }

  std::uint64_t peak_of(int interval) {
    const std::uint64_t capacity = facts_.limit + 1;
    if (kind_ == small)
      return 5;
    if (capacity <= 4)
      return below(capacity + 1);
    // The load of the hour is a third of the queue at most.
    const auto hour = static_cast<std::uint64_t>(interval / 360 % 24);
    const std::uint64_t load = capacity * std::min(hour, 24 - hour) / 36;
    std::uint64_t peak = below(load + 2);
    // A burst that the queue takes, at most twice in six intervals.
    if (interval - last_burst_ > 3 && chance(40)) {
      last_burst_ = interval;
      peak = capacity - 1 - below(capacity / 8);
    }
    return peak;
  }

  std::size_t kind_;
  std::mt19937_64 random_;
  std::string name_;
  ListenerFacts facts_;
  ListenerHistory history_;
  int absent_ = 0;
  int last_burst_ = -10;
};

} // namespace

START_TEST(a_healthy_day) {
  std::vector<HealthyListener> listeners;
  for (std::size_t i = 0; i < 20; ++i)
    listeners.emplace_back(i, 20260101 + i);
  std::mt19937_64 random(20260101);
  DiagnosisLimits limits;
  DiagnosisLimits limits_of_expected;
  limits_of_expected.expected = true;
  Alarms alarms{NotifyStates{}};
  std::size_t suspected = 0;
  for (int interval = 0; interval < 8640; ++interval) {
    NamespaceFacts common;
    common.measured = std::chrono::milliseconds(9900 + random() % 200);
    common.somaxconn = 4096;
    common.tcp_syncookies = interval < 4320 ? 1 : 2;
    common.cookies_rose = interval >= 4320;
    std::vector<Diagnosis> diagnoses;
    for (std::size_t i = 0; i < listeners.size(); ++i)
      diagnoses.push_back(
          listeners[i].live(common, i < 10 ? limits : limits_of_expected, interval));
    std::vector<AlarmInput> inputs;
    for (std::size_t i = 0; i < listeners.size(); ++i)
      if (diagnoses[i].is_there || diagnoses[i].is_expected)
        inputs.push_back({listeners[i].name(), random() % 500 == 0 ? nullptr : &diagnoses[i], {}});
    for (const Diagnosis &diagnosis : diagnoses)
      suspected += diagnosis.state != ok || diagnosis.cause != Cause::none ? 1 : 0;
    for (const Notification &notification : alarms.update(inputs, common.measured))
      ck_abort_msg("interval %d: %s", interval, notification.message.c_str());
  }
  ck_assert_uint_eq(suspected, 0);
}
END_TEST

START_TEST(a_day_with_one_overflow) {
  HealthyListener listener(0, 1);
  Alarms alarms{NotifyStates{}};
  NamespaceFacts common;
  common.measured = 10s;
  common.somaxconn = 4096;
  std::string messages;
  for (int interval = 0; interval < 1000; ++interval) {
    Diagnosis diagnosis = listener.live(common, {}, interval);
    if (interval == 500)
      diagnosis = diagnosis_of('o');
    for (const Notification &notification :
         alarms.update(std::array{AlarmInput{listener.name(), &diagnosis, {}}}, measured))
      messages += std::to_string(interval) + letter_of(notification) + " ";
  }
  assert_text(messages, "500o 503k ");
}
END_TEST

namespace {

/// A listener in a chain: its intervals, and in which of them it was seen to wait (`^`).
struct ChainMember {
  const char *name;
  const char *root; ///< "" for none
  std::size_t distance;
  std::string intervals;
  std::string waits;
};

/// The notifications of each interval in their order, as FAILURE `F`, WARNING `W` or OKAY `k` with
/// the first letter of the name.
std::string told_in_order(const std::vector<ChainMember> &members,
                          Alarms::Seconds stalled_after = 30s) {
  Alarms alarms(NotifyStates{}, stalled_after);
  std::string text;
  for (std::size_t i = 0; i < members.front().intervals.size(); ++i) {
    std::vector<Diagnosis> diagnoses;
    diagnoses.reserve(members.size());
    for (const ChainMember &member : members)
      diagnoses.push_back(diagnosis_of(member.intervals[i]));
    std::vector<AlarmInput> inputs;
    for (std::size_t j = 0; j < members.size(); ++j) {
      const ChainMember &member = members[j];
      AlarmInput &input = inputs.emplace_back(AlarmInput{member.name, &diagnoses[j], {}});
      if (i < member.waits.size() && member.waits[i] == '^') {
        input.chain_root = member.root;
        input.chain_distance = member.distance;
      }
    }
    text += text.empty() ? "" : " ";
    for (const Notification &notification : alarms.update(inputs, measured)) {
      text += notification.severity == Severity::failure   ? 'F'
              : notification.severity == Severity::warning ? 'W'
                                                           : 'k';
      text += notification.name.front();
    }
    if (text.empty() || text.back() == ' ')
      text += '.';
  }
  return text;
}

} // namespace

START_TEST(chains_have_one_failure) {
  const struct {
    const char *what;
    std::vector<ChainMember> members;
    const char *told;
  } cases[] = {
      {"two troubles without evidence",
       {{"a", "", 0, ".oo...", ""}, {"b", "", 0, ".ss...", ""}},
       ". FbWa Fa . . kakb"},
      {"one waits for the other",
       {{"a", "b", 1, ".oo...", ".^^"}, {"b", "", 0, ".ss...", ""}},
       ". FbWa . . . kbka"},
      {"the root comes first, whatever the order and the state",
       {{"a", "c", 2, ".s..", ".^"}, {"b", "c", 1, ".o..", ".^"}, {"c", "", 0, ".h..", ""}},
       ". FcWbWa . ."},
      {"the failure of one that waits is the root's",
       {{"a", "b", 1, ".oO...", ".^^"}, {"b", "", 0, ".ooo..", ""}},
       ". WbWa Fb . . ka"},
      {"the root stalls later",
       {{"a", "b", 1, ".ooooo", ".^^^^^"}, {"b", "", 0, "....ss", ""}},
       ". Wa . . Fb ."},
      {"the root never gets into trouble",
       {{"a", "b", 1, ".ooooooo", ".^^^^^^^"}, {"b", "", 0, "........", ""}},
       ". Wa . . . . Fa ."},
      {"three intervals without evidence",
       {{"a", "b", 1, ".oooooo", ".^"}, {"b", "", 0, ".ssssss", ""}},
       ". FbWa . . . Fa ."},
      {"a FAILURE that was sent before",
       {{"a", "b", 1, ".ss...", "..^"}, {"b", "", 0, "..s...", ""}},
       ". Fa FbWa . . kbka"},
      {"... makes an overflow of the root a FAILURE",
       {{"a", "b", 1, ".ssss", "...^"}, {"b", "", 0, ".oooo", ""}},
       ". FaWb Fb Wa ."},
      {"... of an alarm that has calmed down meanwhile",
       {{"a", "b", 1, ".OoO...", "...^"}, {"b", "", 0, "...o...", ""}},
       ". Fa . FbWa . . kbka"},
      {"... waits until the root is in trouble",
       {{"a", "b", 1, ".sssss", "..^^^^"}, {"b", "", 0, "....ss", ""}},
       ". Fa . . FbWa ."},
      {"... is taken back once only",
       {{"a", "b", 1, ".sssssssss", "..^.....^^"}, {"b", "", 0, "..ssssssss", ""}},
       ". Fa FbWa . . . Fa . . ."},
      {"... and once again in the next alarm",
       {{"a", "b", 1, ".ss...ss", "..^....^"}, {"b", "", 0, "..ssssss", ""}},
       ". Fa FbWa . . ka Fa Wa"},
      {"... and not again when it has calmed down meanwhile",
       {{"a", "b", 1, ".sshhhssss", "..^......^"}, {"b", "", 0, "..ssssssss", ""}},
       ". Fa FbWa . . Wa Fa . . ."},
      {"... and not again after an interval that was well",
       {{"a", "b", 1, ".ss.sssss", "..^.....^"}, {"b", "", 0, "..sssssss", ""}},
       ". Fa FbWa . . . Fa . ."},
      {"... not in an interval that is better",
       {{"a", "b", 1, ".sh", "..^"}, {"b", "", 0, "..s", ""}},
       ". Fa Fb"},
      {"... not while it is missing",
       {{"a", "b", 1, ".mm", "..^"}, {"b", "", 0, "..s", ""}},
       ". Fa Fb"},
      {"... not for a root that is not there", {{"a", "b", 1, ".sss", "..^"}}, ". Fa . ."},
      {"... nor without evidence in the interval in which the root gets into trouble",
       {{"a", "b", 1, ".ooooooooo", ".^^^^^^^"}, {"b", "", 0, "........ss", ""}},
       ". Wa . . . . Fa . Fb ."},
      {"one that waits comes first though it is listed last",
       {{"b", "", 0, ".h...", ""}, {"a", "b", 1, ".O...", ".^"}},
       ". FbWa . . kbka"},
      {"... and also where it only waited lately",
       {{"b", "", 0, ".hh...", ""}, {"a", "b", 1, ".oO...", ".^"}},
       ". WbWa Fb . . kbka"},
      {"evidence that begins in an alarm",
       {{"a", "b", 1, ".hhhhoooooo", ".....^^^^^^"}, {"b", "", 0, "...........", ""}},
       ". Wa . . . Wa . . . . Fa"},
      {"a root that is well gets no alarm",
       {{"a", "b", 1, ".....oO..", ".....^^"}, {"b", "", 0, ".h.......", ""}},
       ". Wb . . kb Wa . . ."},
      {"one that waited before is the root now",
       {{"a", "b", 1, "......O", "......^"},
        {"b", "c", 2, ".h....s", ".^"},
        {"c", "", 0, ".......", ""}},
       ". Wb . . kb . FbWa"},
      {"two that wait for one are sent as without a chain",
       {{"d", "b", 1, ".h", ".^"}, {"a", "b", 1, ".O", ".^"}, {"b", "", 0, ".s", ""}},
       ". FbWaWd"},
      {"a root that is not there any more",
       {{"a", "b", 1, ".oooooo", ".^^^^^^"}},
       ". Wa . . . . Fa"},
      {"a missing one waits for nobody",
       {{"a", "b", 1, ".m", ".^"}, {"b", "", 0, ".s", ""}},
       ". FbFa"},
  };
  for (const auto &c : cases)
    assert_text(std::string(c.what) + ": " + told_in_order(c.members),
                std::string(c.what) + ": " + c.told);
}
END_TEST

int main() {
  return run_tests(
      "alarms", chains_have_one_failure, changes_only, the_alarm_that_stands,
      what_comes_again_soon_stands_for_ten_seconds, the_cause_of_a_run_that_ends_without_drops,
      the_first_interval_is_a_baseline,
      what_later_intervals_prove_is_told_though_it_began_in_the_first,
      a_restart_of_a_service_is_no_change, a_listener_that_is_gone_ends_its_alarm,
      an_expected_one_that_is_absent_keeps_its_alarm, what_could_not_be_read_stays_as_it_is,
      states_that_are_not_sent, ten_an_interval_and_a_sum_of_the_rest, ten_and_one_more,
      a_sum_ends_when_all_of_it_are_named, a_sum_is_as_bad_as_what_still_stands_of_an_earlier_one,
      new_listeners_that_are_full_do_not_hide_a_service,
      who_was_summed_up_is_named_before_new_ones_that_go_after,
      an_end_is_told_by_name_where_the_trouble_was_and_only_there,
      names_that_come_and_go_leave_nothing, a_healthy_day, a_day_with_one_overflow);
}
