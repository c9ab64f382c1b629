#include "config.h"
#include "config_value.h"
#include "test_program.h"

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

using namespace backlog;
using namespace std::chrono_literals;

namespace {

/// One line of a <Plugin backlog> block, as liboconfig parses it.
struct Item {
  std::string key;
  std::vector<Value> values;
  bool block = false;           ///< has something in it, no matter what
  std::vector<Item> children{}; ///< what is in it
};

/// Owns what an oconfig_item_t points to.
class Tree {
public:
  explicit Tree(std::vector<Item> items) : items_(std::move(items)) {
    values_.resize(items_.size());
    for (std::size_t i = 0; i < items_.size(); ++i) {
      for (Value &value : items_[i].values)
        values_[i].push_back(converted(value));
      oconfig_item_t item{};
      item.key = items_[i].key.data();
      item.values = values_[i].data();
      item.values_num = static_cast<int>(values_[i].size());
      item.children = &empty_;
      item.children_num = items_[i].block ? 1 : 0;
      if (!items_[i].children.empty()) {
        const Tree &below = *below_.emplace_back(std::make_unique<Tree>(items_[i].children));
        item.children = below.root_.children;
        item.children_num = below.root_.children_num;
      }
      children_.push_back(item);
    }
    root_.children = children_.data();
    root_.children_num = static_cast<int>(children_.size());
  }
  Tree(const Tree &) = delete;
  Tree &operator=(const Tree &) = delete;

  const oconfig_item_t &root() const { return root_; }

private:
  std::vector<std::unique_ptr<Tree>> below_;
  std::vector<Item> items_;
  std::vector<std::vector<oconfig_value_t>> values_;
  std::vector<oconfig_item_t> children_;
  oconfig_item_t empty_{};
  oconfig_item_t root_{};
};

std::string text(const char *value) { return value; }

/// A <Watch "tcp_any_80"> block with one option.
Item watch_with(const char *option, const Value &value) {
  return {"Watch", {text("tcp_any_80")}, false, {{option, {value}}}};
}
Item watch_named(const char *entry, const char *name) {
  return {"Watch", {text(entry)}, false, {{"Name", {text(name)}}}};
}

} // namespace

START_TEST(good_options) {
  Config config;
  const Tree empty({});
  ck_assert(!apply_config(empty.root(), config));
  ck_assert_uint_eq(config.max_listeners, 200);
  ck_assert(config.values == ValueSet::basic);
  ck_assert(config.listeners.selects({.name = "tcp_any_80"}));

  const Tree first({{"Listener", {text("tcp_any_80")}}, {"maxlisteners", {10.0}}});
  const Tree second(
      {{"Listener", {text("/^tcp6_/")}}, {"Values", {text("full")}}, {"Events", {text("off")}}});
  ck_assert(config.events == EventUse::automatic);
  ck_assert(!apply_config(first.root(), config));
  ck_assert(!apply_config(second.root(), config));
  ck_assert_uint_eq(config.max_listeners, 10);
  ck_assert(config.values == ValueSet::full);
  ck_assert(config.listeners.selects({.name = "tcp_any_80"}));
  ck_assert(config.listeners.selects({.name = "tcp6_any_80"}));
  ck_assert(!config.listeners.selects({.name = "tcp_any_8080"}));
  ck_assert(config.events == EventUse::off);
  ck_assert(config.report_clients == ClientReport::owners);
  for (const auto &[value, report] :
       {std::pair<Value, ClientReport>{text("All"), ClientReport::addresses},
        {false, ClientReport::off},
        {true, ClientReport::owners}}) {
    const Tree clients({{"ReportClients", {value}}});
    ck_assert(!apply_config(clients.root(), config));
    ck_assert(config.report_clients == report);
  }
  const Tree automatic({{"Events", {text("AUTO")}}});
  ck_assert(!apply_config(automatic.root(), config));
  ck_assert(config.events == EventUse::automatic);
  const Tree unquoted({{"Events", {false}}}); // as collectd takes off without quotes
  ck_assert(!apply_config(unquoted.root(), config));
  ck_assert(config.events == EventUse::off);

  const Tree ignore({{"IgnoreSelected", {true}}, {"MaxListeners", {0.0}}});
  ck_assert(!apply_config(ignore.root(), config));
  ck_assert(!config.listeners.selects({.name = "tcp_any_80"}));
  ck_assert(config.listeners.selects({.name = "tcp_any_8080"}));
  ck_assert_uint_eq(config.max_listeners, 0);
}
END_TEST

