#include "notice_log.h"

namespace backlog {

namespace {
constexpr std::chrono::hours day{24};
constexpr std::size_t most_remembered = 1000; // per kind
} // namespace

std::optional<std::string> NoticeLog::say(std::string_view kind, const std::string &text,
                                          TimePoint now) {
  Kind &notices = kinds_.try_emplace(std::string(kind)).first->second;
  if (notices.lines == 0 || now - notices.day_began >= day) {
    notices.day_began = now;
    notices.lines = 0;
  }
  if (notices.lines >= lines_a_day || notices.said.contains(text))
    return std::nullopt;
  const bool is_last = notices.lines + 1 == lines_a_day;
  std::string line = is_last ? text + " (and no more of this kind for a day)" : text;
  notices.order.push_back(text);
  notices.said.insert(text);
  if (notices.order.size() > most_remembered) {
    notices.said.erase(notices.order.front());
    notices.order.pop_front();
  }
  ++notices.lines;
  return line;
}

} // namespace backlog
