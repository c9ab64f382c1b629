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

/// What is to be said once only. So many lines of one kind are said in a day: whoever can make them
/// come again and again neither fills the log with them nor silences those of another kind.
class NoticeLog {
public:
  using TimePoint = std::chrono::steady_clock::time_point;

  static constexpr std::size_t lines_a_day = 100; ///< of a kind

  /// The line to log; nullopt: it was said, or is one too many.
  std::optional<std::string> say(std::string_view kind, const std::string &text, TimePoint now);

private:
  struct Kind {
    std::set<std::string> said;
    std::deque<std::string> order; ///< the same, the oldest first
    TimePoint day_began;
    std::size_t lines = 0; ///< on that day
  };

  std::map<std::string, Kind, std::less<>> kinds_;
};

} // namespace backlog
