#include "folder.h"
#include "hardship.h"
#include "table_bytes.h"
#include "table_file.h"
#include "test_program.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <functional>
#include <limits>
#include <string>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace backlog;
using namespace backlog::layout;

namespace {

void assert_published(TableFile file, TableContents contents) {
  const Failure failure = file.publish(contents);
  ck_assert_msg(!failure, "%s", failure ? failure->message().c_str() : "");
}

std::string published_bytes(TableContents contents) {
  const Folder folder;
  assert_published(TableFile(folder / "table"), std::move(contents));
  std::ifstream file(folder / "table", std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string refusal_of(const std::string &bytes) {
  auto [contents, refusal] = read_table(reader_of(bytes, 4096, bytes.size()));
  ck_assert(refusal.empty() == (contents != nullptr));
  return refusal;
}

template <class Record>
std::string with(std::size_t offset, const std::function<void(Record &)> &change) {
  std::string bytes = published_bytes(make_contents({"tcp_any_443", "tcp_any_80", "unix_run_x"}));
  Record record{};
  std::memcpy(&record, bytes.data() + offset, sizeof record);
  change(record);
  std::memcpy(bytes.data() + offset, &record, sizeof record);
  return bytes;
}

std::string with_header(const std::function<void(Header &)> &change) {
  return with<Header>(0, change);
}
std::string with_namespace(std::size_t i, const std::function<void(Namespace &)> &change) {
  return with<Namespace>(sizeof(Header) + i * sizeof(Namespace), change);
}
std::string with_listener(std::size_t i, const std::function<void(Listener &)> &change) {
  return with<Listener>(sizeof(Header) + 3 * sizeof(Namespace) + i * sizeof(Listener), change);
}

} // namespace

START_TEST(writes_what_is_read) {
  const Folder folder;
  const TableFile file(folder / "table");
  TableContents contents = make_contents({"unix_run_x", "tcp_any_80", "tcp_any_443"});
  std::swap(contents.namespaces[1], contents.namespaces[2]);
  contents.listeners[0].net_namespace = 1;
  contents.listeners[1].net_namespace = 2;
  assert_published(file, contents);

  const auto [read, refusal] = read_table_file(folder / "table");
  assert_text(refusal, "");
  ck_assert_uint_eq(read->namespaces.size(), 3);
  assert_text(std::string(text_of(read->namespaces[1].name)), "blue");
  ck_assert_uint_eq(read->listeners.size(), 3);
  assert_text(std::string(text_of(read->listeners[0].name)), "tcp_any_443");
  ck_assert_uint_eq(read->listeners[0].net_namespace, 0);
  assert_text(std::string(text_of(read->namespaces[read->listeners[1].net_namespace].name)),
              "blue");
  assert_text(std::string(text_of(read->namespaces[read->listeners[2].net_namespace].name)),
              "green");
  ck_assert_int_eq(read->header.taken_at_ns, contents.header.taken_at_ns);
  ck_assert_double_eq(read->listeners[1].used_percent, 12.5);
}
END_TEST

START_TEST(tables_of_many_sizes) {
  for (const std::size_t rows : {0U, 1U, 10000U}) {
    std::vector<std::string> names;
    for (std::size_t i = 0; i < rows; ++i)
      names.push_back(std::to_string(i) + std::string(i % 2 == 0 ? 95 : 0, 'x'));
    const std::string bytes = published_bytes(make_contents(names));
    for (const std::size_t piece : {std::size_t{7}, std::size_t{1} << 20U}) {
      if (rows == 10000 && piece == 7)
        continue;
      const auto [read, refusal] = read_table(reader_of(bytes, piece, bytes.size()));
      assert_text(refusal, "");
      ck_assert_uint_eq(read->listeners.size(), rows);
    }
  }
}
END_TEST

START_TEST(the_file_is_for_its_group) {
  const Folder folder;
  // Only root may give a file to a group that it is not in.
  const gid_t group = ::geteuid() == 0 ? 65534 : ::getegid();
  assert_published(TableFile(folder / "table", group), make_contents({}));
  struct stat file {};
  ck_assert_int_eq(::stat((folder / "table").c_str(), &file), 0);
  ck_assert_uint_eq(file.st_mode & 07777U, 0640);
  ck_assert_uint_eq(file.st_gid, group);
  ck_assert_int_eq(::access((folder / ".table.new").c_str(), F_OK), -1);
}
END_TEST

START_TEST(without_the_right_to_change_the_group_the_table_is_written_all_the_same) {
  const Folder folder;
  const gid_t other = ::getegid() + 1;
  TableFile file(folder / "table", other);
  TableContents contents = make_contents({});
  if (::geteuid() == 0) {
    ck_assert(!file.publish(contents));
    ck_assert(!file.group_refusal());
  }
  const WithoutCapabilities none{CAP_CHOWN};
  ck_assert(!file.publish(contents));
  ck_assert(file.group_refusal() && file.group_refusal()->code == EPERM);
  struct stat status {};
  ck_assert_int_eq(::stat((folder / "table").c_str(), &status), 0);
  ck_assert_uint_eq(status.st_mode & 07777U, 0640);
  ck_assert_uint_eq(status.st_gid, ::getegid());
}
END_TEST

START_TEST(a_left_over_or_planted_temporary_file_is_not_followed) {
  const Folder folder;
  std::ofstream(folder / "victim") << "precious";
  ck_assert_int_eq(::symlink("victim", (folder / ".table.new").c_str()), 0);
  assert_published(TableFile(folder / "table"), make_contents({}));
  std::string text;
  std::ifstream(folder / "victim") >> text;
  assert_text(text, "precious");
  assert_text(read_table_file(folder / "table").second, "");
}
END_TEST

START_TEST(another_process_that_writes_the_same_table_is_noticed) {
  const Folder folder;
  TableContents contents = make_contents({"a"});
  TableFile one(folder / "table");
  TableFile other(folder / "table");
  const auto publish = [&](TableFile &file) {
    ck_assert(!file.publish(contents));
    assert_text(read_table_file(folder / "table").second, "");
    return file.has_rival();
  };
  ck_assert(!publish(one));
  ck_assert(!publish(one));
  ck_assert(!publish(other)); // it may have come after the end of the one
  ck_assert(publish(one));
  ck_assert(publish(other));
  ck_assert(!publish(other));
  ck_assert_int_eq(::unlink((folder / "table").c_str()), 0);
  ck_assert(!publish(other));
}
END_TEST

START_TEST(an_unfinished_table_of_another_process_is_left_to_it) {
  const Folder folder;
  const std::string temporary = folder / ".table.new";
  std::atomic<bool> has_ended{false};
  std::thread rival([&] {
    while (!has_ended) {
      ::unlink(temporary.c_str());
      std::ofstream(temporary) << "unfinished";
    }
  });
  TableFile file(folder / "table");
  bool is_noticed = false;
  for (int i = 0; i < 100000 && !is_noticed; ++i) {
    TableContents contents = make_contents({"a"});
    const Failure failure = file.publish(contents);
    is_noticed = failure && failure->code == EBUSY && file.has_rival();
  }
  has_ended = true;
  rival.join();
  ck_assert(is_noticed);
  assert_published(file, make_contents({"a"}));
  assert_text(read_table_file(folder / "table").second, "");
}
END_TEST

START_TEST(a_link_in_the_place_of_the_table_is_replaced) {
  const Folder folder;
  std::ofstream(folder / "victim") << "precious";
  ck_assert_int_eq(::symlink("victim", (folder / "table").c_str()), 0);
  assert_published(TableFile(folder / "table"), make_contents({}));
  assert_text(read_table_file(folder / "table").second, "");
  std::string text;
  std::ifstream(folder / "victim") >> text;
  assert_text(text, "precious");
}
END_TEST

START_TEST(a_folder_that_others_can_write_to_is_refused) {
  const Folder folder;
  for (const mode_t mode : {0770U, 0777U, 01777U}) {
    ck_assert_int_eq(::chmod(folder.path().c_str(), mode), 0);
    TableContents contents = make_contents({});
    const Failure failure = TableFile(folder / "table").publish(contents);
    ck_assert(failure.has_value());
    ck_assert_ptr_nonnull(std::strstr(failure->message().c_str(), "writable by others"));
    ck_assert_int_eq(::access((folder / "table").c_str(), F_OK), -1);
  }
}
END_TEST

START_TEST(a_link_in_the_place_of_the_folder_is_refused) {
  const Folder folder;
  ck_assert_int_eq(::mkdir((folder / "elsewhere").c_str(), 0755), 0);
  ck_assert_int_eq(::symlink("elsewhere", (folder / "run").c_str()), 0);
  TableContents contents = make_contents({});
  ck_assert(TableFile(folder / "run/table").publish(contents).has_value());
  ck_assert_int_eq(::access((folder / "elsewhere/table").c_str(), F_OK), -1);
  ck_assert(!TableFile(folder / "elsewhere/table").publish(contents).has_value());
}
END_TEST

START_TEST(a_folder_of_another_user_is_refused) {
  if (::geteuid() != 0)
    return;
  const Folder folder;
  ck_assert_int_eq(::chown(folder.path().c_str(), 65534, 65534), 0);
  TableContents contents = make_contents({});
  const Failure failure = TableFile(folder / "table").publish(contents);
  ck_assert(failure.has_value());
  ck_assert_ptr_nonnull(std::strstr(failure->message().c_str(), "another user"));
}
END_TEST

START_TEST(failures_leave_the_old_table_and_nothing_else) {
  const Folder folder;
  TableContents contents = make_contents({});
  ck_assert(TableFile(folder / "none/table").publish(contents).has_value());
  ck_assert_int_eq(::mkdir((folder / "table").c_str(), 0700), 0);
  ck_assert(TableFile(folder / "table").publish(contents).has_value());
  ck_assert_int_eq(::access((folder / ".table.new").c_str(), F_OK), -1);
  contents.namespaces.clear();
  ck_assert(TableFile(folder / "other").publish(contents).has_value());
  ck_assert_int_eq(::access((folder / "other").c_str(), F_OK), -1);
}
END_TEST

START_TEST(two_listeners_of_one_name_are_refused_by_the_reader) {
  const std::string refusal = refusal_of(table_bytes(make_contents({"a", "a"})));
  assert_text(refusal, "listener 1 is out of order");
}
END_TEST

START_TEST(who_waits_for_whom_is_kept_when_they_are_sorted) {
  TableContents contents = make_contents({"c", "a", "b", "d"});
  contents.listeners[0].waits_for = 2; // c for a
  contents.listeners[1].waits_for = 3; // a for b, which is left out
  contents.listeners[3].waits_for = 1; // d for c
  contents.listeners[2].mean = -1;
  const std::string bytes = published_bytes(contents);
  auto [read, refusal] = read_table(reader_of(bytes, 4096, bytes.size()));
  assert_text(refusal, "");
  ck_assert_uint_eq(read->listeners.size(), 3); // a, c, d
  ck_assert_uint_eq(read->listeners[0].waits_for, 0);
  ck_assert_uint_eq(read->listeners[1].waits_for, 1);
  ck_assert_uint_eq(read->listeners[2].waits_for, 2);
}
END_TEST

// For each a reader refuses the whole table when it is written all the same.
START_TEST(a_record_that_a_reader_refuses_is_left_out) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  struct Case {
    void (*spoil)(TableContents &) = nullptr;
    const char *left_out = nullptr;
    std::size_t listeners = 2;
    std::size_t namespaces = 3;
  };
  static double not_a_number = nan;
  const Case cases[] = {
      {[](TableContents &c) { set_text(c.listeners[1].name, "tcp any_80"); },
       "listener tcp any_80 has no name"},
      {[](TableContents &c) { set_text(c.listeners[1].name, ""); }, "listener  has no name"},
      {[](TableContents &c) { c.listeners[1].name = c.listeners[0].name; },
       "listener a occurs twice"},
      {[](TableContents &c) { c.listeners[1].mean = not_a_number; },
       "listener b has impossible figures"},
      {[](TableContents &c) { c.listeners[1].used_percent = 101; },
       "listener b has impossible figures"},
      {[](TableContents &c) { c.listeners[1].net_namespace = 3; },
       "listener b has impossible figures"},
      {[](TableContents &c) { c.listeners[1].owner[0] = '\n'; },
       "listener b has text that does not end or is not ASCII"},
      {[](TableContents &c) { c.listeners[1].counted_since_ns = -1; },
       "listener b has impossible figures"},
      {[](TableContents &c) { set_text(c.namespaces[1].name, "b lue"); },
       "net namespace b lue has no name", 3, 2},
      {[](TableContents &c) { c.namespaces[2].name = c.namespaces[1].name; },
       "net namespace blue occurs twice", 3, 2},
      {[](TableContents &c) { c.namespaces[2].name = c.namespaces[0].name; },
       "net namespace self is not self", 3, 2},
      {[](TableContents &c) { c.namespaces[2].counted_since_ns = -1; },
       "net namespace green has impossible figures", 3, 2},
  };
  for (const Case &c : cases) {
    TableContents contents = make_contents({"a", "b", "c"});
    c.spoil(contents);
    ck_assert_msg(!refusal_of(table_bytes(contents)).empty() || contents.namespaces.size() < 3,
                  "%s", c.left_out);
    const Folder folder;
    std::vector<std::string> left_out;
    ck_assert(!TableFile(folder / "table").publish(contents, &left_out));
    ck_assert_uint_eq(left_out.size(), 1);
    assert_text(left_out.front(), c.left_out);
    const auto [read, refusal] = read_table_file(folder / "table");
    assert_text(refusal, "");
    ck_assert_uint_eq(read->listeners.size(), c.listeners);
    ck_assert_uint_eq(read->namespaces.size(), c.namespaces);
  }
}
END_TEST

START_TEST(the_listeners_of_a_namespace_that_is_left_out_are_left_out) {
  TableContents contents = make_contents({"a", "b"});
  contents.listeners[0].net_namespace = 1;
  contents.listeners[1].net_namespace = 2;
  set_text(contents.namespaces[1].name, " ");
  const Folder folder;
  std::vector<std::string> left_out;
  ck_assert(!TableFile(folder / "table").publish(contents, &left_out));
  ck_assert_uint_eq(left_out.size(), 2);
  const auto [read, refusal] = read_table_file(folder / "table");
  assert_text(refusal, "");
  ck_assert_uint_eq(read->listeners.size(), 1);
  assert_text(std::string(text_of(read->namespaces[read->listeners[0].net_namespace].name)),
              "green");
}
END_TEST

START_TEST(what_can_be_no_table_leaves_the_old_one) {
  for (const auto spoil : {+[](TableContents &c) { c.header.interval_ns = 0; },
                           +[](TableContents &c) { c.header.taken_at_boot_ns = -1; },
                           +[](TableContents &c) { set_text(c.namespaces[0].name, "blue"); }}) {
    const Folder folder;
    assert_published(TableFile(folder / "table"), make_contents({"old"}));
    TableContents contents = make_contents({"new"});
    contents.namespaces.resize(1);
    spoil(contents);
    ck_assert(TableFile(folder / "table").publish(contents).has_value());
    const auto [read, refusal] = read_table_file(folder / "table");
    assert_text(refusal, "");
    assert_text(std::string(text_of(read->listeners[0].name)), "old");
  }
}
END_TEST

START_TEST(damaged_tables_are_refused) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  assert_text(refusal_of(with_header([](Header &) {})), "");
  for (const std::string &bytes : {
           std::string(),
           std::string("BACKLOG\n"),
           std::string(5000, '\0'),
           with_header([](Header &header) { header.magic[0] = 'b'; }),
           with_header([](Header &header) { header.version = layout::version + 1; }),
           with_header([](Header &header) { header.version = 0x01000000; }),
           with_header([](Header &header) { header.header_bytes += 8; }),
           with_header([](Header &header) { header.namespace_bytes = 0; }),
           with_header([](Header &header) { header.listener_bytes -= 1; }),
           with_header([](Header &header) { header.namespaces = 0; }),
           with_header([](Header &header) { header.namespaces = 0xffffffff; }),
           with_header([](Header &header) { header.namespaces = 2; }),
           with_header([](Header &header) { header.listeners += 1; }),
           with_header([](Header &header) { header.listeners = 0; }),
           with_header([](Header &header) { header.listeners = 0xffffffff; }),
           with_header([](Header &header) { header.interval_ns = 0; }),
           with_header([](Header &header) { header.interval_ns = -1; }),
           with_header([](Header &header) { header.interval_ns = INT64_MAX; }),
           with_header([](Header &header) { header.taken_at_boot_ns = -1; }),
           with_header([](Header &header) { header.taken_at_ns = INT64_MIN; }),
           with_header([&](Header &header) { header.period_seconds = nan; }),
           with_header([&](Header &header) { header.cpu_percent = infinity; }),
           with_header([](Header &header) { header.has = 0x80; }),
           with_namespace(0, [](Namespace &record) { set_text(record.name, "selv"); }),
           with_namespace(1, [](Namespace &record) { set_text(record.name, "self"); }),
           with_namespace(1, [](Namespace &record) { set_text(record.name, "zebra"); }),
           with_namespace(2, [](Namespace &record) { record.name.fill('x'); }),
           with_namespace(2, [](Namespace &record) { record.has = 1U << 31U; }),
           with_namespace(2, [](Namespace &record) { record.has_counter = 1U << 15U; }),
           with_namespace(2, [](Namespace &record) { record.counted_since_ns = -1; }),
           with_listener(1, [](Listener &listener) { listener.waits_for = 4; }),
           with_listener(1, [](Listener &listener) { listener.wait_counts[3] = 1; }),
           with_listener(1, [&](Listener &listener) { listener.wait_seconds = nan; }),
           with_listener(0, [](Listener &record) { record.name = {}; }),
           with_listener(0, [](Listener &record) { record.name.fill('x'); }),
           with_listener(0, [](Listener &record) { record.name[1] = '\n'; }),
           with_listener(0, [](Listener &record) { record.name[1] = ' '; }),
           with_listener(1, [](Listener &record) { set_text(record.name, "tcp_any_443"); }),
           with_listener(1, [](Listener &record) { record.owner.fill('x'); }),
           with_listener(1, [](Listener &record) { record.path.fill('x'); }),
           with_listener(1, [](Listener &record) { record.message.fill('x'); }),
           with_listener(1, [](Listener &record) { record.message[2] = '\x1b'; }),
           with_listener(1, [](Listener &record) { record.message[2] = '\xff'; }),
           with_listener(2, [](Listener &record) { record.net_namespace = 3; }),
           with_listener(2, [](Listener &record) { record.has = listener_values + 1; }),
           with_listener(
               2, [](Listener &record) { record.state = State{layout::state_names.size()}; }),
           with_listener(
               2, [](Listener &record) { record.cause = Cause{layout::cause_names.size()}; }),
           with_listener(2,
                         [](Listener &record) {
                           record.limit_source = LimitSource{layout::limit_source_names.size()};
                         }),
           with_listener(
               2,
               [](Listener &record) { record.severity = Severity{layout::severity_names.size()}; }),
           with_listener(2, [](Listener &record) { record.address_type = AddressType{3}; }),
           with_listener(
               2, [](Listener &record) { record.alarm_state = State{layout::state_names.size()}; }),
           with_listener(
               2, [](Listener &record) { record.alarm_cause = Cause{layout::cause_names.size()}; }),
           with_listener(
               2,
               [](Listener &record) { record.recent_state = State{layout::state_names.size()}; }),
           with_listener(2,
                         [](Listener &record) {
                           record.recent_severity = Severity{layout::severity_names.size()};
                         }),
           with_listener(2, [](Listener &record) { record.recent_used_percent = 101; }),
           with_listener(2, [&](Listener &record) { record.wait_mean_seconds = nan; }),
           with_listener(2, [](Listener &record) { record.wait_p50_seconds = -1; }),
           with_listener(2, [&](Listener &record) { record.wait_p99_seconds = infinity; }),
           with_listener(2, [](Listener &record) { record.clients.fill('x'); }),
           with_header([](Header &header) { header.events = Events{4}; }),
           with_listener(2, [](Listener &record) { record.used_percent = 100.001; }),
           with_listener(2, [](Listener &record) { record.used_percent = -1; }),
           with_listener(2, [&](Listener &record) { record.full_percent = nan; }),
           with_listener(2, [&](Listener &record) { record.mean = infinity; }),
           with_listener(2, [&](Listener &record) { record.oldest_wait_seconds = -infinity; }),
           with_listener(2, [](Listener &record) { record.counted_since_ns = -1; }),
       })
    ck_assert(!refusal_of(bytes).empty());
}
END_TEST