START_TEST(good_options_of_the_sampler) {
  struct Case {
    std::vector<Item> items;
    double budget_percent, sample_interval, burst_interval;
  };
  const Case cases[] = {
      {{}, 1, 0.025, 0.005},
      {{{"SamplerBudget", {0.01}}}, 0.01, 0.025, 0.005},
      {{{"samplerbudget", {100.0}}}, 100, 0.025, 0.005},
      {{{"SampleInterval", {1.0}}, {"BurstInterval", {0.1}}}, 1, 1, 0.1},
      {{{"BurstInterval", {0.1}}, {"SampleInterval", {1.0}}}, 1, 1, 0.1},
      {{{"SampleInterval", {0.003}}}, 1, 0.003, 0.003}, // burst follows
      {{{"SampleInterval", {86400.0}}}, 1, 86400, 0.005},
      {{{"BurstInterval", {0.025}}}, 1, 0.025, 0.025},
      {{{"SampleInterval", {0.001}}, {"BurstInterval", {0.001}}}, 1, 0.001, 0.001},
  };
  for (const Case &c : cases) {
    Config config;
    const Tree tree(c.items);
    const auto error = apply_config(tree.root(), config);
    ck_assert_msg(!error, "%s", error.value_or("").c_str());
    ck_assert(!check_config(config));
    ck_assert_double_eq(config.sampler_budget_percent, c.budget_percent);
    ck_assert_double_eq(config.sample_interval.count(), c.sample_interval);
    ck_assert_double_eq(config.burst_interval().count(), c.burst_interval);
  }
}
END_TEST

START_TEST(good_options_of_what_is_reported) {
  Config config;
  ck_assert(config.report_unix && config.report_syn_queue);
  const Tree off({{"ReportUnix", {false}}, {"ReportSynQueue", {false}}});
  ck_assert(!apply_config(off.root(), config));
  ck_assert(!config.report_unix && !config.report_syn_queue);
  const Tree on({{"reportunix", {true}}});
  ck_assert(!apply_config(on.root(), config));
  ck_assert(config.report_unix && !config.report_syn_queue);
}
END_TEST

START_TEST(good_options_of_the_table) {
  Config config;
  assert_text(config.table_file, default_table_file);
  ck_assert(!config.table_file_given && !config.table_group);
  ck_assert(table_group(config) == find_group("backlog"));
  const Tree some({{"TableFile", {text("/a/b")}}, {"TableGroup", {text("root")}}});
  ck_assert(!apply_config(some.root(), config));
  assert_text(config.table_file, "/a/b");
  ck_assert(config.table_file_given && table_group(config) == gid_t{0});
  const Tree none({{"TableFile", {text("")}}, {"TableGroup", {text("")}}});
  ck_assert(!apply_config(none.root(), config));
  assert_text(config.table_file, "");
  ck_assert(config.table_file_given && !table_group(config));
}
END_TEST

START_TEST(burst_interval_above_sample_interval) {
  const std::vector<Item> cases[] = {
      {{"BurstInterval", {0.026}}},
      {{"SampleInterval", {0.01}}, {"BurstInterval", {0.026}}},
      {{"BurstInterval", {0.026}}, {"SampleInterval", {0.01}}},
  };
  for (const auto &items : cases) {
    Config config;
    const Tree tree(items);
    ck_assert(!apply_config(tree.root(), config));
    const auto error = check_config(config);
    ck_assert(error.has_value());
    for (const char *part : {"BurstInterval", "0.026", "at most SampleInterval", "seconds"})
      ck_assert_msg(error->find(part) != std::string::npos, "\"%s\" lacks %s", error->c_str(),
                    part);
  }
}
END_TEST

START_TEST(intervals_of_several_blocks_in_any_order) {
  const Tree burst({{"BurstInterval", {0.1}}});
  const Tree sample({{"SampleInterval", {1.0}}});
  for (const auto &[first, second] : {std::pair(&burst, &sample), std::pair(&sample, &burst)}) {
    Config config;
    ck_assert(!apply_config(first->root(), config));
    ck_assert(!apply_config(second->root(), config));
    ck_assert(!check_config(config));
    ck_assert_double_eq(config.burst_interval().count(), 0.1);
  }
}
END_TEST

