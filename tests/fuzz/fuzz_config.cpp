// Any tree of options as <Plugin backlog>: refused with option, value and what is allowed, or
// within the bounds that the manual names. A line of the input is a line of the block:
//
//   LETTER VALUE TAB VALUE ...     A is the first of the options below; no letter: the key is as
//   written > LETTER ...                   in the block of the line before
//
// A VALUE is "TEXT, a number, or anything else for a boolean.

#include "config.h"
#include "fuzz_input.h"

extern "C" {
#include <liboconfig/oconfig.h>
}

#include <cmath>
#include <list>
#include <optional>
#include <vector>

using namespace backlog;

namespace {

constexpr const char *option_names[] = {
    "Listener",     "IgnoreSelected", "ReportUnix",     "ReportSynQueue", "ReportOwner",
    "NetNamespace", "WarningPercent", "WarningMinimum", "StalledAfter",   "MissingAfter",
    "Notify",       "Watch",          "SamplerBudget",  "SampleInterval", "BurstInterval",
    "MaxListeners", "Events",         "TableFile",      "TableGroup",     "Values",
    "Name",         "Expected",       "ReportClients"};

/// regcomp() of glibc doubles what it needs with each repetition of a repetition: such a regex is
/// the operator's to avoid.
bool is_dear_regex(const std::string &text) {
  static constexpr std::string_view dear = "+*?(|";
  return text.starts_with('/') &&
         (text.find('{') != std::string::npos || text.find('\\') != std::string::npos ||
          std::count_if(text.begin(), text.end(),
                        [](char c) { return dear.find(c) != std::string_view::npos; }) > 4);
}

/// Owns what an oconfig_item_t points to.
struct Line {
  std::string key;
  std::list<std::string> texts;
  std::vector<oconfig_value_t> values;
  std::vector<oconfig_item_t> children;

  explicit Line(std::string_view written) {
    const auto letter = static_cast<std::size_t>(written.empty() ? '\xff' : written.front() - 'A');
    if (letter < std::size(option_names)) {
      key = option_names[letter];
      written.remove_prefix(1);
    } else {
      key = written.substr(0, written.find('\t'));
      written.remove_prefix(key.size());
      written.remove_prefix(written.empty() ? 0 : 1);
    }
    key.resize(key.find('\0') == std::string::npos ? key.size() : key.find('\0'));
    while (!written.empty()) {
      const std::string_view value = written.substr(0, written.find('\t'));
      written.remove_prefix(std::min(written.size(), value.size() + 1));
      add(std::string(value));
    }
  }
  void add(const std::string &text) {
    oconfig_value_t value{};
    char *end = nullptr;
    if (text.starts_with('"')) {
      texts.push_back(is_dear_regex(text.substr(1)) ? "/dear/" : text.substr(1));
      value.type = OCONFIG_TYPE_STRING;
      value.value.string = texts.back().data();
    } else if (const double number = std::strtod(text.c_str(), &end); end != text.c_str()) {
      value.type = OCONFIG_TYPE_NUMBER;
      value.value.number = number;
    } else {
      value.type = OCONFIG_TYPE_BOOLEAN;
      value.value.boolean = text == "true" ? 1 : 0;
    }
    values.push_back(value);
  }
  oconfig_item_t item() {
    oconfig_item_t item{};
    item.key = key.data();
    item.values = values.data();
    item.values_num = static_cast<int>(values.size());
    item.children = children.data();
    item.children_num = static_cast<int>(children.size());
    return item;
  }
};

template <class T> bool is_within(T value, double least, double most) {
  return static_cast<double>(value) >= least && static_cast<double>(value) <= most;
}

void check(const Config &config) {
  require(is_within(config.max_listeners, 0, 100000));
  require(is_within(config.sampler_budget_percent, 0.01, 100));
  require(is_within(config.sample_interval.count(), 0.001, 86400));
  require(is_within(config.burst_interval().count(), 0.001, 86400));
  require(config.burst_interval() <= config.sample_interval);
  require(is_within(config.warning_percent, 1, 100));
  require(is_within(config.warning_minimum, 0, 1000000));
  require(is_within(config.stalled_after.count(), 1, 86400));
  require(is_within(config.missing_after.count(), 1, 86400));
  require(config.table_file.empty() || config.table_file.starts_with('/'));
  const TcpAddress address{.bytes = {127, 0, 0, 1}, .port = 80};
  for (const ListenerView &listener :
       {ListenerView{.name = "tcp_127-0-0-1_80", .tcp = &address},
        ListenerView{.name = "tcp_any_80__netns_blue", .is_own = false},
        ListenerView{.name = "unix_run_a-sock", .address = "/run/a.sock"}}) {
    const WatchFacts facts = watch_facts(config, listener);
    require(is_within(facts.warning_percent, 1, 100));
    require(!facts.watched() || is_selected(config, listener, facts));
    for (const std::size_t watch : facts.watches)
      require(watch < config.watches.size());
  }
  (void)selects_net_namespace(config, "blue");
  require(!config.net_namespaces.empty() <= selects_net_namespaces(config));
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
  FuzzInput input(data, size);
  std::list<Line> lines;
  std::list<Line> below;
  std::vector<Line *> top;
  while (!input.empty()) {
    const std::string written = input.text('\n');
    if (written.starts_with('>') && !top.empty()) {
      below.emplace_back(std::string_view(written).substr(1));
      top.back()->children.push_back(below.back().item());
    } else {
      top.push_back(&lines.emplace_back(written));
    }
  }
  std::vector<oconfig_item_t> children;
  children.reserve(top.size());
  for (Line *line : top)
    children.push_back(line->item());
  oconfig_item_t block{};
  block.children = children.data();
  block.children_num = static_cast<int>(children.size());

  Config config;
  auto error = apply_config(block, config);
  if (!error)
    error = check_config(config);
  if (!error)
    check(config);
  else
    require(error->find("allowed is") != std::string::npos);
  return 0;
}
