#include "series_quota.h"
#include "test_program.h"

#include <algorithm>
#include <string>
#include <vector>

using namespace backlog;

namespace {

struct Contender {
  std::string name;
  bool eligible = true;
  bool requested = false;
  bool in_trouble = false;
  bool counts_drops = true;
};

/// The names that have a slot, in the order of the contenders.
std::string given(SeriesQuota &quota, const std::vector<Contender> &contenders, std::size_t slots,
                  bool complete = true) {
  std::vector<SeriesCandidate> candidates;
  candidates.reserve(contenders.size());
  for (const Contender &contender : contenders)
    candidates.push_back({&contender.name, contender.eligible, contender.requested,
                          contender.in_trouble, contender.counts_drops});
  const std::vector<bool> result =
      quota.update(candidates, slots, [complete](const std::string &) { return !complete; });
  std::string names;
  for (std::size_t i = 0; i < contenders.size(); ++i)
    if (result[i])
      names += contenders[i].name;
  return names;
}

} // namespace

START_TEST(first_by_name_then_by_appearance) {
  SeriesQuota quota;
  assert_text(given(quota, {{"d"}, {"c"}, {"b"}}, 2), "cb");
  assert_text(given(quota, {{"a"}, {"d"}, {"c"}, {"b"}}, 3), "dcb");
  assert_text(given(quota, {{"a"}, {"d"}, {"c"}, {"b"}}, 4), "adcb");
}
END_TEST

START_TEST(requested_ones_go_first) {
  SeriesQuota quota;
  assert_text(given(quota, {{"a"}, {"b"}, {"z", true, true}}, 1), "z");
}
END_TEST

START_TEST(places_are_kept_until_the_listener_is_gone) {
  SeriesQuota quota;
  assert_text(given(quota, {{"b"}, {"c"}}, 1), "b");
  assert_text(given(quota, {{"a", true, true}, {"b", false}, {"c"}}, 1), "b");
  assert_text(given(quota, {{"c"}, {"d"}}, 1), "c");
  assert_text(given(quota, {{"b"}, {"c"}, {"d"}}, 1), "c");
}
END_TEST

START_TEST(those_with_nothing_to_show_wait) {
  SeriesQuota quota;
  assert_text(given(quota, {{"a", false}, {"b"}}, 5), "b");
  ck_assert(quota.was_present("a"));
  ck_assert(!quota.was_present("c"));
  assert_text(given(quota, {{"a"}, {"b"}}, 5), "ab");
  assert_text(given(quota, {{"b"}}, 5), "b");
  ck_assert(!quota.was_present("a"));
}
END_TEST

START_TEST(who_could_not_be_read_keeps_the_place) {
  SeriesQuota quota;
  assert_text(given(quota, {{"a"}, {"b"}}, 1), "a");
  assert_text(given(quota, {{"b"}}, 1, false), "");
  assert_text(given(quota, {{"a"}, {"b"}}, 1), "a");
  assert_text(given(quota, {{"b"}}, 1, true), "b");
}
END_TEST

START_TEST(only_who_could_not_be_read_keeps_the_place) {
  SeriesQuota quota;
  const std::string tcp = "tcp";
  const std::string unix_socket = "unix";
  const auto only_unix_is_unread = [&](const std::string &name) { return name == unix_socket; };
  assert_text(given(quota, {{tcp}, {unix_socket}}, 2), tcp + unix_socket);
  std::vector<bool> result =
      quota.update({{.name = &tcp, .eligible = true}}, 2, only_unix_is_unread);
  ck_assert(quota.was_present(unix_socket));
  const std::string other = "other";
  result = quota.update({{.name = &other, .eligible = true}}, 2, only_unix_is_unread);
  ck_assert(result[0]); // that of tcp, which is gone
  ck_assert(!quota.was_present(tcp));
  assert_text(given(quota, {{tcp}, {unix_socket}, {other}}, 2), unix_socket + other);
}
END_TEST

