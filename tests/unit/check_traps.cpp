#include "table_bytes.h"
#include "test_program.h"
#include "traps.h"

#include <map>
#include <random>
#include <string>
#include <vector>

using namespace backlog;
using layout::Severity;
using layout::State;

namespace {

struct Given {
  std::string name;
  State state;
  Severity severity;
};

enum TableKind : std::uint8_t { whole, incomplete, without_unix, young };

void note(TrapQueue &traps, const std::vector<Given> &given, TableKind kind = whole) {
  TableContents contents;
  contents = make_contents({});
  if (kind == incomplete || kind == without_unix) {
    contents.header.has = 0;
    contents.namespaces[0].has |= kind == incomplete ? layout::tcp_unread : layout::unix_unread;
  }
  if (kind == young)
    contents.header.counted_since_ns =
        contents.header.taken_at_boot_ns - 3 * contents.header.interval_ns + 1;
  for (const Given &one : given) {
    layout::Listener row = make_listener(one.name);
    row.state = one.state;
    row.severity = one.severity;
    layout::set_text(row.message, one.name + " is " + std::string(name_of(one.state)));
    contents.listeners.push_back(row);
  }
  const std::string bytes = table_bytes(contents);
  const auto snapshot = Snapshot::read(reader_of(bytes, 4096, bytes.size())).first;
  ck_assert(snapshot != nullptr);
  traps.note_table(*snapshot);
}

/// All that waits, as "+name state" for traps, "-name" for clears.
std::string told(TrapQueue &traps) {
  std::string text;
  while (const auto trap = traps.next()) {
    text += text.empty() ? "" : ", ";
    if (trap->kind == Trap::Kind::stale)
      text += "stale";
    else if (trap->kind == Trap::Kind::current)
      text += "current";
    else if (trap->listener.clear)
      text += "-" + trap->listener.name;
    else
      text += "+" + trap->listener.name + " " + std::string(name_of(trap->listener.state));
  }
  return text;
}

const Given a_ok{"a", State::ok, Severity::okay};
const Given a_high{"a", State::high, Severity::warning};
const Given a_overflow{"a", State::overflow, Severity::warning};
const Given a_overflow_failure{"a", State::overflow, Severity::failure};
const Given a_recovering{"a", State::ok, Severity::warning};
const Given b_stalled{"b", State::stalled, Severity::failure};
const Given b_ok{"b", State::ok, Severity::okay};

} // namespace

START_TEST(alarms_and_clears) {
  TrapQueue traps;
  note(traps, {a_ok, b_ok});
  assert_text(told(traps), "");
  note(traps, {a_high, b_ok});
  assert_text(told(traps), "+a high");
  note(traps, {a_high, b_ok});
  assert_text(told(traps), "");
  note(traps, {a_overflow, b_stalled});
  assert_text(told(traps), "+a overflow, +b stalled");
  note(traps, {a_overflow_failure, b_stalled});
  assert_text(told(traps), "+a overflow");
  note(traps, {a_high, b_stalled});
  assert_text(told(traps), "");
  note(traps, {a_recovering, b_ok});
  assert_text(told(traps), "-b");
  note(traps, {a_ok, b_ok});
  assert_text(told(traps), "-a");
  note(traps, {a_ok, b_ok});
  assert_text(told(traps), "");
  ck_assert_uint_eq(traps.superseded(), 0);
}
END_TEST

START_TEST(the_newest_of_a_listener_waits) {
  TrapQueue traps;
  note(traps, {a_high, b_stalled});
  note(traps, {a_overflow, b_stalled});
  ck_assert_uint_eq(traps.superseded(), 1);
  assert_text(told(traps), "+a overflow, +b stalled");
  note(traps, {a_ok, b_stalled});
  note(traps, {a_overflow, b_stalled});
  ck_assert_uint_eq(traps.superseded(), 2);
  assert_text(told(traps), "");
}
END_TEST

START_TEST(what_was_never_told_is_not_cleared) {
  TrapQueue traps;
  note(traps, {a_high});
  note(traps, {a_ok});
  assert_text(told(traps), "");
  ck_assert_uint_eq(traps.superseded(), 1);
  note(traps, {a_high});
  note(traps, {});
  assert_text(told(traps), "");
}
END_TEST

START_TEST(a_listener_that_is_gone_is_cleared) {
  TrapQueue traps;
  note(traps, {a_high, b_ok});
  assert_text(told(traps), "+a high");
  note(traps, {b_ok});
  note(traps, {b_ok});
  note(traps, {a_high, b_ok});
  note(traps, {b_ok});
  note(traps, {b_ok});
  assert_text(told(traps), "");
  note(traps, {b_ok});
  const auto trap = traps.next();
  ck_assert(trap && trap->listener.clear);
  assert_text(trap->listener.message, "a: no longer listening");
  ck_assert_uint_eq(trap->listener.index, layout::name_index("a"));
  note(traps, {b_ok});
  assert_text(told(traps), "");
}
END_TEST

