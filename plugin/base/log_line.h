#pragma once

#include <cstdint>
#include <string>

namespace backlog {

struct LogLine {
  enum class Level : std::uint8_t { notice, warning };

  Level level = Level::notice;
  std::string text;
};

} // namespace backlog
