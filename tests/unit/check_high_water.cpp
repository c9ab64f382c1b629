#include "high_water.h"
#include "test_program.h"

#include <string>
#include <vector>

using namespace backlog;

START_TEST(when_it_ebbs) {
  struct Case {
    const char *what;
    std::vector<std::size_t> amounts;
    const char *ebbs; ///< `!` where it has
  };
  for (const Case &tried : std::vector<Case>{
           {"little", {9, 0, 0, 0, 0}, "....."},
           {"much that stays", {100, 90, 51, 100}, "...."},
           {"much that goes", {100, 40, 40, 40, 40}, "...!."},
           {"much that goes and comes back", {100, 40, 40, 100, 40, 40, 40}, "......!"},
           {"twice", {100, 50, 50, 50, 20, 20, 20, 1, 1, 1}, "...!..!..!"},
       }) {
    HighWater water(10, 3);
    std::string ebbs;
    for (const std::size_t amount : tried.amounts)
      ebbs += water.has_ebbed(amount) ? '!' : '.';
    assert_text(std::string(tried.what) + ": " + ebbs, std::string(tried.what) + ": " + tried.ebbs);
  }
}
END_TEST

int main() { return run_tests("high_water", when_it_ebbs); }