START_TEST(bad_options_name_option_value_and_what_is_allowed) {
  struct Case {
    Item item;
    const char *value = nullptr, *allowed = nullptr;
  };
  const Case cases[] = {
      {{"Listeners", {text("x")}}, "\"x\"", "Listener, IgnoreSelected"},
      {{"Listener", {}}, "nothing", "one name"},
      {{"Listener", {text("")}}, "\"\"", "one name"},
      {{"Listener", {80.0}}, "80", "one name"},
      {{"Listener", {text("a"), text("b")}}, "\"a\" \"b\"", "one name"},
      {{"Listener", {text("/(/")}}, "\"/(/\"", "regex"},
      {{"Listener", {text("a")}, true}, "a block", "one name"},
      {{"IgnoreSelected", {text("perhaps")}}, "\"perhaps\"", "true or false"},
      {{"IgnoreSelected", {1.0}}, "1", "true or false"},
      {{"MaxListeners", {text("many")}}, "\"many\"", "0 to 100000"},
      {{"MaxListeners", {-1.0}}, "-1", "0 to 100000"},
      {{"MaxListeners", {1.5}}, "1.5", "0 to 100000"},
      {{"MaxListeners", {100001.0}}, "100001", "0 to 100000"},
      {{"MaxListeners", {std::stod("nan")}}, "nan", "0 to 100000"},
      {{"MaxListeners", {true}}, "true", "0 to 100000"},
      {{"MaxListeners", {}, true}, "a block", "0 to 100000"},
      {{"ReportUnix", {text("perhaps")}}, "\"perhaps\"", "true or false"},
      {{"ReportUnix", {0.0}}, "0", "true or false"},
      {{"ReportSynQueue", {}}, "nothing", "true or false"},
      {{"ReportSynQueue", {true, false}}, "true false", "true or false"},
      {{"SamplerBudget", {0.0}}, "0", "0.01 to 100 percent of one CPU"},
      {{"SamplerBudget", {-0.5}}, "-0.5", "0.01 to 100 percent of one CPU"},
      {{"SamplerBudget", {100.5}}, "100.5", "0.01 to 100 percent of one CPU"},
      {{"SamplerBudget", {std::stod("nan")}}, "nan", "0.01 to 100 percent of one CPU"},
      {{"SamplerBudget", {text("1%")}}, "\"1%\"", "0.01 to 100 percent of one CPU"},
      {{"SamplerBudget", {1.0, 2.0}}, "1 2", "0.01 to 100 percent of one CPU"},
      {{"SampleInterval", {0.0}}, "0", "0.001 to 86400 seconds"},
      {{"SampleInterval", {-1.0}}, "-1", "0.001 to 86400 seconds"},
      {{"SampleInterval", {86401.0}}, "86401", "0.001 to 86400 seconds"},
      {{"SampleInterval", {std::stod("inf")}}, "inf", "0.001 to 86400 seconds"},
      {{"SampleInterval", {true}}, "true", "0.001 to 86400 seconds"},
      {{"BurstInterval", {0.0}}, "0", "0.001 to 86400 seconds"},
      {{"BurstInterval", {text("5 ms")}}, "\"5 ms\"", "0.001 to 86400 seconds"},
      {{"ReportOwner", {1.0}}, "1", "true or false"},
      {{"NetNamespace", {text("/(/")}}, "\"/(/\"", "regex"},
      {{"WarningPercent", {0.0}}, "0", "1 to 100"},
      {{"WarningPercent", {101.0}}, "101", "1 to 100"},
      {{"WarningMinimum", {-1.0}}, "-1", "0 to 1000000"},
      {{"StalledAfter", {0.5}}, "0.5", "1 to 86400 seconds"},
      {{"MissingAfter", {text("long")}}, "\"long\"", "1 to 86400 seconds"},
      {{"Notify", {}}, "nothing", "none, or one or more of"},
      {{"Notify", {text("high"), text("low")}}, "\"high\" \"low\"", "none, or one or more of"},
      {{"Notify", {text("none"), text("high")}}, "\"none\" \"high\"", "none, or one or more of"},
      {{"Notify", {true}}, "true", "none, or one or more of"},
      {{"Watch", {}}, "nothing", "one name"},
      {{"Watch", {80.0}}, "80", "one name"},
      {{"Watch", {text("/[/")}}, "\"/[/\"", "regex"},
      {{"Watch", {text("127.0.0.1:0")}}, "\"127.0.0.1:0\"", "127.0.0.1:8001"},
      {{"Watch", {text("TCP_ANY_80")}}, "\"TCP_ANY_80\"", "a-z, 0-9"},
      {{"Watch", {text("tcp_any_80 ")}}, "\"tcp_any_80 \"", "a-z, 0-9"},
      {{"Watch", {text("a")}}, "\"a\"", "no <Watch> gives this name"},
      {{"Listener", {text("a")}}, "\"a\"", "no <Watch> gives this name"},
      {{"Listener", {text("TCP_ANY_80")}}, "\"TCP_ANY_80\"", "a-z, 0-9"},
      {watch_with("Name", text("kernel")), "\"kernel\"", "other than host"},
      {watch_with("Name", text("tcp_unstable")), "\"tcp_unstable\"", "other than host"},
      {watch_with("Name", text("unix_unstable")), "\"unix_unstable\"", "other than host"},
      {watch_with("Name", text("kernel_netns_a")), "\"kernel_netns_a\"", "other than host"},
      {watch_with("Name", text("A b")), "\"A b\"", "a-z, 0-9"},
      {watch_with("Name", text("")), "\"\"", "a-z, 0-9"},
      {watch_with("Name", text("tcp_any_443")), "\"tcp_any_443\"", "no other listener has"},
      {watch_with("WarningPercent", 0.0), "0", "1 to 100"},
      {watch_with("Expected", text("x")), "\"x\"", "true or false"},
      {watch_with("Unexpected", true), "true", "Name, WarningPercent"},
      {{"TableFile", {text("table")}}, "\"table\"", "absolute path"},
      {{"TableFile", {text("/run/")}}, "\"/run/\"", "absolute path"},
      {{"TableFile", {5.0}}, "5", "absolute path"},
      {{"TableFile", {}}, "nothing", "absolute path"},
      {{"TableGroup", {text("no such group")}}, "\"no such group\"", "name of a group"},
      {{"TableGroup", {true}}, "true", "name of a group"},
      {{"ReportClients", {text("some")}}, "\"some\"", "true, all or false"},
      {{"ReportClients", {1.0}}, "1", "true, all or false"},
      {{"ReportClients", {true, false}}, "true false", "true, all or false"},
      {{"Events", {text("on")}}, "\"on\"", "auto or off"},
      {{"Events", {true}}, "true", "auto or off"},
      {{"Values", {text("some")}}, "\"some\"", "basic or full"},
      {{"Values", {1.0}}, "1", "basic or full"},
  };
  for (const Case &c : cases) {
    Config config;
    const Tree tree({c.item});
    const auto error = apply_config(tree.root(), config);
    ck_assert_msg(error.has_value(), "%s %s", c.item.key.c_str(), c.value);
    for (const std::string &part : {c.item.key, text(c.value), text(c.allowed)})
      ck_assert_msg(error->find(part) != std::string::npos, "\"%s\" lacks %s", error->c_str(),
                    part.c_str());
  }
}
END_TEST

