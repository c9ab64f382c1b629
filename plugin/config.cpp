#include "config.h"

#include "table_file.h"

#include <array>
#include <cmath>
#include <cstdio>
#include <span>
#include <strings.h>

namespace backlog {

namespace {

using ConfigError = std::optional<std::string>;

constexpr std::size_t max_max_listeners = 100000;
constexpr double min_budget_percent = 0.01;
constexpr double max_budget_percent = 100;
constexpr Config::Seconds min_sample_interval{0.001};
constexpr Config::Seconds max_sample_interval{86400};

std::span<const oconfig_value_t> values_of(const oconfig_item_t &item) {
  return {item.values, static_cast<std::size_t>(item.values_num)};
}

std::string number_text(double number) {
  std::array<char, 32> text{};
  (void)std::snprintf(text.data(), text.size(), "%.15g", number);
  return text.data();
}

std::string shown(const oconfig_value_t &value) {
  if (value.type == OCONFIG_TYPE_STRING)
    return std::string("\"") + value.value.string + "\"";
  if (value.type == OCONFIG_TYPE_BOOLEAN)
    return value.value.boolean != 0 ? "true" : "false";
  return number_text(value.value.number);
}

std::string shown(const oconfig_item_t &item) {
  std::string text;
  for (const oconfig_value_t &value : values_of(item))
    text += (text.empty() ? "" : " ") + shown(value);
  if (item.children_num > 0)
    text += text.empty() ? "a block" : " and a block";
  return text.empty() ? "nothing" : text;
}

std::string refusal(const oconfig_item_t &item, const std::string &allowed) {
  return "option " + std::string(item.key) + ": " + shown(item) + " is not allowed; allowed is " +
         allowed;
}

/// The only value of the option, if it is of that type.
const oconfig_value_t *single(const oconfig_item_t &item, int type) {
  const auto values = values_of(item);
  if (values.size() != 1 || item.children_num != 0 || values.front().type != type)
    return nullptr;
  return &values.front();
}

ConfigError read_boolean(const oconfig_item_t &item, bool &result) {
  const oconfig_value_t *value = single(item, OCONFIG_TYPE_BOOLEAN);
  if (value == nullptr)
    return refusal(item, "true or false");
  result = value->value.boolean != 0;
  return std::nullopt;
}

/// Both ends of the range are allowed.
ConfigError read_number(const oconfig_item_t &item, double min, double max, const char *unit,
                        double &result) {
  const oconfig_value_t *value = single(item, OCONFIG_TYPE_NUMBER);
  if (value == nullptr || !(value->value.number >= min && value->value.number <= max))
    return refusal(item, "a number from " + number_text(min) + " to " + number_text(max) + unit);
  result = value->value.number;
  return std::nullopt;
}

ConfigError read_seconds(const oconfig_item_t &item, Config::Seconds &result) {
  double seconds = 0;
  ConfigError error = read_number(item, min_sample_interval.count(), max_sample_interval.count(),
                                  " seconds", seconds);
  result = Config::Seconds(seconds);
  return error;
}

ConfigError read_count(const oconfig_item_t &item, std::size_t max, std::size_t &result) {
  const oconfig_value_t *value = single(item, OCONFIG_TYPE_NUMBER);
  const double number = value != nullptr ? value->value.number : -1;
  if (!(number >= 0 && number <= static_cast<double>(max)) || number != std::floor(number))
    return refusal(item, "a whole number from 0 to " + std::to_string(max));
  result = static_cast<std::size_t>(number);
  return std::nullopt;
}

ConfigError read_name_filter(const oconfig_item_t &item, NameFilter &filter) {
  const std::string allowed = "one name, or one regex between slashes, in quotes";
  const oconfig_value_t *value = single(item, OCONFIG_TYPE_STRING);
  if (value == nullptr || *value->value.string == '\0')
    return refusal(item, allowed);
  if (const auto reason = filter.add(value->value.string))
    return refusal(item, allowed) + " (POSIX extended: " + *reason + ")";
  return std::nullopt;
}

ConfigError read_table_file(const oconfig_item_t &item, Config &config) {
  const oconfig_value_t *value = single(item, OCONFIG_TYPE_STRING);
  const std::string path = value != nullptr ? value->value.string : "-";
  if (!path.empty() && (path.front() != '/' || path.back() == '/'))
    return refusal(item, "the absolute path of a file, or \"\" for none");
  config.table_file = path;
  config.table_file_given = true;
  return std::nullopt;
}

ConfigError read_table_group(const oconfig_item_t &item, std::optional<gid_t> &group) {
  const oconfig_value_t *value = single(item, OCONFIG_TYPE_STRING);
  if (value == nullptr)
    return refusal(item, "the name of a group, or \"\" for collectd's own");
  const std::string name = value->value.string;
  group = name.empty() ? std::nullopt : find_group(name);
  if (!name.empty() && !group)
    return refusal(item, "the name of a group of this system, or \"\" for collectd's own");
  return std::nullopt;
}

struct Option {
  const char *name;
  ConfigError (*take)(const oconfig_item_t &item, Config &config);
};

constexpr std::array options{
    Option{"Listener", [](const oconfig_item_t &item,
                          Config &config) { return read_name_filter(item, config.listeners); }},
    Option{"IgnoreSelected",
           [](const oconfig_item_t &item, Config &config) {
             bool ignore = false;
             ConfigError error = read_boolean(item, ignore);
             config.listeners.ignore_selected(ignore);
             return error;
           }},
    Option{"ReportUnix", [](const oconfig_item_t &item,
                            Config &config) { return read_boolean(item, config.report_unix); }},
    Option{"ReportSynQueue",
           [](const oconfig_item_t &item, Config &config) {
             return read_boolean(item, config.report_syn_queue);
           }},
    Option{"SamplerBudget",
           [](const oconfig_item_t &item, Config &config) {
             return read_number(item, min_budget_percent, max_budget_percent, " percent of one CPU",
                                config.sampler_budget_percent);
           }},
    Option{"SampleInterval",
           [](const oconfig_item_t &item, Config &config) {
             return read_seconds(item, config.sample_interval);
           }},
    Option{"BurstInterval",
           [](const oconfig_item_t &item, Config &config) {
             return read_seconds(item, config.configured_burst_interval.emplace());
           }},
    Option{"MaxListeners",
           [](const oconfig_item_t &item, Config &config) {
             return read_count(item, max_max_listeners, config.max_listeners);
           }},
    Option{"TableFile", read_table_file},
    Option{"TableGroup", [](const oconfig_item_t &item,
                            Config &config) { return read_table_group(item, config.table_group); }},
    Option{"Values",
           [](const oconfig_item_t &item, Config &config) -> ConfigError {
             const oconfig_value_t *value = single(item, OCONFIG_TYPE_STRING);
             if (value != nullptr && strcasecmp(value->value.string, "basic") == 0)
               config.values = ValueSet::basic;
             else if (value != nullptr && strcasecmp(value->value.string, "full") == 0)
               config.values = ValueSet::full;
             else
               return refusal(item, "basic or full");
             return std::nullopt;
           }},
};

ConfigError take_option(const oconfig_item_t &item, Config &config) {
  std::string known;
  for (const Option &option : options) {
    if (strcasecmp(item.key, option.name) == 0)
      return option.take(item, config);
    known += (known.empty() ? "" : ", ") + std::string(option.name);
  }
  return "option " + std::string(item.key) + " (" + shown(item) +
         ") is unknown; allowed is one of " + known;
}

ConfigError check_intervals(const Config &config) {
  if (config.burst_interval() <= config.sample_interval)
    return std::nullopt;
  return "option BurstInterval: " + number_text(config.burst_interval().count()) +
         " is not allowed; allowed is at most SampleInterval, which is " +
         number_text(config.sample_interval.count()) + " seconds";
}

} // namespace

std::optional<std::string> apply_config(const oconfig_item_t &block, Config &config) {
  const std::span children(block.children, static_cast<std::size_t>(block.children_num));
  for (const oconfig_item_t &item : children)
    if (ConfigError error = take_option(item, config))
      return error;
  return check_intervals(config);
}

} // namespace backlog
