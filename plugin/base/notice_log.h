#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

namespace backlog {

/// Messages that are logged once. Each kind has a daily limit, so that whoever can provoke one kind
/// again and again neither fills the log nor silences other kinds.
class NoticeLog {
public:
  using TimePoint = std::chrono::steady_clock::time_point;

  static constexpr std::size_t lines_a_day = 100; ///< per kind

  /// Returns the line to log; nullopt if it was logged before or the limit is reached.
  /// What an exception kept from being said is said the next time.
  std::optional<std::string> say(std::string_view kind, const std::string &text, TimePoint now);

private:
  struct Kind {
    std::set<std::string> said;
    std::deque<std::string> order; ///< the remembered texts, oldest first
    TimePoint day_began;
    std::size_t lines = 0; ///< logged on that day
  };

  std::map<std::string, Kind, std::less<>> kinds_;
};

} // namespace backlog
