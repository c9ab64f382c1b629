#pragma once

#include "config.h"
#include "test_program.h"

#include <optional>
#include <string>
#include <variant>

/// A <Watch> block.
struct WatchSettings {
  std::string entry;
  std::string name{}; ///< "": none
  std::optional<bool> expected{};
};

inline backlog::Watch make_watch(const WatchSettings &settings) {
  auto parsed = backlog::ListenerEntry::parse(settings.entry);
  ck_assert_msg(std::holds_alternative<backlog::ListenerEntry>(parsed), "%s",
                settings.entry.c_str());
  backlog::Watch watch{std::get<backlog::ListenerEntry>(std::move(parsed)), {}, {}, {}};
  if (!settings.name.empty())
    watch.name = settings.name;
  watch.expected = settings.expected;
  return watch;
}
