#include "chains.h"
#include "test_program.h"

#include <string>
#include <vector>

using namespace backlog;

namespace {

/// "0>2+1 1>2" and the like: the listener, its root and the distance where that is more than 1.
std::string shown(const std::vector<ListenerWait> &waits) {
  std::string text;
  for (const auto &[from, place] : find_chains(waits)) {
    text += (text.empty() ? "" : " ") + std::to_string(from) + ">" + std::to_string(place.root);
    if (place.distance > 1)
      text += "+" + std::to_string(place.distance - 1);
  }
  return text;
}

} // namespace

START_TEST(roots) {
  const struct {
    const char *what;
    std::vector<ListenerWait> waits;
    const char *places;
  } cases[] = {
      {"no waits", {}, ""},
      {"one", {{0, 1}}, "0>1"},
      {"three in a row", {{1, 2}, {0, 1}}, "0>2+1 1>2"},
      {"two wait for one", {{0, 2}, {1, 2}}, "0>2 1>2"},
      {"two chains", {{0, 1}, {5, 4}}, "0>1 5>4"},
      {"the first of two waits", {{0, 1}, {0, 2}}, "0>1"},
      {"for itself", {{3, 3}}, ""},
      {"each for the other", {{0, 1}, {1, 0}}, ""},
      {"a circle of three", {{0, 1}, {1, 2}, {2, 0}}, ""},
      {"into a circle", {{0, 1}, {1, 2}, {2, 1}}, ""},
      {"a circle beside a chain", {{0, 1}, {1, 0}, {7, 8}, {8, 9}}, "7>9+1 8>9"},
  };
  for (const auto &c : cases)
    assert_text(std::string(c.what) + ": " + shown(c.waits), std::string(c.what) + ": " + c.places);
}
END_TEST

START_TEST(long_chains_end) {
  std::vector<ListenerWait> chain;
  for (std::size_t i = 0; i < 1000; ++i)
    chain.push_back({i, i + 1});
  const auto places = find_chains(chain);
  ck_assert_uint_eq(places.size(), 1000);
  ck_assert_uint_eq(places.at(0).root, 1000);
  ck_assert_uint_eq(places.at(0).distance, 1000);
  chain.push_back({1000, 0});
  ck_assert(find_chains(chain).empty());
}
END_TEST

int main() { return run_tests("chains", roots, long_chains_end); }
