#include "monitor.h"

#include "folder.h"
#include "table_bytes.h"
#include "test_program.h"

#include <cstdio>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

using namespace backlog;

namespace {

constexpr std::int64_t second = 1'000'000'000;

/// A monitor of a file that the test puts in place.
struct Followed {
  Folder folder;
  std::vector<std::string> lines;
  Monitor monitor;

  explicit Followed(std::int64_t running_for_ns = 0)
      : monitor(
            folder / "table", [this](const std::string &line) { lines.push_back(line); },
            clock_ns() - running_for_ns) {}

  void put(const std::string &bytes) const {
    std::ofstream(folder / "new", std::ios::binary) << bytes;
    ck_assert_int_eq(std::rename((folder / "new").c_str(), (folder / "table").c_str()), 0);
  }
  void publish(const std::vector<std::string> &names,
               layout::Severity severity = layout::Severity::okay) const {
    put_with(make_contents(names), severity);
  }
  /// One that is stale, and yet no older than a system that has just started.
  void publish_stale(layout::Severity severity = layout::Severity::okay) const {
    TableContents contents = make_contents({"a"});
    contents.header.interval_ns = second / 1000;
    contents.header.taken_at_boot_ns -= layout::stale_intervals * contents.header.interval_ns;
    put_with(std::move(contents), severity);
  }
  void put_with(TableContents contents, layout::Severity severity) const {
    for (layout::Listener &row : contents.listeners) {
      row.severity = severity;
      row.state = severity == layout::Severity::okay ? layout::State::ok : layout::State::high;
    }
    put(table_bytes(contents));
  }
  std::uint64_t scalar(std::uint32_t number) const {
    return monitor.view(0).get(Oid{1, 1, number, 0}).value_or(MibValue{}).number;
  }
  std::uint64_t status() const { return scalar(mib::table_status); }
};

} // namespace

START_TEST(a_table_that_comes_late_after_a_start_is_no_fault) {
  Followed young;
  ck_assert(!young.monitor.look());
  ck_assert(!young.monitor.next_trap().has_value());
  ck_assert_uint_eq(young.status(), static_cast<std::uint64_t>(TableStatus::absent));

  Followed old(31 * second);
  ck_assert(old.monitor.look());
  const auto stale = old.monitor.next_trap();
  ck_assert(stale && stale->kind == Trap::Kind::stale);
  old.publish({"a"});
  ck_assert(old.monitor.look());
  const auto current = old.monitor.next_trap();
  ck_assert(current && current->kind == Trap::Kind::current);
}
END_TEST

START_TEST(an_old_table_is_a_fault_at_once) {
  Followed followed;
  followed.publish_stale();
  ck_assert(followed.monitor.look());
  ck_assert_uint_eq(followed.status(), static_cast<std::uint64_t>(TableStatus::stale));
  const auto stale = followed.monitor.next_trap();
  ck_assert(stale && stale->kind == Trap::Kind::stale);
  ck_assert(!followed.monitor.look());
}
END_TEST

START_TEST(a_table_is_read_once) {
  Followed followed;
  followed.publish({"a"});
  ck_assert(followed.monitor.look());
  ck_assert(!followed.monitor.look());
  followed.publish({"a"});
  ck_assert(followed.monitor.look());
  ck_assert(followed.lines.empty());
}
END_TEST

START_TEST(the_last_change_is_one_of_listeners_or_states) {
  Followed followed;
  followed.publish({"a", "b"});
  (void)followed.monitor.look();
  const auto ticks = [&] { return followed.scalar(mib::table_last_change); };
  const auto later = [] { // by more than a tick
    for (const std::int64_t begin = clock_ns(); clock_ns() < begin + second / 50;)
      ;
  };
  std::uint64_t last = ticks();
  const auto changes = [&](const std::vector<std::string> &names, layout::Severity severity) {
    later();
    followed.publish(names, severity);
    ck_assert(followed.monitor.look());
    const bool changed = ticks() > last;
    last = ticks();
    return changed;
  };
  ck_assert(!changes({"a", "b"}, layout::Severity::okay));
  ck_assert(changes({"a", "c"}, layout::Severity::okay));
  ck_assert(changes({"a"}, layout::Severity::okay));
  ck_assert(changes({"a"}, layout::Severity::warning));
  ck_assert(!changes({"a"}, layout::Severity::failure));
}
END_TEST

START_TEST(a_good_table_whose_place_a_bad_one_takes_is_shown_until_it_is_old) {
  Followed followed;
  followed.publish({"a"}, layout::Severity::warning);
  (void)followed.monitor.look();
  ck_assert(followed.monitor.next_trap().has_value());
  followed.put("no table");
  (void)followed.monitor.look();
  (void)followed.monitor.look();
  ck_assert_uint_eq(followed.status(), static_cast<std::uint64_t>(TableStatus::current));
  ck_assert_uint_eq(followed.scalar(mib::listeners), 1);
  ck_assert_uint_eq(followed.lines.size(), 1);
  ck_assert(followed.lines[0].ends_with("table: is shorter than a header"));

  followed.publish_stale(layout::Severity::warning);
  (void)followed.monitor.look();
  ck_assert_uint_eq(followed.status(), static_cast<std::uint64_t>(TableStatus::stale));
  followed.put("none either");
  (void)followed.monitor.look();
  ck_assert_uint_eq(followed.status(), static_cast<std::uint64_t>(TableStatus::refused));
  ck_assert_uint_eq(followed.scalar(mib::listeners), 0);
  ck_assert_uint_eq(followed.lines.size(), 3);
  ck_assert(followed.lines[1].ends_with("can be read again"));
}
END_TEST

START_TEST(what_is_sent_is_counted) {
  Followed followed;
  followed.publish({"a"}, layout::Severity::warning);
  (void)followed.monitor.look();
  const auto first = followed.monitor.next_trap();
  ck_assert(first.has_value());
  followed.monitor.failed(first->number);
  ck_assert_uint_eq(followed.scalar(mib::notifications_sent), 0);
  const auto again = followed.monitor.next_trap();
  ck_assert(again.has_value());
  followed.monitor.sent();
  followed.monitor.answered(again->number);
  ck_assert_uint_eq(followed.scalar(mib::notifications_sent), 1);
  ck_assert(!followed.monitor.notifications_wait());
  followed.monitor.connected();
  ck_assert(followed.monitor.notifications_wait());
}
END_TEST

int main() {
  return run_tests(
      "monitor", a_table_that_comes_late_after_a_start_is_no_fault, an_old_table_is_a_fault_at_once,
      a_table_is_read_once, the_last_change_is_one_of_listeners_or_states,
      a_good_table_whose_place_a_bad_one_takes_is_shown_until_it_is_old, what_is_sent_is_counted);
}
