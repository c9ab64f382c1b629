#pragma once

#include "listener_address.h"
#include "name_filter.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace backlog {

/// What an entry of the configuration looks at of a listener.
struct ListenerView {
  std::string_view name;           ///< by its address
  std::string_view address{};      ///< of a Unix listener, @ for a NUL; "": of TCP, or unknown
  const TcpAddress *tcp = nullptr; ///< nullptr: a Unix listener, or unknown
  bool is_own = true;              ///< in collectd's own net namespace
  std::string_view given_name{};   ///< by a <Watch>; "": none
};

/// An entry of Listener or <Watch>: a name, a /regex/ over names, or, in collectd's own net
/// namespace, the path of a Unix socket, @ and an abstract name, or a TCP address as people write
/// it. It is refused where no listener can be meant.
class ListenerEntry {
public:
  /// What can be in the place of TEXT in `TEXT, in quotes`.
  static constexpr const char *allowed =
      "one name of a listener (tcp_any_80), /regex/ over names, Unix path, @ and an abstract name, "
      "or address (127.0.0.1:8001, *:443, [::1]:9000), in quotes";

  /// The entry, or the reason why it is refused.
  static std::variant<ListenerEntry, std::string> parse(std::string text);

  bool matches(const ListenerView &listener) const;

  const std::string &text() const { return text_; }
  bool is_regex() const { return kind_ == Kind::regex; }
  /// A name that no address gives: a <Watch> has to give it.
  bool is_given_name() const { return kind_ == Kind::given_name; }
  bool is_unix() const;
  bool is_path() const { return kind_ == Kind::unix_address && text_.front() == '/'; }
  /// The names that the listener can have by its address; none of a regex or of a given name.
  const std::vector<std::string> &names() const { return names_; }

private:
  enum class Kind : std::uint8_t { name, given_name, regex, unix_address, tcp_address };

  explicit ListenerEntry(std::string text) : text_(std::move(text)) {}
  /// The reason why it is refused.
  std::optional<std::string> find_kind();

  Kind kind_ = Kind::name;
  std::string text_;
  std::vector<std::string> names_;
  bool only_ipv6_ = false; ///< [::]: not the listener of 0.0.0.0, which can have the same name
  NameFilter regex_;
};

/// The Listener entries, by collectd's ignorelist semantics (collectd.conf(5), IGNORELISTS).
class ListenerFilter {
public:
  /// The reason why the entry is refused.
  std::optional<std::string> add(const std::string &entry);
  void ignore_selected(bool ignore) { ignore_selected_ = ignore; }

  const std::vector<ListenerEntry> &entries() const { return entries_; }
  bool empty() const { return entries_.empty(); }

  /// Whether the listener is to be reported.
  bool selects(const ListenerView &listener) const;
  /// Whether an entry asks for just this listener.
  bool names(const ListenerView &listener) const { return !ignore_selected_ && matches(listener); }

private:
  bool matches(const ListenerView &listener) const;

  std::vector<ListenerEntry> entries_;
  bool ignore_selected_ = false;
};

} // namespace backlog
