#pragma once

#include "config.h"

#include <string>
#include <variant>

extern "C" {
#include <liboconfig/oconfig.h>
}

/// A value in a line of collectd's configuration.
using Value = std::variant<double, bool, std::string>;

/// Texts are the value's own: it has to live on.
inline oconfig_value_t converted(Value &value) {
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
