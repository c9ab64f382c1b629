#include "test_program.h"
#include "watch_names.h"

#include <string>
#include <vector>

using namespace backlog;

namespace {

using Positions = std::vector<std::size_t>;

WatchNames::Given give(WatchNames &names, const std::vector<WatchNames::Listener> &listeners,
                       bool is_unread = false) {
  return names.give(listeners, [is_unread](const std::string &name) {
    return is_unread && name == "tcp_any_80";
  });
}

} // namespace

START_TEST(one_listener_has_a_name_until_it_is_gone) {
  WatchNames names;
  const WatchNames::Listener http{.name = "tcp_any_80", .given = "web"};
  const WatchNames::Listener https{.name = "tcp_any_443", .given = "web"};
  const WatchNames::Listener other{.name = "tcp_any_22", .given = {}};

  ck_assert(give(names, {other, http}).positions == Positions{1});
  const WatchNames::Given both = give(names, {https, http});
  ck_assert(both.positions == Positions{1});
  ck_assert_uint_eq(both.notices.size(), 1);
  ck_assert_str_eq(both.notices.front().c_str(),
                   "<Watch> gives the name web to tcp_any_443 and tcp_any_80: at most one of them "
                   "gets it");
  ck_assert(give(names, {https}, true).positions.empty());
  ck_assert(names.has("web", "tcp_any_80"));
  ck_assert(give(names, {https}).positions == Positions{0});
  ck_assert(names.has("web", "tcp_any_443"));
}
END_TEST

START_TEST(two_that_want_a_name_at_once_do_not_get_it) {
  WatchNames names;
  const WatchNames::Given given = give(
      names, {{.name = "tcp_any_80", .given = "web"}, {.name = "tcp_any_443", .given = "web"}});
  ck_assert(given.positions.empty());
  ck_assert_uint_eq(given.notices.size(), 1);
}
END_TEST

START_TEST(a_name_that_an_address_produces_is_not_given) {
  WatchNames names;
  const WatchNames::Listener http{.name = "tcp_any_80", .given = "unix_b"};
  ck_assert(give(names, {http}).positions == Positions{0});
  const WatchNames::Given given = give(names, {http, {.name = "unix_b", .given = {}}});
  ck_assert(given.positions.empty());
  ck_assert_uint_eq(given.notices.size(), 1);
  ck_assert(!names.has("unix_b", "tcp_any_80"));
}
END_TEST

int main() {
  return run_tests("watch_names", one_listener_has_a_name_until_it_is_gone,
                   two_that_want_a_name_at_once_do_not_get_it,
                   a_name_that_an_address_produces_is_not_given);
}
