#include "name_filter.h"
#include "test_program.h"

using namespace backlog;

START_TEST(ignorelist_semantics) {
  struct Case {
    std::vector<std::string> entries;
    const char *name;
    bool ignore_selected, selects, names;
  };
  const Case cases[] = {
      {{}, "tcp_any_80", false, true, false},
      {{}, "tcp_any_80", true, true, false},
      {{"tcp_any_80"}, "tcp_any_80", false, true, true},
      {{"tcp_any_80"}, "tcp_any_8", false, false, false},
      {{"tcp_any_80"}, "tcp_any_800", false, false, false},
      {{"TCP_any_80"}, "tcp_any_80", false, false, false},
      {{"tcp_any_80"}, "tcp_any_80", true, false, false},
      {{"tcp_any_80"}, "tcp_any_81", true, true, false},
      {{"/any/"}, "tcp_any_80", false, true, true},
      {{"/^any/"}, "tcp_any_80", false, false, false},
      {{"/_(80|81)$/"}, "tcp_any_81", false, true, true},
      {{"/_80$/", "tcp_any_22"}, "tcp_any_22", false, true, true},
      {{"/./"}, "tcp_any_80", true, false, false},
      {{"//"}, "tcp_any_80", false, false, false},
      {{"/"}, "tcp_any_80", false, false, false},
  };
  for (const Case &c : cases) {
    NameFilter filter;
    for (const std::string &entry : c.entries)
      ck_assert(!filter.add(entry));
    filter.ignore_selected(c.ignore_selected);
    const char *entry = c.entries.empty() ? "none" : c.entries.front().c_str();
    ck_assert_msg(filter.selects(c.name) == c.selects, "%s %s", entry, c.name);
    ck_assert_msg(filter.names(c.name) == c.names, "%s %s", entry, c.name);
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

int main() { return run_tests("name_filter", ignorelist_semantics, bad_regex_is_refused); }
