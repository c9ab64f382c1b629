#include "name_filter.h"
#include "test_program.h"

using namespace backlog;

START_TEST(ignorelist_entries) {
  struct Case {
    std::vector<std::string> entries;
    const char *name;
    bool selects;
  };
  const Case cases[] = {
      {{}, "blue", true},
      {{"blue"}, "blue", true},
      {{"blue"}, "blu", false},
      {{"blue"}, "blue2", false},
      {{"Blue"}, "blue", false},
      {{"/lu/"}, "blue", true},
      {{"/^lu/"}, "blue", false},
      {{"/_(80|81)$/"}, "a_81", true},
      {{"/_80$/", "green"}, "green", true},
      {{"/./"}, "blue", true},
      {{"//"}, "blue", false},
      {{"/"}, "blue", false},
  };
  for (const Case &c : cases) {
    NameFilter filter;
    for (const std::string &entry : c.entries)
      ck_assert(!filter.add(entry));
    const char *entry = c.entries.empty() ? "none" : c.entries.front().c_str();
    ck_assert_msg(filter.selects(c.name) == c.selects, "%s %s", entry, c.name);
  }
}
END_TEST

START_TEST(bad_regex_is_refused) {
  NameFilter filter;
  ck_assert(filter.add("/(/").has_value());
  ck_assert(filter.add("/[/").has_value());
  ck_assert(filter.selects("anything"));
}
END_TEST

int main() { return run_tests("name_filter", ignorelist_entries, bad_regex_is_refused); }
