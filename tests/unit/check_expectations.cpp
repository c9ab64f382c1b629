#include "expectations.h"
#include "test_program.h"
#include "watch.h"

#include <chrono>
#include <memory>
#include <string>
#include <vector>

using namespace backlog;
using namespace std::chrono_literals;

namespace {

struct Seen {
  std::string name;
  bool has_id = false;
  std::string address{}; ///< of a Unix listener
};

/// Expectations and the time that passes.
class Host {
public:
  explicit Host(const std::vector<WatchSettings> &watches) : config_(config_of(watches)) {}

  /// The names that are absent after an interval, with " (unix)" behind those of Unix listeners.
  std::string pass(std::chrono::nanoseconds interval, const std::vector<Seen> &there) {
    at_ += interval;
    for (const Seen &seen : there) {
      const WatchFacts facts = watch_facts(*config_, {.name = seen.name, .address = seen.address});
      expectations.see(seen.name, facts, seen.has_id, at_);
    }
    std::string text;
    for (const auto &absent : expectations.end_interval())
      text += (text.empty() ? "" : " ") + absent.name + (absent.is_unix ? " (unix)" : "");
    return text;
  }

private:
  static std::shared_ptr<const Config> config_of(const std::vector<WatchSettings> &watches) {
    auto config = std::make_shared<Config>();
    for (const WatchSettings &watch : watches)
      config->watches.push_back(make_watch(watch));
    return config;
  }

  std::shared_ptr<const Config> config_;
  std::chrono::nanoseconds at_{0};

public:
  Expectations expectations{config_};
};

} // namespace

START_TEST(what_is_expected_by_name_or_address) {
  struct Case {
    std::vector<WatchSettings> watches;
    std::vector<Seen> there;
    const char *absent;
  };
  const Case cases[] = {
      {{{"tcp_any_80", "", true}}, {}, "tcp_any_80"},
      {{{"tcp_any_80", "", true}}, {{"tcp_any_80"}}, ""},
      {{{"tcp_any_80", "", false}}, {}, ""},
      {{{"tcp_any_80", "", true}, {"/tcp/", "", false}}, {}, ""}, // the last holds
      {{{"tcp_any_80", "", {}}, {"/tcp/", "", true}}, {}, "tcp_any_80"},
      {{{"/run/a.sock", "", true}}, {}, "unix_run_a-sock (unix)"},
      {{{"/run/a.sock", "", true}}, {{"unix_run_a-sock", false, "/run/a.sock"}}, ""},
      {{{"/run/a.sock", "", true}},
       {{"unix_run_a-sock", false, "/run/a-sock"}},
       "unix_run_a-sock (unix)"},
      {{{"/run/a.sock", "", true}}, {{"unix_run_a-sock_01234567", false, "/run/a.sock"}}, ""},
      {{{"@a", "", true}}, {}, "unix_abstract_a (unix)"},
      {{{"@a", "", true}}, {{"unix_abstract_a", false, "@a"}}, ""},
      {{{"127.0.0.1:80", "", true}}, {}, "tcp_127-0-0-1_80"},
      {{{"127.0.0.1:80", "", true}}, {{"tcp_127-0-0-1_80"}}, ""},
      {{{"*:80", "", true}}, {{"tcp_any_80"}}, ""},
      {{{"*:80", "", true}}, {{"tcp6_any_80"}}, ""},
      {{{"0.0.0.0:80", "", true}}, {{"tcp6_any_80"}}, "tcp_any_80"},
      {{{"tcp_any_80", "", true}, {"0.0.0.0:80", "", true}}, {}, "tcp_any_80"},
      // By the name that another watch gives.
      {{{"tcp_any_80", "web", {}}, {"web", "", true}}, {}, "tcp_any_80"},
      {{{"tcp_any_80", "web", {}}, {"web", "", true}}, {{"tcp_any_80"}}, ""},
      {{{"web", "", true}, {"tcp_any_80", "web", {}}}, {}, "tcp_any_80"},
      {{{"/_80$/", "web", {}}, {"web", "", true}}, {}, "web"},
      {{{"/_80$/", "web", {}}, {"web", "", true}}, {{"tcp_any_80"}}, ""},
  };
  for (const Case &c : cases) {
    Host host(c.watches);
    assert_text(host.pass(10s, c.there), c.absent);
  }
}
END_TEST