/// The options of a block, as the code lists them.
std::vector<std::string> known_options(const Item &with_unknown) {
  Config config;
  const Tree tree({with_unknown});
  const std::string error = apply_config(tree.root(), config).value_or("");
  constexpr std::string_view before = "allowed is one of ";
  ck_assert_msg(error.find(before) != std::string::npos, "%s", error.c_str());
  std::vector<std::string> names(1);
  for (const char c : error.substr(error.find(before) + before.size())) {
    if (c == ',')
      names.emplace_back();
    else if (c != ' ')
      names.back() += c;
  }
  return names;
}

START_TEST(every_option_refuses_each_kind_of_bad_value) {
  struct Case {
    const char *option;
    Value wrong_type;
    bool empty_is_allowed;
    Value very_long; ///< or very large
    Value outside;   ///< of what is allowed
  };
  const std::string long_text(5000, 'x');
  const std::string long_path = "/" + long_text;
  const double nan = std::stod("nan");
  const double large = 1e300;
  const std::vector<Case> of_plugin = {
      {"Listener", 80.0, false, long_text, text("TCP ANY")},
      {"IgnoreSelected", 1.0, false, long_text, text("perhaps")},
      {"ReportUnix", 1.0, false, long_text, text("perhaps")},
      {"ReportSynQueue", 1.0, false, long_text, text("perhaps")},
      {"ReportOwner", 1.0, false, long_text, text("perhaps")},
      {"ReportClients", 1.0, false, long_text, text("some")},
      {"NetNamespace", true, false, long_text, text("/(/")},
      {"WarningPercent", text("80"), false, large, 0.5},
      {"WarningMinimum", true, false, large, 1.5},
      {"StalledAfter", text("30 s"), false, large, 0.0},
      {"MissingAfter", true, false, large, nan},
      {"Notify", 1.0, false, long_text, text("low")},
      {"Watch", 443.0, false, long_path, text("127.0.0.1:65536")},
      {"SamplerBudget", text("1%"), false, large, nan},
      {"SampleInterval", true, false, large, 0.0},
      {"BurstInterval", text("5 ms"), false, large, -1.0},
      {"MaxListeners", text("many"), false, large, -1.0},
      {"Events", 1.0, false, long_text, text("perhaps")},
      {"TableFile", true, true, long_path, text("table")},
      {"TableGroup", 0.0, true, long_text, text("no such group")},
      {"Values", true, false, long_text, text("some")},
  };
  const std::vector<Case> of_watch = {
      {"Name", 1.0, false, long_text, text("A b")},
      {"WarningPercent", text("80"), false, large, 101.0},
      {"Expected", 1.0, false, long_text, text("perhaps")},
  };
  struct Block {
    const std::vector<Case> &cases;
    Item unknown;
    Item (*item)(const char *option, const Value &value) = nullptr;
  };
  const Block blocks[] = {
      {of_plugin,
       {"Nonsense", {}},
       [](const char *option, const Value &value) {
         return Item{option, {value}};
       }},
      {of_watch, watch_with("Nonsense", true), watch_with},
  };
  for (const Block &block : blocks) {
    std::vector<std::string> with_cases;
    for (const Case &c : block.cases) {
      with_cases.emplace_back(c.option);
      struct {
        Value value;
        bool allowed;
      } const given[] = {{c.wrong_type, false},
                         {text(""), c.empty_is_allowed},
                         {c.very_long, false},
                         {c.outside, false}};
      for (std::size_t i = 0; i < std::size(given); ++i) {
        Config config;
        const Tree tree({block.item(c.option, given[i].value)});
        const std::string error = apply_config(tree.root(), config).value_or("");
        ck_assert_msg(error.empty() == given[i].allowed, "%s, value %zu: \"%s\"", c.option, i,
                      error.c_str());
        if (given[i].allowed)
          continue;
        // collectd cuts a line of its log at 1024 bytes.
        ck_assert_msg(error.size() < 900, "%s", error.c_str());
        for (const std::string &part : {"option " + text(c.option) + ": ", text("allowed is ")})
          ck_assert_msg(error.find(part) != std::string::npos, "\"%s\" lacks %s", error.c_str(),
                        part.c_str());
      }
    }
    std::vector<std::string> known = known_options(block.unknown);
    std::sort(known.begin(), known.end());
    std::sort(with_cases.begin(), with_cases.end());
    ck_assert_msg(known == with_cases, "an option has no bad values here, or is there no more");
  }
}
END_TEST