START_TEST(one_in_trouble_has_a_place_at_once) {
  SeriesQuota quota;
  const Contender well{"z"};
  const Contender in_trouble{.name = "z", .in_trouble = true};
  assert_text(given(quota, {{"a"}, {"b"}, well}, 2), "ab");
  assert_text(given(quota, {{"a"}, {"b"}, in_trouble}, 2), "abz");
  assert_text(given(quota, {{"a"}, {"b"}, well}, 2), "abz"); // which it keeps
  // Until one of the others is free, which is its own before it is anyone else's.
  assert_text(given(quota, {{"b"}, {"c"}, well}, 2), "bz");
  assert_text(given(quota, {{"b"}, {.name = "c", .in_trouble = true}, well}, 2), "bcz");
  SeriesQuota nobody;
  assert_text(given(nobody, {in_trouble}, 0), "");
}
END_TEST

START_TEST(a_tenth_more_for_those_in_trouble) {
  struct Case {
    std::size_t slots;
    std::size_t extra;
  };
  for (const Case &c : std::vector<Case>{{0, 0}, {1, 1}, {10, 1}, {11, 2}, {200, 20}}) {
    SeriesQuota quota;
    constexpr std::size_t count = 300;
    std::vector<Contender> contenders;
    contenders.reserve(count);
    for (std::size_t i = 0; i < count; ++i)
      contenders.push_back(
          {.name = std::string(1, static_cast<char>(' ' + i % 90)) + std::to_string(i),
           .in_trouble = true});
    std::vector<SeriesCandidate> candidates;
    candidates.reserve(count);
    for (const Contender &contender : contenders)
      candidates.push_back({.name = &contender.name, .eligible = true, .in_trouble = true});
    for (int interval = 0; interval < 3; ++interval) {
      const std::vector<bool> result =
          quota.update(candidates, c.slots, [](const std::string &) { return false; });
      ck_assert_uint_eq(static_cast<std::size_t>(std::count(result.begin(), result.end(), true)),
                        c.slots + c.extra);
    }
  }
}
END_TEST

START_TEST(who_has_the_extra_places) {
  struct Case {
    const char *what;
    std::vector<Contender> before;
    std::vector<Contender> now;
    const char *given;
  };
  const Contender regular{"0"};
  const Contender holder{.name = "h", .in_trouble = true};
  for (const Case &c : std::vector<Case>{
           {"kept in trouble", {holder}, {{.name = "a", .in_trouble = true}, holder}, "0h"},
           {"kept while nobody needs it", {holder}, {{"a"}, {"h"}}, "0h"},
           {"given up by one that is well",
            {holder},
            {{.name = "a", .in_trouble = true}, {"h"}},
            "0a"},
           {"given up to one that the configuration names",
            {holder},
            {{.name = "a", .requested = true, .in_trouble = true}, holder},
            "0a"},
           {"given up to one that counts drops",
            {{.name = "h", .in_trouble = true, .counts_drops = false}},
            {{.name = "a", .in_trouble = true},
             {.name = "h", .in_trouble = true, .counts_drops = false}},
            "0a"},
           {"of new ones, the one that has been here for longer",
            {{"b"}},
            {{.name = "a", .in_trouble = true}, {.name = "b", .in_trouble = true}},
            "0b"},
       }) {
    SeriesQuota quota;
    std::vector<Contender> before = c.before;
    before.insert(before.begin(), regular);
    (void)given(quota, before, 1);
    std::vector<Contender> now = c.now;
    now.insert(now.begin(), regular);
    assert_text(std::string(c.what) + " " + given(quota, now, 1),
                std::string(c.what) + " " + c.given);
  }
}
END_TEST

START_TEST(no_places) {
  SeriesQuota quota;
  assert_text(given(quota, {{"a"}, {"b"}}, 0), "");
}
END_TEST

int main() {
  return run_tests("series_quota", first_by_name_then_by_appearance, requested_ones_go_first,
                   places_are_kept_until_the_listener_is_gone, those_with_nothing_to_show_wait,
                   who_could_not_be_read_keeps_the_place,
                   only_who_could_not_be_read_keeps_the_place, one_in_trouble_has_a_place_at_once,
                   a_tenth_more_for_those_in_trouble, who_has_the_extra_places, no_places);
}