// With records of an earlier layout a fuzzer would see how they are refused, and nothing else.
START_TEST(the_fuzzers_seeds_are_of_this_layout) {
  const std::array<std::pair<const char *, const char *>, 8> seeds{
      {{"each_state", ""},
       {"empty_table", ""},
       {"meeting_indexes", ""},
       {"two_listeners", ""},
       {"two_namespaces", ""},
       {"other_version", "has layout version"},
       {"out_of_order", "is out of order"},
       {"truncated", "bytes, but its header says"}}};
  for (const auto &[name, refusal] : seeds) {
    std::ifstream file(std::string(FIXTURES_DIR "/../fuzz/corpus/table/") + name, std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(file), {}};
    const std::string refused = refusal_of(bytes);
    ck_assert_msg(refused.empty() == std::string(refusal).empty() &&
                      refused.find(refusal) != std::string::npos,
                  "%s: %s", name, refused.c_str());
  }
}
END_TEST

START_TEST(a_table_of_another_length_is_refused) {
  const std::string whole = published_bytes(make_contents({"a", "b"}));
  for (std::size_t length = 0; length < whole.size(); length += 13)
    ck_assert(!refusal_of(whole.substr(0, length)).empty());
  ck_assert(!refusal_of(whole + '\0').empty());
}
END_TEST