START_TEST(good_options_of_the_diagnosis) {
  Config config;
  ck_assert_double_eq(config.warning_percent, 80);
  ck_assert_uint_eq(config.warning_minimum, 16);
  ck_assert(config.stalled_after == 30s && config.missing_after == 60s);
  ck_assert(config.notify.high && config.notify.overflow && config.notify.stalled &&
            config.notify.missing);
  const Tree tree({{"ReportOwner", {false}},
                   {"NetNamespace", {text("blue")}},
                   {"WarningPercent", {60.0}},
                   {"WarningMinimum", {0.0}},
                   {"StalledAfter", {5.0}},
                   {"MissingAfter", {1.0}},
                   {"Notify", {text("stalled"), text("missing")}}});
  ck_assert(!apply_config(tree.root(), config));
  ck_assert(!config.report_owner);
  ck_assert(config.net_namespaces.selects("blue") && !config.net_namespaces.selects("green"));
  ck_assert_double_eq(config.warning_percent, 60);
  ck_assert_uint_eq(config.warning_minimum, 0);
  ck_assert(config.stalled_after == 5s && config.missing_after == 1s);
  ck_assert(!config.notify.high && !config.notify.overflow && config.notify.stalled &&
            config.notify.missing);
  const Tree none({{"Notify", {text("none")}}});
  ck_assert(!apply_config(none.root(), config));
  ck_assert(!config.notify.stalled && !config.notify.missing);
}
END_TEST

