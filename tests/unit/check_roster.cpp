#include "roster.h"
#include "test_program.h"

#include <string>
#include <vector>

using namespace backlog;

namespace {

struct Wish {
  std::string name;
  bool eligible = true;
  bool urgent = false;
};

/// The names that have a place, in the order of the wishes.
std::string placed(Roster &roster, const std::vector<Wish> &wishes, std::size_t places,
                   bool complete = true) {
  std::vector<RosterCandidate> candidates;
  candidates.reserve(wishes.size());
  for (const Wish &wish : wishes)
    candidates.push_back({&wish.name, wish.eligible, wish.urgent});
  const std::vector<bool> result =
      roster.update(candidates, places, [complete](const std::string &) { return !complete; });
  std::string names;
  for (std::size_t i = 0; i < wishes.size(); ++i)
    if (result[i])
      names += wishes[i].name;
  return names;
}

} // namespace

START_TEST(first_by_name_then_by_appearance) {
  Roster roster;
  assert_text(placed(roster, {{"d"}, {"c"}, {"b"}}, 2), "cb");
  assert_text(placed(roster, {{"a"}, {"d"}, {"c"}, {"b"}}, 3), "dcb");
  assert_text(placed(roster, {{"a"}, {"d"}, {"c"}, {"b"}}, 4), "adcb");
}
END_TEST

START_TEST(urgent_ones_go_first) {
  Roster roster;
  assert_text(placed(roster, {{"a"}, {"b"}, {"z", true, true}}, 1), "z");
}
END_TEST

START_TEST(places_are_kept_until_the_listener_is_gone) {
  Roster roster;
  assert_text(placed(roster, {{"b"}, {"c"}}, 1), "b");
  assert_text(placed(roster, {{"a", true, true}, {"b", false}, {"c"}}, 1), "b");
  assert_text(placed(roster, {{"c"}, {"d"}}, 1), "c");
  assert_text(placed(roster, {{"b"}, {"c"}, {"d"}}, 1), "c");
}
END_TEST

START_TEST(those_with_nothing_to_show_wait) {
  Roster roster;
  assert_text(placed(roster, {{"a", false}, {"b"}}, 5), "b");
  ck_assert(roster.was_present("a"));
  ck_assert(!roster.was_present("c"));
  assert_text(placed(roster, {{"a"}, {"b"}}, 5), "ab");
  assert_text(placed(roster, {{"b"}}, 5), "b");
  ck_assert(!roster.was_present("a"));
}
END_TEST

START_TEST(who_could_not_be_read_keeps_the_place) {
  Roster roster;
  assert_text(placed(roster, {{"a"}, {"b"}}, 1), "a");
  assert_text(placed(roster, {{"b"}}, 1, false), "");
  assert_text(placed(roster, {{"a"}, {"b"}}, 1), "a");
  assert_text(placed(roster, {{"b"}}, 1, true), "b");
}
END_TEST

START_TEST(only_who_could_not_be_read_keeps_the_place) {
  Roster roster;
  const std::string tcp = "tcp";
  const std::string unix_socket = "unix";
  const auto only_unix_is_unread = [&](const std::string &name) { return name == unix_socket; };
  assert_text(placed(roster, {{tcp}, {unix_socket}}, 2), tcp + unix_socket);
  std::vector<bool> result =
      roster.update({{.name = &tcp, .eligible = true, .urgent = false}}, 2, only_unix_is_unread);
  ck_assert(roster.was_present(unix_socket));
  const std::string other = "other";
  result =
      roster.update({{.name = &other, .eligible = true, .urgent = false}}, 2, only_unix_is_unread);
  ck_assert(result[0]); // that of tcp, which is gone
  ck_assert(!roster.was_present(tcp));
  assert_text(placed(roster, {{tcp}, {unix_socket}, {other}}, 2), unix_socket + other);
}
END_TEST

START_TEST(no_places) {
  Roster roster;
  assert_text(placed(roster, {{"a"}, {"b"}}, 0), "");
}
END_TEST

int main() {
  return run_tests("roster", first_by_name_then_by_appearance, urgent_ones_go_first,
                   places_are_kept_until_the_listener_is_gone, those_with_nothing_to_show_wait,
                   who_could_not_be_read_keeps_the_place,
                   only_who_could_not_be_read_keeps_the_place, no_places);
}
