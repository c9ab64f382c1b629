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

/// A listener's properties that a configuration entry can match.
struct ListenerView {
  std::string_view name;           ///< made from its address
  std::string_view address{};      ///< Unix address with @ for NUL; "" for TCP or if unknown
  const TcpAddress *tcp = nullptr; ///< nullptr for a Unix listener or if unknown
  bool is_own = true;              ///< in collectd's own net namespace
  std::string_view given_name{};   ///< Name from a <Watch> block; "" for none
};

/// An entry of Listener or <Watch>: a listener's name or a /regex/ over names; in collectd's own
/// net namespace also the path of a Unix socket, @ and an abstract name, or a TCP address as people
/// write it. An entry that cannot match any listener is refused.
class ListenerEntry {
public:
  /// The allowed forms of an entry, for error messages.
  static constexpr const char *allowed =
      "one name of a listener (tcp_any_80), /regex/ over names, Unix path, @ and an abstract name, "
      "or address (127.0.0.1:8001, *:443, [::1]:9000), in quotes";

  /// Returns the entry, or why it is refused.
  static std::variant<ListenerEntry, std::string> parse(std::string text);

  bool matches(const ListenerView &listener) const;

  const std::string &text() const { return text_; }
  bool is_regex() const { return kind_ == Kind::regex; }
  /// Whether the entry is a name that no address produces, so that a <Watch> must give it.
  bool is_given_name() const { return kind_ == Kind::given_name; }
  bool is_unix() const;
  bool is_path() const { return kind_ == Kind::unix_address && text_.front() == '/'; }
  /// The names that a matching listener can have by its address; none for a regex or a given name.
  const std::vector<std::string> &names() const { return names_; }

private:
  enum class Kind : std::uint8_t { name, given_name, regex, unix_address, tcp_address };

  explicit ListenerEntry(std::string text) : text_(std::move(text)) {}
  /// Sets kind_; returns why the entry is refused.
  std::optional<std::string> find_kind();

  Kind kind_ = Kind::name;
  std::string text_;
  std::vector<std::string> names_;
  bool only_ipv6_ = false; ///< for [::], which does not match 0.0.0.0 though both can have one name
  NameFilter regex_;
};

/// The Listener entries, with the semantics of collectd's ignorelist (collectd.conf(5),
/// IGNORELISTS).
class ListenerFilter {
public:
  /// Returns why the entry is refused.
  std::optional<std::string> add(const std::string &entry);
  void ignore_selected(bool ignore) { ignore_selected_ = ignore; }

  const std::vector<ListenerEntry> &entries() const { return entries_; }
  bool empty() const { return entries_.empty(); }

  /// Whether the listener is reported.
  bool selects(const ListenerView &listener) const;
  /// Whether an entry selects this listener explicitly.
  bool names(const ListenerView &listener) const { return !ignore_selected_ && matches(listener); }

private:
  bool matches(const ListenerView &listener) const;

  std::vector<ListenerEntry> entries_;
  bool ignore_selected_ = false;
};

} // namespace backlog