START_TEST(what_several_watches_say_merges) {
  Config config;
  const Tree tree({
      {"Watch", {text("/^tcp_/")}, false, {{"WarningPercent", {50.0}}, {"Expected", {true}}}},
      {"Watch",
       {text("tcp_any_443")},
       false,
       {{"Name", {text("https")}}, {"WarningPercent", {60.0}}}},
      {"Watch", {text("/_22$/")}, false, {{"Expected", {false}}}},
      watch_named("/run/a.b", "a_dot_b"),
      {"Watch", {text("a_dot_b")}, false, {{"WarningPercent", {70.0}}}},
      {"Watch", {text("unix_idle")}},
  });
  const auto error = apply_config(tree.root(), config);
  ck_assert_msg(!error, "%s", error.value_or("").c_str());
  struct Case {
    ListenerView listener;
    const char *name = ""; ///< "" for none
    double warning_percent = 0;
    bool watched = false;
    bool expected = false;
  };
  const Case cases[] = {
      {{.name = "tcp_any_443"}, "https", 60, true, true},
      {{.name = "tcp_any_80"}, "", 50, true, true},
      {{.name = "tcp_any_22"}, "", 50, true, false},
      {{.name = "unix_x"}, "", 80, false, false},
      {{.name = "unix_run_a-b", .address = "/run/a.b"}, "a_dot_b", 70, true, false},
      {{.name = "unix_run_a-b", .address = "/run/a-b"}, "", 80, false, false},
      {{.name = "unix_idle"}, "", 80, true, false},
  };
  for (const Case &c : cases) {
    const std::string listener(c.listener.name);
    const WatchFacts facts = watch_facts(config, c.listener);
    ck_assert_msg(facts.watched() == c.watched, "%s", listener.c_str());
    assert_text(facts.name.value_or(""), c.name);
    ck_assert_double_eq(facts.warning_percent, c.warning_percent);
    ck_assert_msg(facts.expected == c.expected, "%s", listener.c_str());
  }
}
END_TEST

START_TEST(what_is_watched_is_selected) {
  struct Case {
    std::vector<Item> items;
    ListenerView listener;
    bool selected;
  };
  const Item watch{"Watch", {text("tcp_any_443")}};
  const Item path{"Watch", {text("/run/a.sock")}};
  const Case cases[] = {
      {{}, {.name = "tcp_any_443"}, true},
      {{{"Listener", {text("tcp_any_80")}}}, {.name = "tcp_any_443"}, false},
      {{{"Listener", {text("tcp_any_80")}}, watch}, {.name = "tcp_any_443"}, true},
      {{{"Listener", {text("tcp_any_80")}}, watch}, {.name = "tcp_any_444"}, false},
      {{{"Listener", {text("/443/")}}, {"IgnoreSelected", {true}}, watch},
       {.name = "tcp_any_443"},
       true},
      {{{"Listener", {text("tcp_any_80")}}, path},
       {.name = "unix_run_a-sock", .address = "/run/a.sock"},
       true},
      {{{"Listener", {text("*:80")}}}, {.name = "tcp_any_80"}, true},
  };
  for (const Case &c : cases) {
    Config config;
    const Tree tree(c.items);
    ck_assert(!apply_config(tree.root(), config));
    ck_assert_int_eq(is_selected(config, c.listener, watch_facts(config, c.listener)), c.selected);
  }
}
END_TEST

