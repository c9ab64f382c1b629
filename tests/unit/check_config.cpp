#include "config.h"
#include "test_program.h"

#include <string>
#include <variant>
#include <vector>

using namespace backlog;

namespace {

using Value = std::variant<double, bool, std::string>;

/// One line of a <Plugin backlog> block, as liboconfig parses it.
struct Item {
  std::string key;
  std::vector<Value> values;
  bool block = false;
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
      children_.push_back(item);
    }
    root_.children = children_.data();
    root_.children_num = static_cast<int>(children_.size());
  }
  Tree(const Tree &) = delete;
  Tree &operator=(const Tree &) = delete;

  const oconfig_item_t &root() const { return root_; }

private:
  static oconfig_value_t converted(Value &value) {
    oconfig_value_t result{};
    if (auto *text = std::get_if<std::string>(&value)) {
      result.type = OCONFIG_TYPE_STRING;
      result.value.string = text->data();
    } else if (auto *number = std::get_if<double>(&value)) {
      result.type = OCONFIG_TYPE_NUMBER;
      result.value.number = *number;
    } else {
      result.type = OCONFIG_TYPE_BOOLEAN;
      result.value.boolean = static_cast<int>(std::get<bool>(value));
    }
    return result;
  }

  std::vector<Item> items_;
  std::vector<std::vector<oconfig_value_t>> values_;
  std::vector<oconfig_item_t> children_;
  oconfig_item_t empty_{};
  oconfig_item_t root_{};
};

std::string text(const char *value) { return value; }

} // namespace

START_TEST(good_options) {
  Config config;
  const Tree empty({});
  ck_assert(!apply_config(empty.root(), config));
  ck_assert_uint_eq(config.max_listeners, 200);
  ck_assert(config.values == ValueSet::basic);
  ck_assert(config.listeners.selects("tcp_any_80"));

  const Tree first({{"Listener", {text("tcp_any_80")}}, {"maxlisteners", {10.0}}});
  const Tree second({{"Listener", {text("/^tcp6_/")}}, {"Values", {text("full")}}});
  ck_assert(!apply_config(first.root(), config));
  ck_assert(!apply_config(second.root(), config));
  ck_assert_uint_eq(config.max_listeners, 10);
  ck_assert(config.values == ValueSet::full);
  ck_assert(config.listeners.selects("tcp_any_80"));
  ck_assert(config.listeners.selects("tcp6_any_80"));
  ck_assert(!config.listeners.selects("tcp_any_8080"));

  const Tree ignore({{"IgnoreSelected", {true}}, {"MaxListeners", {0.0}}});
  ck_assert(!apply_config(ignore.root(), config));
  ck_assert(!config.listeners.selects("tcp_any_80"));
  ck_assert(config.listeners.selects("tcp_any_8080"));
  ck_assert_uint_eq(config.max_listeners, 0);
}
END_TEST

START_TEST(bad_options_name_option_value_and_what_is_allowed) {
  struct Case {
    Item item;
    const char *value, *allowed;
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

int main() {
  return run_tests("config", good_options, bad_options_name_option_value_and_what_is_allowed);
}