START_TEST(a_table_that_changes_its_length_while_it_is_read_is_refused) {
  const std::string whole = published_bytes(make_contents({"a", "b"}));
  const std::string longer = whole + '\0';
  const std::string shorter = whole.substr(0, whole.size() - 1);
  assert_text(read_table(reader_of(longer, 1, whole.size())).second,
              "continues after its last listener");
  assert_text(read_table(reader_of(longer, 1 << 20U, whole.size())).second,
              "continues after its last listener");
  assert_text(read_table(reader_of(shorter, 512, whole.size())).second, "ends within a listener");
}
END_TEST

START_TEST(what_is_no_regular_file_is_refused) {
  const Folder folder;
  assert_text(read_table_file(folder / "table").second, "No such file or directory");
  assert_text(read_table_file(folder.path()).second, "is not a regular file");
  ck_assert_int_eq(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  assert_text(read_table_file(folder / "pipe").second, "is not a regular file");
  assert_published(TableFile(folder / "table"), make_contents({}));
  ck_assert_int_eq(::symlink("table", (folder / "link").c_str()), 0);
  assert_text(read_table_file(folder / "link").second, "is a symbolic link");
  assert_text(read_table_file("/dev/zero").second, "is not a regular file");
}
END_TEST

START_TEST(text_is_printable_and_ended) {
  Text<12> field{};
  set_text(field, "plain");
  assert_text(std::string(text_of(field)), "plain");
  set_text(field, "12345678901");
  assert_text(std::string(text_of(field)), "12345678901");
  set_text(field, "123456789012");
  assert_text(std::string(text_of(field)), "12345678901");
  set_text(field, std::string_view("a\0\n\\", 4));
  assert_text(std::string(text_of(field)), "a\\x00\\x0a\\\\");
  set_text(field, "a\\x0a\xc3", TextForm::printable);
  assert_text(std::string(text_of(field)), "a\\x0a\\xc3");
  set_text(field, "1234567\xc3\xa4");
  assert_text(std::string(text_of(field)), "1234567\\xc3");
  set_text(field, "12345678\xc3");
  assert_text(std::string(text_of(field)), "12345678");
}
END_TEST

START_TEST(age) {
  Header header{};
  header.taken_at_boot_ns = 100;
  header.interval_ns = 10;
  ck_assert(!is_stale(header, 100));
  ck_assert(!is_stale(header, 129));
  ck_assert(is_stale(header, 130));
  ck_assert(is_stale(header, 99));
}
END_TEST

START_TEST(indexes_of_names_that_meet) {
  // CRC-32s that differ in the top bit at most; by python3's zlib.
  ck_assert_uint_eq(name_index("unix_run_7kv-jj"), 108337934);
  ck_assert_uint_eq(name_index("unix_run_y-l35jrjf1"), 108337934);
  ck_assert(name_indexes({"unix_run_7kv-jj", "unix_run_a", "unix_run_y-l35jrjf1"}) ==
            (std::vector<std::uint32_t>{108337934, name_index("unix_run_a"), 108337935}));
  ck_assert(
      name_indexes({"x", "x", "x"}) ==
      (std::vector<std::uint32_t>{name_index("x"), name_index("x") + 1, name_index("x") + 2}));
}
END_TEST

/// Names of one CRC-32, in ascending order. To exchange a character for one whose code differs in
/// one bit changes the CRC by what depends on the place alone: the changes that together change
/// nothing are found by elimination.
std::vector<std::string> names_of_one_crc(std::size_t count) {
  const std::string plain(46, 'a');
  std::vector<std::pair<std::uint32_t, std::uint64_t>> rows; ///< change of the CRC, places
  std::vector<std::uint64_t> without_change;
  for (std::size_t place = 0; place < plain.size(); ++place) {
    std::string changed = plain;
    changed[place] = 'c';
    std::pair<std::uint32_t, std::uint64_t> row{name_index(plain) ^ name_index(changed),
                                                std::uint64_t{1} << place};
    for (const auto &[change, places] : rows)
      if ((row.first ^ change) < row.first)
        row = {row.first ^ change, row.second ^ places};
    if (row.first == 0)
      without_change.push_back(row.second);
    else
      rows.push_back(row);
  }
  std::vector<std::string> names;
  for (std::size_t choice = 0; choice < count; ++choice) {
    std::uint64_t places = 0;
    for (std::size_t i = 0; i < without_change.size(); ++i)
      if ((choice >> i & 1U) != 0)
        places ^= without_change[i];
    std::string name = plain;
    for (std::size_t place = 0; place < name.size(); ++place)
      if ((places >> place & 1U) != 0)
        name[place] = 'c';
    names.push_back(std::move(name));
  }
  std::sort(names.begin(), names.end());
  return names;
}

START_TEST(many_names_that_meet_cost_no_more) {
  constexpr std::size_t count = 10000;
  const std::vector<std::string> names = names_of_one_crc(count);
  const std::uint32_t index = name_index(names[0]);
  for (std::size_t i = 0; i < count; ++i) {
    ck_assert_uint_eq(name_index(names[i]), index);
    ck_assert(i == 0 || names[i - 1] < names[i]);
  }
  std::size_t steps = 0;
  const auto indexes = name_indexes({names.begin(), names.end()}, &steps);
  for (std::size_t i = 0; i < count; ++i)
    ck_assert_uint_eq(indexes[i], index + i);
  ck_assert_uint_gt(steps, count);
  ck_assert_uint_lt(steps, 10 * count);
}
END_TEST

START_TEST(many_places_to_begin_from_cost_no_more) {
  constexpr std::uint32_t count = 10000;
  TakenIndexes taken(std::size_t{2} * count);
  for (std::uint32_t i = 1; i <= count; ++i)
    ck_assert(taken.take(i));
  for (std::uint32_t i = 1; i <= count; ++i)
    ck_assert_uint_eq(taken.take_behind(i), count + i);
  ck_assert(!taken.take(1) && !taken.take(2 * count) && taken.take(2 * count + 1));
  ck_assert_uint_lt(taken.steps(), std::size_t{100} * count);
}
END_TEST

int main() {
  return run_tests(
      "table_file", the_fuzzers_seeds_are_of_this_layout, writes_what_is_read, tables_of_many_sizes,
      the_file_is_for_its_group,
      without_the_right_to_change_the_group_the_table_is_written_all_the_same,
      a_left_over_or_planted_temporary_file_is_not_followed,
      another_process_that_writes_the_same_table_is_noticed,
      an_unfinished_table_of_another_process_is_left_to_it,
      a_link_in_the_place_of_the_table_is_replaced, a_folder_that_others_can_write_to_is_refused,
      a_link_in_the_place_of_the_folder_is_refused, a_folder_of_another_user_is_refused,
      failures_leave_the_old_table_and_nothing_else,
      two_listeners_of_one_name_are_refused_by_the_reader,
      a_record_that_a_reader_refuses_is_left_out, who_waits_for_whom_is_kept_when_they_are_sorted,
      the_listeners_of_a_namespace_that_is_left_out_are_left_out,
      what_can_be_no_table_leaves_the_old_one, damaged_tables_are_refused,
      a_table_of_another_length_is_refused,
      a_table_that_changes_its_length_while_it_is_read_is_refused,
      what_is_no_regular_file_is_refused, text_is_printable_and_ended, age,
      indexes_of_names_that_meet, many_names_that_meet_cost_no_more,
      many_places_to_begin_from_cost_no_more);
}
