#pragma once

#include "name_filter.h"

#include <cstdint>
#include <optional>
#include <string>

extern "C" {
#include <liboconfig/oconfig.h>
}

namespace backlog {

enum class ValueSet : std::uint8_t { basic, full };

/// What <Plugin backlog> says; the initial values are the defaults.
struct Config {
  NameFilter listeners;              ///< Listener, IgnoreSelected
  std::size_t max_listeners = 200;   ///< MaxListeners: series for at most so many
  ValueSet values = ValueSet::basic; ///< Values
};

/// Takes over one <Plugin backlog> block; several add up. The error names option, value and
/// what is allowed.
std::optional<std::string> apply_config(const oconfig_item_t &block, Config &config);

} // namespace backlog
