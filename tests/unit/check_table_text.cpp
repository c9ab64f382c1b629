#include "table_text.h"
#include "test_program.h"

using namespace backlog;

START_TEST(spans) {
  constexpr std::int64_t second = 1'000'000'000;
  const struct {
    std::int64_t ns;
    const char *text;
  } cases[] = {
      {0, "0 s"},
      {499'999'999, "0 s"},
      {500'000'000, "1 s"},
      {119 * second, "119 s"},
      {120 * second, "2 min"},
      {4000 * second, "66 min"},
      {7199 * second, "119 min"},
      {7200 * second, "2 h"},
      {172799 * second, "47 h"},
      {172800 * second, "2 d"},
  };
  for (const auto &span : cases)
    assert_text(span_text(span.ns), span.text);
}
END_TEST

int main() { return run_tests("table_text", spans); }
