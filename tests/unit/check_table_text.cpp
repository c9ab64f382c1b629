#include "table_text.h"
#include "test_program.h"

#include <chrono>

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

START_TEST(how_long_the_interval_was) {
  const struct {
    std::chrono::nanoseconds measured;
    const char *text;
  } cases[] = {{std::chrono::milliseconds(500), "over 0.5 s\n"},
               {std::chrono::microseconds(1003700), "over 1 s\n"},
               {std::chrono::microseconds(9996000), "over 10 s\n"},
               {std::chrono::milliseconds(10400), "over 10 s\n"},
               {std::chrono::hours(1), "over 60 min\n"}};
  for (const auto &c : cases) {
    TableContents contents;
    contents.header.measured_ns = c.measured.count();
    contents.header.interval_ns = c.measured.count();
    contents.header.has = layout::is_complete;
    const std::string text = table_text(contents, 0, {});
    ck_assert_msg(text.find(c.text) != std::string::npos, "%s", text.c_str());
  }
}
END_TEST

START_TEST(clients_as_json) {
  const struct {
    const char *text;
    const char *json;
  } cases[] = {
      {"31 of 40 from 10.0.0.7",
       R"("clients":[{"client":"10.0.0.7","count":31}],"clients_counted":40)"},
      {"9 of 9 from docker 0a1b2c3d4e5f, 4 from 2001:db8::1 (nginx.service), 1 from a\\x2c (b)[7]",
       R"("clients":[{"client":"docker 0a1b2c3d4e5f","count":9},)"
       R"({"client":"2001:db8::1","owner":"nginx.service","count":4},)"
       R"({"client":"a\\x2c (b)[7]","count":1}],"clients_counted":9)"},
      {"17 of 17 from ended clients",
       R"("clients":[{"client":"ended clients","count":17}],"clients_counted":17)"},
      {"someone", R"("clients":[{"client":"someone"}])"},
      {"31 of 40", R"("clients":[{"client":"31 of 40"}])"},
  };
  for (const auto &c : cases) {
    TableContents contents;
    contents.namespaces.emplace_back();
    layout::set_text(contents.namespaces[0].name, "self");
    layout::Listener &listener = contents.listeners.emplace_back();
    layout::set_text(listener.name, "tcp_any_80");
    layout::set_text(listener.clients, c.text, layout::TextForm::printable);
    const std::string json = table_json(contents, 0);
    ck_assert_msg(json.find(c.json) != std::string::npos, "%s: %s", c.text, json.c_str());
    layout::set_text(listener.clients, "");
    ck_assert(table_json(contents, 0).find("clients") == std::string::npos);
  }
}
END_TEST

START_TEST(waits_below_one_in_trouble) {
  TableContents contents;
  contents.namespaces.emplace_back();
  layout::Listener &listener = contents.listeners.emplace_back();
  layout::set_text(listener.name, "tcp_any_80");
  layout::set_text(listener.message, "slow");
  listener.wait_mean_seconds = 0.4215;
  listener.wait_p50_seconds = 0.75;
  listener.wait_p99_seconds = 12.582912;
  const struct {
    layout::State state;
    std::uint32_t has;
    const char *line;
  } cases[] = {
      {layout::State::overflow, layout::has_queue, nullptr},
      {layout::State::overflow, layout::has_queue | layout::has_wait_mean,
       "    accepted after: 0.421 s on average\n"},
      {layout::State::overflow, layout::has_queue | layout::has_wait_quantiles,
       "    accepted after: half up to 0.75 s, 99 % up to 12.6 s\n"},
      {layout::State::high, layout::has_queue | layout::has_wait_quantiles | layout::has_wait_mean,
       "    accepted after: half up to 0.75 s, 99 % up to 12.6 s, 0.421 s on average\n"},
      {layout::State::ok, layout::has_queue | layout::has_wait_quantiles | layout::has_wait_mean,
       nullptr},
  };
  for (const auto &c : cases) {
    listener.state = c.state;
    listener.has = c.has;
    const std::string text = table_text(contents, 0, {});
    const std::string line = c.line != nullptr ? c.line : "accepted after";
    ck_assert_msg((text.find(line) != std::string::npos) == (c.line != nullptr), "%s",
                  text.c_str());
  }
}
END_TEST

START_TEST(who_it_waits_for_as_json) {
  TableContents contents;
  contents.namespaces.emplace_back();
  layout::set_text(contents.namespaces[0].name, "self");
  for (const char *name : {"tcp_any_80", "tcp_any_81"})
    layout::set_text(contents.listeners.emplace_back().name, name);
  ck_assert(table_json(contents, 0).find("waits_for") == std::string::npos);
  contents.listeners[0].waits_for = 2;
  ck_assert(table_json(contents, 0).find(R"("waits_for":"tcp_any_81")") != std::string::npos);
}
END_TEST

int main() {
  return run_tests("table_text", spans, how_long_the_interval_was, clients_as_json,
                   waits_below_one_in_trouble, who_it_waits_for_as_json);
}