START_TEST(a_name_by_which_it_was_seen_is_kept) {
  Host host({{"*:80", "", true}, {"/run/a.sock", "", true}});
  assert_text(host.pass(10s, {}), "tcp6_any_80 unix_run_a-sock (unix)");
  host.pass(10s, {{"tcp_any_80"}, {"unix_run_a-sock_01234567", false, "/run/a.sock"}});
  assert_text(host.pass(10s, {}), "tcp_any_80 unix_run_a-sock_01234567 (unix)");
  ck_assert(host.expectations.contains("tcp_any_80"));
  ck_assert(!host.expectations.contains("tcp6_any_80"));
}
END_TEST

START_TEST(a_regex_expects_what_it_has_met_for_ten_minutes) {
  Host host({{"/./", "", true}});
  assert_text(host.pass(10s, {{"a"}, {"unix_u"}}), "");
  assert_text(host.pass(9min + 59s, {{"a"}, {"unix_u"}}), "");
  assert_text(host.pass(1s, {{"a"}, {"b"}}), ""); // u had not been there for long enough
  assert_text(host.pass(1h, {{"unix_u"}}), "a");
  ck_assert(host.expectations.contains("a") && !host.expectations.contains("unix_u"));
  assert_text(host.pass(10min, {{"a"}, {"unix_u"}}), "");
  assert_text(host.pass(10s, {}), "a unix_u (unix)");
  assert_text(host.pass(10s, {}), "a unix_u (unix)");

  Host broken({{"/./", "", true}}); // a break begins the ten minutes anew
  broken.pass(10s, {{"a"}});
  broken.pass(9min, {});
  broken.pass(9min, {{"a"}});
  assert_text(broken.pass(10s, {}), "");
}
END_TEST

START_TEST(a_regex_expects_no_name_with_an_id) {
  Host host({{"/./", "", true}, {"tcp_any_80__netns_0123456789ab", "", true}});
  for (int i = 0; i < 3; ++i)
    host.pass(1h, {{"unix_0123456789", true}, {"tcp_any_80__netns_0123456789ab", true}});
  assert_text(host.pass(10s, {}), "tcp_any_80__netns_0123456789ab");
}
END_TEST

START_TEST(a_regex_expects_a_thousand_names_at_most) {
  Host host({{"/./", "", true}, {"tcp_any_80", "", true}});
  std::vector<Seen> many;
  for (std::size_t i = 0; i < Expectations::most_met; ++i)
    many.push_back({"tcp_any_" + std::to_string(10000 + i)});
  host.pass(10s, many);
  host.pass(10min, many);
  ck_assert(!host.expectations.is_full());
  many.push_back({"tcp_any_9"});
  host.pass(10min, many);
  host.pass(10min, many);
  ck_assert(host.expectations.is_full());
  ck_assert(!host.expectations.contains("tcp_any_9"));
  const std::string absent = host.pass(10s, {});
  ck_assert_uint_eq(static_cast<std::size_t>(std::count(absent.begin(), absent.end(), ' ')),
                    Expectations::most_met);
}
END_TEST

// 18 000 short-lived ports were 18 000 missing ones.
START_TEST(what_comes_and_goes_is_not_kept) {
  Host host({{"/./", "", true}});
  for (int i = 0; i < 20000; ++i)
    assert_text(host.pass(1s, {{"tcp_any_" + std::to_string(20000 + i)}}), "");
  ck_assert(!host.expectations.contains("tcp_any_20000"));
}
END_TEST

int main() {
  return run_tests(
      "expectations", what_is_expected_by_name_or_address, a_name_by_which_it_was_seen_is_kept,
      a_regex_expects_what_it_has_met_for_ten_minutes, a_regex_expects_no_name_with_an_id,
      a_regex_expects_a_thousand_names_at_most, what_comes_and_goes_is_not_kept);
}
