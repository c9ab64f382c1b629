#include "config.h"

#include "listener_name.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cmath>
#include <cstdio>
#include <grp.h>
#include <span>
#include <strings.h>
#include <type_traits>
#include <vector>

extern "C" {
#include <liboconfig/oconfig.h>
}

namespace backlog {

namespace {

using ConfigError = std::optional<std::string>;

constexpr std::size_t max_max_listeners = 100000;
constexpr double min_budget_percent = 0.01;
constexpr double max_budget_percent = 100;
constexpr Config::Seconds min_sample_interval{0.001};
constexpr Config::Seconds max_sample_interval{86400};
constexpr double min_warning_percent = 1;
constexpr double max_warning_percent = 100;
constexpr std::size_t max_warning_minimum = 1000000;
constexpr Config::Seconds min_patience{1};
constexpr Config::Seconds max_patience{86400};

std::span<const oconfig_value_t> values_of(const oconfig_item_t &item) {
  return {item.values, static_cast<std::size_t>(item.values_num)};
}

std::string number_text(double number) {
  std::array<char, 32> text{};
  (void)std::snprintf(text.data(), text.size(), "%.15g", number);
  return text.data();
}

/// collectd's log cuts a line at 1024 bytes, and the part that says what is allowed must fit.
constexpr std::size_t most_shown_bytes = 120;

std::string shown(const oconfig_value_t &value) {
  if (value.type == OCONFIG_TYPE_STRING) {
    const std::string_view text = value.value.string;
    const std::string end = text.size() > most_shown_bytes ? "...\"" : "\"";
    return "\"" + std::string(text.substr(0, most_shown_bytes)) + end;
  }
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

/// Returns the option's only value, or nullptr if it has another type or number of values.
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

/// The range includes both ends.
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

template <std::size_t max> ConfigError read_count(const oconfig_item_t &item, std::size_t &result) {
  const oconfig_value_t *value = single(item, OCONFIG_TYPE_NUMBER);
  const double number = value != nullptr ? value->value.number : -1;
  if (!(number >= 0 && number <= static_cast<double>(max)) || number != std::floor(number))
    return refusal(item, "a whole number from 0 to " + std::to_string(max));
  result = static_cast<std::size_t>(number);
  return std::nullopt;
}

ConfigError read_net_namespace(const oconfig_item_t &item, NameFilter &filter) {
  const std::string allowed = "one name of at most " + std::to_string(NAME_MAX) +
                              " bytes, or one regex between slashes, in quotes";
  const oconfig_value_t *value = single(item, OCONFIG_TYPE_STRING);
  const std::string_view name = value != nullptr ? value->value.string : "";
  if (name.empty() || (!NameFilter::is_regex(name) && name.size() > NAME_MAX))
    return refusal(item, allowed);
  if (const auto reason = filter.add(value->value.string))
    return refusal(item, allowed) + " (POSIX extended: " + *reason + ")";
  return std::nullopt;
}

ConfigError read_listener(const oconfig_item_t &item, ListenerFilter &filter) {
  const oconfig_value_t *value = single(item, OCONFIG_TYPE_STRING);
  if (value == nullptr)
    return refusal(item, ListenerEntry::allowed);
  if (const auto reason = filter.add(value->value.string))
    return refusal(item, ListenerEntry::allowed) + " (" + *reason + ")";
  return std::nullopt;
}

/// Reads how long a state must last, in seconds.
ConfigError read_patience(const oconfig_item_t &item, Config::Seconds &result) {
  double seconds = 0;
  ConfigError error =
      read_number(item, min_patience.count(), max_patience.count(), " seconds", seconds);
  result = Config::Seconds(seconds);
  return error;
}

ConfigError read_budget(const oconfig_item_t &item, double &result) {
  return read_number(item, min_budget_percent, max_budget_percent, " percent of one CPU", result);
}

ConfigError read_ignore_selected(const oconfig_item_t &item, ListenerFilter &filter) {
  bool ignore = false;
  ConfigError error = read_boolean(item, ignore);
  filter.ignore_selected(ignore);
  return error;
}

ConfigError read_warning_percent(const oconfig_item_t &item, double &result) {
  return read_number(item, min_warning_percent, max_warning_percent, "", result);
}

bool *member_of(NotifyStates &notify, const oconfig_value_t &state) {
  struct State {
    std::string_view name;
    bool NotifyStates::*member;
  };
  constexpr std::array states{
      State{"high", &NotifyStates::high}, State{"overflow", &NotifyStates::overflow},
      State{"stalled", &NotifyStates::stalled}, State{"missing", &NotifyStates::missing}};
  for (const State &known : states)
    if (state.type == OCONFIG_TYPE_STRING && state.value.string == known.name)
      return &(notify.*known.member);
  return nullptr;
}

ConfigError read_notify(const oconfig_item_t &item, NotifyStates &notify) {
  const std::string allowed = "none, or one or more of high, overflow, stalled, missing";
  NotifyStates chosen{.high = false, .overflow = false, .stalled = false, .missing = false};
  const oconfig_value_t *only = single(item, OCONFIG_TYPE_STRING);
  if (only == nullptr || std::string_view(only->value.string) != "none") {
    if (item.values_num == 0 || item.children_num != 0)
      return refusal(item, allowed);
    for (const oconfig_value_t &value : values_of(item)) {
      bool *member = member_of(chosen, value);
      if (member == nullptr)
        return refusal(item, allowed);
      *member = true;
    }
  }
  notify = chosen;
  return std::nullopt;
}

ConfigError read_shown_name(const oconfig_item_t &item, std::string &result) {
  const oconfig_value_t *value = single(item, OCONFIG_TYPE_STRING);
  const std::string_view name = value != nullptr ? std::string_view(value->value.string) : "";
  if (name.empty() || name.size() > listener_name_max_bytes || is_reserved_name(name) ||
      name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_-") != std::string_view::npos)
    return refusal(item,
                   "a name of at most " + std::to_string(listener_name_max_bytes) +
                       " bytes of a-z, 0-9, _ and -, other than host, kernel, kernel_netns_..., "
                       "sampler, tcp_unstable and unix_unstable");
  result = name;
  return std::nullopt;
}

ConfigError read_table_file(const oconfig_item_t &item, Config &config) {
  const oconfig_value_t *value = single(item, OCONFIG_TYPE_STRING);
  const std::string path = value != nullptr ? value->value.string : "-";
  if (!path.empty() && (path.front() != '/' || path.back() == '/' || path.size() >= PATH_MAX))
    return refusal(item, "the absolute path of a file, less than " + std::to_string(PATH_MAX) +
                             " bytes, or \"\" for none");
  config.table_file = path;
  config.table_file_given = true;
  return std::nullopt;
}

ConfigError read_table_group(const oconfig_item_t &item, Config &config) {
  const oconfig_value_t *value = single(item, OCONFIG_TYPE_STRING);
  const std::string name = value != nullptr ? value->value.string : "";
  config.table_group = name.empty() ? std::nullopt : find_group(name);
  config.table_group_given = true;
  if (value == nullptr || (!name.empty() && !config.table_group))
    return refusal(item, "the name of a group of this system, or \"\" for collectd's own");
  return std::nullopt;
}

ConfigError read_events(const oconfig_item_t &item, EventUse &events) {
  const oconfig_value_t *value = single(item, OCONFIG_TYPE_STRING);
  // collectd parses off without quotes as a boolean.
  const oconfig_value_t *boolean = single(item, OCONFIG_TYPE_BOOLEAN);
  if (value != nullptr && strcasecmp(value->value.string, "auto") == 0)
    events = EventUse::automatic;
  else if ((value != nullptr && strcasecmp(value->value.string, "off") == 0) ||
           (boolean != nullptr && boolean->value.boolean == 0))
    events = EventUse::off;
  else
    return refusal(item, "auto or off");
  return std::nullopt;
}

ConfigError read_clients(const oconfig_item_t &item, ClientReport &report) {
  const oconfig_value_t *text = single(item, OCONFIG_TYPE_STRING);
  const oconfig_value_t *boolean = single(item, OCONFIG_TYPE_BOOLEAN);
  if (boolean != nullptr)
    report = boolean->value.boolean != 0 ? ClientReport::owners : ClientReport::off;
  else if (text != nullptr && strcasecmp(text->value.string, "all") == 0)
    report = ClientReport::addresses;
  else
    return refusal(item, "true, all or false");
  return std::nullopt;
}

ConfigError read_values(const oconfig_item_t &item, ValueSet &values) {
  const oconfig_value_t *value = single(item, OCONFIG_TYPE_STRING);
  if (value != nullptr && strcasecmp(value->value.string, "basic") == 0)
    values = ValueSet::basic;
  else if (value != nullptr && strcasecmp(value->value.string, "full") == 0)
    values = ValueSet::full;
  else
    return refusal(item, "basic or full");
  return std::nullopt;
}

template <class Target> struct Option {
  const char *name;
  ConfigError (*take)(const oconfig_item_t &item, Target &target);
};

/// Reads an option's value into its member, and gives an optional member a value first.
template <auto read, auto member, class Target>
ConfigError into(const oconfig_item_t &item, Target &target) {
  if constexpr (std::is_invocable_v<decltype(read), const oconfig_item_t &,
                                    decltype(target.*member)>)
    return read(item, target.*member);
  else
    return read(item, (target.*member).emplace());
}

/// Reads each option of a block with the reader listed under its name.
template <class Target, std::size_t count>
ConfigError take_options(const std::array<Option<Target>, count> &options,
                         const oconfig_item_t &block, Target &target) {
  std::string known;
  for (const Option<Target> &option : options)
    known += (known.empty() ? "" : ", ") + std::string(option.name);
  for (const oconfig_item_t &item :
       std::span(block.children, static_cast<std::size_t>(block.children_num))) {
    const auto option = std::find_if(options.begin(), options.end(), [&](const auto &candidate) {
      return strcasecmp(item.key, candidate.name) == 0;
    });
    if (option == options.end())
      return "option " + std::string(item.key) + " (" + shown(item) +
             ") is unknown; allowed is one of " + known;
    if (ConfigError error = option->take(item, target))
      return error;
  }
  return std::nullopt;
}

using WatchOption = Option<Watch>;
constexpr std::array watch_options{
    WatchOption{"Name", into<read_shown_name, &Watch::name>},
    WatchOption{"WarningPercent", into<read_warning_percent, &Watch::warning_percent>},
    WatchOption{"Expected", into<read_boolean, &Watch::expected>},
};

ConfigError read_watch(const oconfig_item_t &item, std::vector<Watch> &watches) {
  const auto values = values_of(item);
  if (values.size() != 1 || values.front().type != OCONFIG_TYPE_STRING)
    return refusal(item, ListenerEntry::allowed);
  auto parsed = ListenerEntry::parse(values.front().value.string);
  if (const std::string *reason = std::get_if<std::string>(&parsed))
    return refusal(item, ListenerEntry::allowed) + " (" + *reason + ")";
  Watch watch{std::get<ListenerEntry>(std::move(parsed)), {}, {}, {}};
  if (ConfigError error = take_options(watch_options, item, watch))
    return "in <Watch \"" + watch.entry.text() + "\">: " + *error;
  watches.push_back(std::move(watch));
  return std::nullopt;
}

using PluginOption = Option<Config>;

constexpr std::array plugin_options{
    PluginOption{"Listener", into<read_listener, &Config::listeners>},
    PluginOption{"IgnoreSelected", into<read_ignore_selected, &Config::listeners>},
    PluginOption{"ReportUnix", into<read_boolean, &Config::report_unix>},
    PluginOption{"ReportSynQueue", into<read_boolean, &Config::report_syn_queue>},
    PluginOption{"ReportOwner", into<read_boolean, &Config::report_owner>},
    PluginOption{"ReportClients", into<read_clients, &Config::report_clients>},
    PluginOption{"NetNamespace", into<read_net_namespace, &Config::net_namespaces>},
    PluginOption{"WarningPercent", into<read_warning_percent, &Config::warning_percent>},
    PluginOption{"WarningMinimum", into<read_count<max_warning_minimum>, &Config::warning_minimum>},
    PluginOption{"StalledAfter", into<read_patience, &Config::stalled_after>},
    PluginOption{"MissingAfter", into<read_patience, &Config::missing_after>},
    PluginOption{"Notify", into<read_notify, &Config::notify>},
    PluginOption{"Watch", into<read_watch, &Config::watches>},
    PluginOption{"SamplerBudget", into<read_budget, &Config::sampler_budget_percent>},
    PluginOption{"SampleInterval", into<read_seconds, &Config::sample_interval>},
    PluginOption{"BurstInterval", into<read_seconds, &Config::configured_burst_interval>},
    PluginOption{"MaxListeners", into<read_count<max_max_listeners>, &Config::max_listeners>},
    PluginOption{"Events", into<read_events, &Config::events>},
    PluginOption{"TableFile", read_table_file},
    PluginOption{"TableGroup", read_table_group},
    PluginOption{"Values", into<read_values, &Config::values>},
};

bool is_given(const Config &config, const std::string &name) {
  return std::any_of(config.watches.begin(), config.watches.end(),
                     [&](const Watch &watch) { return watch.name == name; });
}

std::string not_given(const char *option, const ListenerEntry &entry) {
  return "option " + std::string(option) + ": \"" + entry.text() +
         "\" is not allowed; allowed is " + ListenerEntry::allowed +
         " (no <Watch> gives this name)";
}

/// Refuses names that no Watch block gives.
ConfigError check_given_names(const Config &config) {
  for (const ListenerEntry &entry : config.listeners.entries())
    if (entry.is_given_name() && !is_given(config, entry.text()))
      return not_given("Listener", entry);
  for (const Watch &watch : config.watches)
    if (watch.entry.is_given_name() && !is_given(config, watch.entry.text()))
      return not_given("Watch", watch.entry);
  return std::nullopt;
}

/// Whether one listener can match both entries.
bool can_meet(const ListenerEntry &one, const ListenerEntry &other) {
  const auto &names = one.names();
  const auto &others = other.names();
  return names.empty() || others.empty() ||
         std::find_first_of(names.begin(), names.end(), others.begin(), others.end()) !=
             names.end();
}

/// Refuses a Name that the configuration would give to two listeners.
ConfigError check_shown_name(const Config &config, const Watch &watch) {
  const std::string where = "in <Watch \"" + watch.entry.text() + "\">: option Name: \"" +
                            *watch.name + "\" is not allowed; allowed is a name ";
  const auto &own = watch.entry.names();
  const bool is_own = std::find(own.begin(), own.end(), *watch.name) != own.end();
  if (!is_own && is_listener_name(*watch.name) && !watch.name->starts_with("unix_"))
    return where + "that no other listener has by its address";
  for (const Watch &other : config.watches) {
    if (!is_own && !other.entry.is_given_name() && other.entry.text() == *watch.name)
      return where + "that is not the one of another <Watch>";
    if (other.name == watch.name && !can_meet(watch.entry, other.entry))
      return where + "that <Watch \"" + other.entry.text() + "\"> does not give";
  }
  return std::nullopt;
}

ConfigError check_names(const Config &config) {
  for (const Watch &watch : config.watches)
    if (watch.name)
      if (ConfigError error = check_shown_name(config, watch))
        return error;
  return check_given_names(config);
}

} // namespace

WatchFacts watch_facts(const Config &config, ListenerView listener) {
  WatchFacts facts;
  listener.given_name = "";
  for (bool has_new_name = true; has_new_name;) {
    has_new_name = false;
    for (std::size_t i = 0; i < config.watches.size(); ++i) {
      const Watch &watch = config.watches[i];
      if (std::find(facts.watches.begin(), facts.watches.end(), i) != facts.watches.end() ||
          !watch.entry.matches(listener))
        continue;
      facts.watches.push_back(i);
      if (watch.name) {
        listener.given_name = *watch.name;
        has_new_name = true;
      }
    }
  }
  std::sort(facts.watches.begin(), facts.watches.end());
  facts.warning_percent = config.warning_percent;
  for (const std::size_t i : facts.watches) {
    const Watch &watch = config.watches[i];
    facts.name = watch.name ? watch.name : facts.name;
    facts.warning_percent = watch.warning_percent.value_or(facts.warning_percent);
    facts.expected = watch.expected.value_or(facts.expected);
  }
  return facts;
}

bool is_selected(const Config &config, const ListenerView &listener, const WatchFacts &facts) {
  return facts.watched() || config.listeners.selects(listener);
}

bool selects_net_namespaces(const Config &config) {
  return !config.net_namespaces.empty() ||
         std::any_of(config.watches.begin(), config.watches.end(), [](const Watch &watch) {
           return !watch.entry.is_regex() &&
                  watch.entry.text().find(namespace_separator) != std::string::npos;
         });
}

bool selects_net_namespace(const Config &config, const std::string &name) {
  if (!config.net_namespaces.empty() && config.net_namespaces.selects(name))
    return true;
  const std::string end = std::string(namespace_separator) + net_namespace_part(name);
  return std::any_of(config.watches.begin(), config.watches.end(), [&](const Watch &watch) {
    return !watch.entry.is_regex() && watch.entry.text().ends_with(end);
  });
}

std::optional<gid_t> find_group(const std::string &name) {
  std::vector<char> buffer(16384);
  group entry{};
  group *found = nullptr;
  while (::getgrnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found) == ERANGE)
    buffer.resize(2 * buffer.size());
  return found == nullptr ? std::nullopt : std::optional(found->gr_gid);
}

std::optional<gid_t> table_group(const Config &config) {
  return config.table_group_given ? config.table_group : find_group(default_table_group);
}

std::optional<std::string> apply_config(const oconfig_item_t &block, Config &config) {
  if (ConfigError error = take_options(plugin_options, block, config))
    return error;
  return check_names(config);
}

std::optional<std::string> check_config(const Config &config) {
  for (const Watch &watch : config.watches)
    if (!config.report_unix && watch.entry.is_unix())
      return "option Watch: \"" + watch.entry.text() +
             "\" is not allowed; allowed is a Unix listener with ReportUnix true only";
  if (config.burst_interval() <= config.sample_interval)
    return std::nullopt;
  return "option BurstInterval: " + number_text(config.burst_interval().count()) +
         " is not allowed; allowed is at most SampleInterval, which is " +
         number_text(config.sample_interval.count()) + " seconds";
}

bool NotifyStates::contains(layout::State state) const {
  switch (state) {
  case layout::State::high:
    return high;
  case layout::State::overflow:
    return overflow;
  case layout::State::stalled:
    return stalled;
  case layout::State::missing:
    return missing;
  case layout::State::ok:
    break;
  }
  return false;
}

} // namespace backlog
