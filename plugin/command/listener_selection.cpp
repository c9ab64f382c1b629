#include "listener_selection.h"

#include "backlog/command_line.h"
#include "listener_name.h"

#include <algorithm>
#include <utility>

namespace backlog {

namespace {

std::string_view address_name(const layout::Listener &listener) {
  const std::string_view name = layout::text_of(listener.address_name);
  return name.empty() ? layout::text_of(listener.name) : name;
}

TcpAddress address_of(const layout::Listener &listener) {
  return {.bytes = listener.address,
          .device = listener.scope,
          .port = listener.port,
          .ipv6 = listener.address_type == layout::AddressType::ipv6,
          .v6only = address_name(listener).starts_with("tcp6_any_")};
}

/// Whether the name is the one that an address gives in some net namespace.
bool is_named_by(std::string_view name, std::string_view by_address) {
  return name.starts_with(by_address) &&
         (name.size() == by_address.size() ||
          name.substr(by_address.size()).starts_with(namespace_separator));
}

/// A device is known by the name alone, because the index in the table belongs to the listener's
/// own net namespace.
bool has_address(const layout::Listener &listener, const WrittenAddress &address) {
  const std::string_view name = address_name(listener);
  if (address.device.empty()) {
    const bool has_device = name.find("__dev_") != std::string_view::npos;
    return address.is_of(address_of(listener), has_device ? "a device" : "");
  }
  const std::vector<std::string> names = address.names();
  return std::any_of(names.begin(), names.end(),
                     [&](const std::string &by_address) { return is_named_by(name, by_address); });
}

} // namespace

bool selects_by_name(const NameFilter &names, const layout::Listener &listener) {
  return names.selects(layout::text_of(listener.name)) || names.selects(address_name(listener));
}

std::optional<std::string> ListenerSelection::add(const std::string &argument) {
  empty_ = false;
  if (argument.starts_with('@') || (argument.starts_with('/') && !argument.ends_with('/'))) {
    decltype(layout::Listener::path) path{};
    layout::set_text(path, argument);
    paths_.emplace_back(layout::text_of(path));
    return std::nullopt;
  }
  if (const std::optional<WrittenAddress> address = parse_written_address(argument)) {
    addresses_.push_back(*address);
    return std::nullopt;
  }
  const auto wrong = argument.find(':') == std::string::npos
                         ? names_.add(argument)
                         : std::optional<std::string>("is no address");
  if (!wrong)
    return std::nullopt;
  return shown_argument(argument) + ": " + *wrong +
         "; allowed are a name, a /regex/, 127.0.0.1:80, *:443, [::1]:9000, :80, a Unix path, "
         "@name";
}

bool ListenerSelection::selects(const layout::Listener &listener) const {
  if (empty())
    return true;
  const std::string_view path = layout::text_of(listener.path);
  return (!names_.empty() && selects_by_name(names_, listener)) ||
         std::find(paths_.begin(), paths_.end(), path) != paths_.end() ||
         (listener.address_type != layout::AddressType::none &&
          std::any_of(addresses_.begin(), addresses_.end(), [&](const WrittenAddress &address) {
            return has_address(listener, address);
          }));
}

void ListenerSelection::keep_selected(TableContents &contents) const {
  const std::vector<layout::Listener> all = std::exchange(contents.listeners, {});
  std::vector<std::uint32_t> positions(all.size(), 0); // plus one, of those selected
  for (std::size_t i = 0; i < all.size(); ++i)
    if (selects(all[i])) {
      contents.listeners.push_back(all[i]);
      positions[i] = static_cast<std::uint32_t>(contents.listeners.size());
    }
  for (layout::Listener &listener : contents.listeners) {
    if (listener.waits_for == 0)
      continue;
    const std::size_t before = listener.waits_for - 1;
    if (positions[before] == 0) {
      contents.not_shown.push_back(all[before]);
      positions[before] =
          static_cast<std::uint32_t>(contents.listeners.size() + contents.not_shown.size());
    }
    listener.waits_for = positions[before];
  }
}

} // namespace backlog
