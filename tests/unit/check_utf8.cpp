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
      {"a\nb\x7f\x1b[31m", "a?b??[31m"},
      {std::string("a\0b", 3), "a?b"},
      {"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"},
      {"cut \xc3", "cut ?"},
      {"cut \xe2\x82", "cut ??"},
      {"no lead \xa9", "no lead ?"},
      {"too long \xc0\xaf \xe0\x80\xaf", "too long ?? ???"},
      {"surrogate \xed\xa0\x80", "surrogate ???"},
      {"beyond \xf4\x90\x80\x80 \xff", "beyond ???? ?"},
      {"C1 \xc2\x9b", "C1 ??"},
      {"right to left \xe2\x80\xae", "right to left ???"},
  };
  for (const Case &c : cases)
    assert_text(printable(c.raw), c.expected);
}
END_TEST

int main() { return run_tests("utf8", what_can_be_shown); }
