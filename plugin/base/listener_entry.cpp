#include "listener_entry.h"

#include "listener_name.h"
#include "written_address.h"

#include <algorithm>
#include <utility>

namespace backlog {

namespace {

constexpr std::size_t sun_path_bytes = 108; // struct sockaddr_un

bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; });
}

bool is_in_alphabet(std::string_view text) {
  return text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_-") == std::string_view::npos;
}

bool begins_like_a_name(std::string_view text) {
  return text.starts_with("tcp_") || text.starts_with("tcp6_") || text.starts_with("unix_");
}

} // namespace

std::variant<ListenerEntry, std::string> ListenerEntry::parse(std::string text) {
  ListenerEntry entry(std::move(text));
  if (auto reason = entry.find_kind())
    return std::move(*reason);
  return entry;
}

std::optional<std::string> ListenerEntry::find_kind() {
  if (text_.empty())
    return "it is empty";
  if (NameFilter::is_regex(text_)) {
    kind_ = Kind::regex;
    const auto reason = regex_.add(text_);
    return reason ? std::optional("POSIX extended: " + *reason) : std::nullopt;
  }
  if (has_control(text_))
    return "it has a control character";
  if (text_.front() == '/' || text_.front() == '@') {
    kind_ = Kind::unix_address;
    if (text_.size() < 2 || text_.size() > sun_path_bytes || text_ == "//")
      return "the address of a Unix socket has 2 to " + std::to_string(sun_path_bytes) + " bytes";
    std::string address = text_;
    if (address.front() == '@')
      address.front() = '\0';
    names_ = {name_unix_listener(address, "").text};
    return std::nullopt;
  }
  if (const auto written = parse_written_address(text_)) {
    kind_ = Kind::tcp_address;
    names_ = written->names();
    only_ipv6_ = written->address.ipv6 && written->address.is_any();
    if (!names_.empty())
      return std::nullopt;
    return "*" + text_ + " is the wildcard address, /_" + text_.substr(1) + "$/ is any address";
  }
  if (!is_in_alphabet(text_))
    return "names have a-z, 0-9, _ and - only";
  if (text_.size() > listener_name_max_bytes)
    return "names have at most " + std::to_string(listener_name_max_bytes) + " bytes";
  if (is_reserved_name(text_))
    return "no listener has this name";
  if (is_listener_name(text_)) {
    names_ = {text_};
    return std::nullopt;
  }
  kind_ = Kind::given_name;
  return begins_like_a_name(text_) ? std::optional<std::string>("no listener can have this name")
                                   : std::nullopt;
}

bool ListenerEntry::is_unix() const {
  return kind_ == Kind::unix_address || (kind_ == Kind::name && text_.starts_with("unix_"));
}

bool ListenerEntry::matches(const ListenerView &listener) const {
  switch (kind_) {
  case Kind::name:
  case Kind::given_name:
    return text_ == listener.name || text_ == listener.given_name;
  case Kind::regex:
    return regex_.selects(listener.name) ||
           (!listener.given_name.empty() && regex_.selects(listener.given_name));
  case Kind::unix_address:
    return listener.is_own && text_ == listener.address;
  case Kind::tcp_address:
    return listener.is_own &&
           std::find(names_.begin(), names_.end(), listener.name) != names_.end() &&
           (!only_ipv6_ || listener.tcp == nullptr || listener.tcp->ipv6);
  }
  return false;
}

std::optional<std::string> ListenerFilter::add(const std::string &entry) {
  auto parsed = ListenerEntry::parse(entry);
  if (const std::string *reason = std::get_if<std::string>(&parsed))
    return *reason;
  entries_.push_back(std::get<ListenerEntry>(std::move(parsed)));
  return std::nullopt;
}

bool ListenerFilter::selects(const ListenerView &listener) const {
  return empty() || matches(listener) != ignore_selected_;
}

bool ListenerFilter::matches(const ListenerView &listener) const {
  return std::any_of(entries_.begin(), entries_.end(),
                     [&](const ListenerEntry &entry) { return entry.matches(listener); });
}

} // namespace backlog
