#include "utf8.h"

#include "test_program.h"

#include <string>
#include <vector>

using namespace backlog;

START_TEST(what_can_be_shown) {
  struct Case {
    std::string raw;
    const char *expected;
  };
  const std::vector<Case> cases = {
      {"nginx.service", "nginx.service"},
      {"back\\slash", "back\\\\slash"},
      {"a\nb\x7f\x1b[31m", "a\\x0ab\\x7f\\x1b[31m"},
      {std::string("a\0b", 3), "a\\x00b"},
      {"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"},
      {"cut \xc3", "cut \\xc3"},
      {"cut \xe2\x82", "cut \\xe2\\x82"},
      {"no lead \xa9", "no lead \\xa9"},
      {"too long \xc0\xaf \xe0\x80\xaf", "too long \\xc0\\xaf \\xe0\\x80\\xaf"},
      {"surrogate \xed\xa0\x80", "surrogate \\xed\\xa0\\x80"},
      {"beyond \xf4\x90\x80\x80 \xff", "beyond \\xf4\\x90\\x80\\x80 \\xff"},
      {"C1 \xc2\x9b", "C1 \\xc2\\x9b"},
      {"right to left \xe2\x80\xae", "right to left \\xe2\\x80\\xae"},
  };
  for (const Case &c : cases)
    assert_text(printable(c.raw), c.expected);
}
END_TEST

START_TEST(no_character_and_no_escape_is_cut_in_two) {
  struct Case {
    const char *text;
    std::size_t max_bytes;
    std::size_t expected;
  };
  const std::vector<Case> cases = {
      {"", 5, 0},          {"abc", 5, 3},       {"abc", 2, 2},        {"abc", 0, 0},
      {"a\xc3\xa9", 2, 1}, {"a\xc3\xa9", 3, 3}, {"a\\xc3", 4, 1},     {"a\\xc3", 5, 5},
      {"a\\\\x00", 2, 1},  {"a\\\\x00", 4, 4},  {"\\x41\\x42", 7, 4}, {"\xf0\x9f\x98\x80z", 4, 4},
  };
  for (const Case &c : cases)
    ck_assert_msg(last_whole_character(c.text, c.max_bytes) == c.expected, "%s, %zu: %zu", c.text,
                  c.max_bytes, last_whole_character(c.text, c.max_bytes));
}
END_TEST

int main() {
  return run_tests("utf8", what_can_be_shown, no_character_and_no_escape_is_cut_in_two);
}