START_TEST(a_watch_selects_the_net_namespace_of_its_listener) {
  struct Case {
    std::vector<Item> items;
    const char *name;
    bool any, selected;
  };
  const Case cases[] = {
      {{}, "blue", false, false},
      {{{"Watch", {text("tcp_any_80")}}}, "blue", false, false},
      {{{"Watch", {text("tcp_any_80__netns_blue")}}}, "blue", true, true},
      {{{"Watch", {text("tcp_any_80__netns_blue")}}}, "green", true, false},
      {{{"Watch", {text("tcp_any_80__netns_a-b")}}}, "a.b", true, true},
      {{{"Watch", {text("/__netns_blue/")}}}, "blue", false, false},
      {{{"NetNamespace", {text("green")}}, {"Watch", {text("unix_x__netns_blue")}}},
       "blue",
       true,
       true},
      {{{"NetNamespace", {text("green")}}, {"Watch", {text("unix_x__netns_blue")}}},
       "green",
       true,
       true},
      {{{"NetNamespace", {text("green")}}}, "blue", true, false},
  };
  for (const Case &c : cases) {
    Config config;
    const Tree tree(c.items);
    ck_assert(!apply_config(tree.root(), config));
    ck_assert_int_eq(selects_net_namespaces(config), c.any);
    ck_assert_int_eq(selects_net_namespace(config, c.name), c.selected);
  }
}
END_TEST

START_TEST(two_listeners_under_one_name) {
  struct Case {
    std::vector<Item> items;
    const char *error; // "": none
  };
  const Case cases[] = {
      {{watch_named("tcp_any_80", "web"), watch_named("tcp_any_81", "web")},
       "<Watch \"tcp_any_80\">: option Name: \"web\""},
      {{watch_named("/run/a", "web"), watch_named("@a", "web")}, "option Name: \"web\""},
      {{watch_named("tcp_any_80", "web"), watch_named("0.0.0.0:80", "web")}, ""},
      {{watch_named("tcp_any_80", "web"), watch_named("/_80$/", "web")}, ""},
      {{watch_named("tcp_any_80", "web"), watch_named("web", "www")}, ""},
      {{watch_named("tcp_any_80", "tcp_any_81")}, "no other listener has"},
      {{watch_named("tcp_any_80", "tcp_any_80")}, ""},
      {{watch_named("/80/", "tcp6_--1_80")}, "no other listener has"},
      {{watch_named("/80/", "tcp_web_80")}, ""},
      {{watch_named("/run/a", "unix_b"), {"Watch", {text("unix_b")}}},
       "the one of another <Watch>"},
      {{watch_named("/run/a", "unix_b")}, ""},
      {{watch_named("/run/a", "a"), {"Listener", {text("a")}}}, ""},
      {{{"Watch", {text("a")}}, watch_named("/run/a", "a")}, ""},
  };
  for (const Case &c : cases) {
    Config config;
    const Tree tree(c.items);
    const std::string error = apply_config(tree.root(), config).value_or("");
    ck_assert_msg(*c.error == '\0' ? error.empty() : error.find(c.error) != std::string::npos,
                  "\"%s\" lacks \"%s\"", error.c_str(), c.error);
  }
}
END_TEST

START_TEST(unix_listeners_that_are_watched_and_not_reported) {
  for (const char *entry : {"/run/a", "@a", "unix_a"}) {
    Config config;
    const Tree tree({{"ReportUnix", {false}}, {"Watch", {text(entry)}}});
    ck_assert(!apply_config(tree.root(), config));
    const std::string error = check_config(config).value_or("");
    for (const char *part : {"option Watch", entry, "ReportUnix true"})
      ck_assert_msg(error.find(part) != std::string::npos, "%s", error.c_str());
  }
}
END_TEST

int main() {
  return run_tests("config", good_options, good_options_of_the_sampler,
                   good_options_of_what_is_reported, good_options_of_the_table,
                   good_options_of_the_diagnosis, what_several_watches_say_merges,
                   what_is_watched_is_selected, a_watch_selects_the_net_namespace_of_its_listener,
                   two_listeners_under_one_name, unix_listeners_that_are_watched_and_not_reported,
                   burst_interval_above_sample_interval, intervals_of_several_blocks_in_any_order,
                   bad_options_name_option_value_and_what_is_allowed,
                   every_option_refuses_each_kind_of_bad_value);
}
