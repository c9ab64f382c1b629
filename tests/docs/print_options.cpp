#include "config.h"
#include "config_value.h"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

// Prints the options of <Plugin backlog> and of <Watch> as the code has them, a line each:
// block, option, default, what is allowed; with tabs between. The options are those that
// the code itself names when it meets one that it does not know.

namespace {

using namespace backlog;

std::string number_text(double number) {
  std::array<char, 32> text{};
  (void)std::snprintf(text.data(), text.size(), "%.15g", number);
  return text.data();
}

std::string boolean_text(bool value) { return value ? "true" : "false"; }

template <class Filter> std::string filter_text(const Filter &filter) {
  return filter.empty() ? "none" : "something";
}

std::string notify_text(const NotifyStates &notify) {
  std::string text;
  for (const auto &[name, chosen] :
       {std::pair{"high", notify.high}, std::pair{"overflow", notify.overflow},
        std::pair{"stalled", notify.stalled}, std::pair{"missing", notify.missing}})
    if (chosen)
      text += (text.empty() ? "" : " ") + std::string(name);
  return text.empty() ? "none" : text;
}

struct Option {
  std::string_view name;
  std::string (*shown)(Config &config); ///< the configuration is for this option alone
  Value other;                          ///< anything but the default
};

const std::vector<Option> &plugin_options() {
  static const std::vector<Option> options{
      {"Listener", [](Config &c) { return filter_text(c.listeners); }, "tcp_any_1"},
      {"IgnoreSelected",
       [](Config &c) {
         (void)c.listeners.add("tcp_any_1");
         return boolean_text(!c.listeners.selects({.name = "tcp_any_1"}));
       },
       true},
      {"ReportUnix", [](Config &c) { return boolean_text(c.report_unix); }, false},
      {"ReportSynQueue", [](Config &c) { return boolean_text(c.report_syn_queue); }, false},
      {"ReportOwner", [](Config &c) { return boolean_text(c.report_owner); }, false},
      {"ReportClients",
       [](Config &c) {
         return std::string(c.report_clients == ClientReport::owners      ? "true"
                            : c.report_clients == ClientReport::addresses ? "all"
                                                                          : "false");
       },
       "all"},
      {"NetNamespace", [](Config &c) { return filter_text(c.net_namespaces); }, "tcp_any_1"},
      {"WarningPercent", [](Config &c) { return number_text(c.warning_percent); }, 7.0},
      {"WarningMinimum",
       [](Config &c) { return number_text(static_cast<double>(c.warning_minimum)); }, 7.0},
      {"StalledAfter", [](Config &c) { return number_text(c.stalled_after.count()); }, 7.0},
      {"MissingAfter", [](Config &c) { return number_text(c.missing_after.count()); }, 7.0},
      {"Notify", [](Config &c) { return notify_text(c.notify); }, "high"},
      {"Watch", [](Config &c) { return std::string(c.watches.empty() ? "none" : "something"); },
       "tcp_any_1"},
      {"SamplerBudget", [](Config &c) { return number_text(c.sampler_budget_percent); }, 7.0},
      {"SampleInterval", [](Config &c) { return number_text(c.sample_interval.count()); }, 7.0},
      {"BurstInterval", [](Config &c) { return number_text(c.burst_interval().count()); }, 0.007},
      {"MaxListeners", [](Config &c) { return number_text(static_cast<double>(c.max_listeners)); },
       7.0},
      {"Events", [](Config &c) { return std::string(c.events == EventUse::off ? "off" : "auto"); },
       "off"},
      {"TableFile", [](Config &c) { return c.table_file; }, "/table"},
      {"TableGroup",
       [](Config &c) {
         const std::string given = c.table_group ? "something" : "";
         return c.table_group_given ? given : default_table_group;
       },
       "root"},
      {"Values",
       [](Config &c) { return std::string(c.values == ValueSet::basic ? "basic" : "full"); },
       "full"},
  };
  return options;
}

/// The settings of a listener that the block matches.
const std::vector<Option> &watch_options() {
  static const std::vector<Option> options{
      {"Name",
       [](Config &c) { return watch_facts(c, {.name = "tcp_any_1"}).name.value_or("none"); },
       "shown"},
      {"WarningPercent",
       [](Config &c) {
         const double percent = watch_facts(c, {.name = "tcp_any_1"}).warning_percent;
         return percent == c.warning_percent ? "none" : number_text(percent);
       },
       7.0},
      {"Expected",
       [](Config &c) { return boolean_text(watch_facts(c, {.name = "tcp_any_1"}).expected); },
       true},
  };
  return options;
}

/// One line in <Plugin backlog>, or in a <Watch> block there.
struct Line {
  std::string_view block;
  std::string key;
  std::optional<Value> value;
  bool has_children = false;
};

std::optional<std::string> apply(Line line, Config &config) {
  oconfig_item_t nothing{};
  std::string nothing_key = "Nothing";
  nothing.key = nothing_key.data();
  oconfig_item_t item{};
  oconfig_value_t value{};
  item.key = line.key.data();
  if (line.value) {
    value = converted(*line.value);
    item.values = &value;
    item.values_num = 1;
  }
  if (line.has_children) {
    item.children = &nothing;
    item.children_num = 1;
  }
  oconfig_item_t plugin{};
  plugin.children = &item;
  plugin.children_num = 1;
  if (line.block == "Plugin")
    return apply_config(plugin, config);

  std::string watch_key = "Watch";
  Value watched = "tcp_any_1";
  oconfig_value_t watched_value = converted(watched);
  oconfig_item_t watch{};
  watch.key = watch_key.data();
  watch.values = &watched_value;
  watch.values_num = 1;
  watch.children = &item;
  watch.children_num = 1;
  plugin.children = &watch;
  return apply_config(plugin, config);
}

/// The text after those words in the refusal of the line.
std::string refused(const Line &line, const std::string &words) {
  Config config;
  const std::string error = apply(line, config).value_or("");
  const std::size_t at = error.find(words);
  if (at == std::string::npos)
    throw std::runtime_error(line.key + " is not refused with \"" + words + "\"");
  return error.substr(at + words.size());
}

/// The text of each option, in a configuration of that line alone.
std::map<std::string_view, std::string> shown(const std::vector<Option> &options,
                                              const std::optional<Line> &line) {
  std::map<std::string_view, std::string> texts;
  for (const Option &option : options) {
    Config config;
    if (const auto error = line ? apply(*line, config) : std::nullopt)
      throw std::runtime_error(*error);
    texts[option.name] = option.shown(config);
  }
  return texts;
}

/// The options that this program shows are those that the code has, and each one's text is moved
/// by that option alone.
void check(std::string_view block, const std::vector<Option> &options) {
  std::string names;
  for (const Option &option : options)
    names += (names.empty() ? "" : ", ") + std::string(option.name);
  if (const std::string known = refused({block, "Nonsense", {}}, "allowed is one of ");
      known != names)
    throw std::runtime_error("the code knows " + known + "; here are " + names);

  const auto defaults = shown(options, std::nullopt);
  for (const Option &option : options) {
    for (const auto &[name, text] :
         shown(options, Line{block, std::string(option.name), option.other}))
      if ((text != defaults.at(name)) != (name == option.name))
        throw std::runtime_error(std::string(option.name) + " sets " + std::string(name) + " to " +
                                 text);
  }
}

void print(std::string_view block, const std::vector<Option> &options) {
  check(block, options);
  for (const auto &[name, text] : shown(options, std::nullopt)) {
    const std::string allowed = refused({block, std::string(name), {}, true}, "allowed is ");
    (void)std::printf("%s\t%s\t%s\t%s\n", std::string(block).c_str(), std::string(name).c_str(),
                      text.c_str(), allowed.c_str());
  }
}

} // namespace

int main() {
  try {
    print("Plugin", plugin_options());
    print("Watch", watch_options());
    return EXIT_SUCCESS;
  } catch (const std::exception &exception) {
    (void)std::fprintf(stderr, "%s\n", exception.what());
    return EXIT_FAILURE;
  }
}