START_TEST(who_could_not_be_read_is_not_gone) {
  TrapQueue traps;
  note(traps, {a_high, b_stalled});
  const auto first = traps.next();
  ck_assert(first && first->listener.name == "a");
  for (int table = 0; table < 5; ++table)
    note(traps, {}, incomplete);
  assert_text(told(traps), "+b stalled");
}
END_TEST

START_TEST(who_can_be_read_ends_beside_what_cannot) {
  TrapQueue traps;
  note(traps, {a_high, {"m", State::missing, Severity::failure}});
  assert_text(told(traps), "+a high, +m missing");
  for (int table = 0; table < 5; ++table)
    note(traps, {}, without_unix);
  assert_text(told(traps), "-a"); // a missing one could be a Unix listener
  for (int table = 0; table < 3; ++table)
    note(traps, {});
  assert_text(told(traps), "-m");
}
END_TEST

START_TEST(nothing_ends_by_the_start_of_collectd) {
  TrapQueue traps;
  note(traps, {a_high, b_stalled});
  const auto first = traps.next();
  ck_assert(first && first->listener.name == "a");
  note(traps, {a_ok}, young);
  assert_text(told(traps), "+b stalled");
  note(traps, {a_overflow}, young);
  assert_text(told(traps), "+a overflow");
  note(traps, {a_ok, b_ok}, young);
  assert_text(told(traps), "");
  note(traps, {a_ok, b_ok});
  assert_text(told(traps), "-a, -b");
}
END_TEST

START_TEST(a_new_connection_is_told_what_is_not_okay) {
  TrapQueue traps;
  note(traps, {a_high, b_stalled});
  assert_text(told(traps), "+a high, +b stalled");
  note(traps, {a_ok, b_stalled});
  assert_text(told(traps), "-a");
  traps.connected(0);
  assert_text(told(traps), "+b stalled");
  traps.connected(0);
  note(traps, {a_ok, b_ok});
  assert_text(told(traps), "-b");
}
END_TEST

START_TEST(a_clear_that_was_not_answered_is_told_again) {
  TrapQueue traps;
  note(traps, {a_high});
  told(traps);
  note(traps, {a_ok});
  assert_text(told(traps), "-a");
  traps.connected(1);
  assert_text(told(traps), "-a");
  traps.connected(0);
  assert_text(told(traps), "");
}
END_TEST

START_TEST(stale_and_current) {
  TrapQueue traps;
  assert_text(told(traps), "");
  traps.note_status(true);
  assert_text(told(traps), "");
  traps.note_status(false);
  traps.note_status(false);
  assert_text(told(traps), "stale");
  traps.connected(0);
  assert_text(told(traps), "stale");
  traps.note_status(true);
  assert_text(told(traps), "current");
  traps.connected(0);
  assert_text(told(traps), "");
}
END_TEST

START_TEST(every_final_state_arrives) {
  // A receiver that is asked rarely knows in the end who is not okay, whatever happened.
  std::mt19937 random(7);
  for (int run = 0; run < 50; ++run) {
    TrapQueue traps;
    std::map<std::string, bool> known;
    std::vector<Given> rows;
    const auto receive = [&](const Trap &trap) {
      known[trap.listener.name] = !trap.listener.clear;
    };
    for (int step = 0; step < 60; ++step) {
      rows.clear();
      for (int i = 100; i < 130; ++i) {
        const auto severity = static_cast<Severity>(random() % 3);
        if (random() % 8 != 0)
          rows.push_back(
              {std::to_string(i),
               severity == Severity::okay ? State::ok : static_cast<State>(1 + random() % 4),
               severity});
      }
      note(traps, rows);
      if (random() % 10 == 0)
        traps.connected(random() % 9);
      for (std::size_t i = random() % 20; i > 0; --i)
        if (const auto trap = traps.next())
          receive(*trap);
    }
    for (int table = 0; table < 2; ++table)
      note(traps, rows);
    while (const auto trap = traps.next())
      receive(*trap);
    std::map<std::string, bool> wanted;
    for (const Given &row : rows)
      wanted[row.name] = row.severity != Severity::okay;
    for (const auto &[name, alarmed] : wanted)
      ck_assert_msg(known[name] == alarmed, "%s", name.c_str());
    for (const auto &[name, alarmed] : known)
      ck_assert(!alarmed || wanted[name]);
  }
}
END_TEST

int main() {
  return run_tests("traps", alarms_and_clears, the_newest_of_a_listener_waits,
                   what_was_never_told_is_not_cleared, a_listener_that_is_gone_is_cleared,
                   who_could_not_be_read_is_not_gone, who_can_be_read_ends_beside_what_cannot,
                   nothing_ends_by_the_start_of_collectd, a_new_connection_is_told_what_is_not_okay,
                   a_clear_that_was_not_answered_is_told_again, stale_and_current,
                   every_final_state_arrives);
}
