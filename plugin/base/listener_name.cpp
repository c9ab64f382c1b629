#include "listener_name.h"

#include "number.h"
#include "temporary_path.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cstdint>
#include <cstdio>
#include <netinet/in.h>

namespace backlog {

namespace {

constexpr std::size_t id_min_digits = 8;
constexpr std::size_t autobind_digits = 5; // unix_autobind() in net/unix/af_unix.c
constexpr std::size_t hash_suffix_bytes = 9;
constexpr std::string_view device_separator = "__dev_";

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
bool is_lower_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f'); }
bool is_hex(char c) { return is_lower_hex(c) || (c >= 'A' && c <= 'F'); }

/// Returns '_' and the FNV-1a hash (32 bits) of the raw bytes.
std::string hash_suffix(std::string_view raw) {
  std::uint32_t hash = 2166136261U;
  for (const char c : raw)
    hash = (hash ^ static_cast<std::uint8_t>(c)) * 16777619U;
  std::array<char, hash_suffix_bytes + 1> text{};
  (void)std::snprintf(text.data(), text.size(), "_%08x", hash);
  return text.data();
}

char allowed_char(char c) {
  if (c == '/')
    return '_';
  if (is_upper(c))
    return static_cast<char>(c - 'A' + 'a');
  return is_digit(c) || is_lower(c) || c == '_' ? c : '-';
}

bool maps_to_itself_or_separator(char c) {
  return is_digit(c) || is_lower(c) || std::string_view("._/:-").find(c) != std::string_view::npos;
}

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

/// Converts raw text to the alphabet; adds a hash if other text could give the same result.
std::string name_part(std::string_view raw, bool ambiguous = false) {
  std::string part;
  for (const char c : raw)
    part += allowed_char(c);
  if (ambiguous || !std::all_of(raw.begin(), raw.end(), maps_to_itself_or_separator) ||
      contains(raw, "//") || contains(raw, "__") || contains(raw, ".."))
    part += hash_suffix(raw);
  return part;
}

bool has_id(std::string_view raw) {
  std::size_t hex = 0;
  bool only_hex = true;
  for (std::size_t i = 0; i <= raw.size(); ++i) {
    const char c = i < raw.size() ? raw[i] : '/';
    if (is_hex(c)) {
      ++hex;
    } else if (is_lower(c) || is_upper(c)) {
      only_hex = false;
    } else {
      if (only_hex && hex >= id_min_digits)
        return true;
      hex = 0;
      only_hex = true;
    }
  }
  return false;
}

std::string bounded(std::string text) {
  if (text.size() <= listener_name_max_bytes)
    return text;
  return text.substr(0, listener_name_max_bytes - hash_suffix_bytes) + hash_suffix(text);
}

std::string with_net_namespace(std::string text, std::string_view net_namespace) {
  if (!net_namespace.empty())
    text.append(namespace_separator).append(net_namespace_part(net_namespace));
  return text;
}

std::string host_text(const TcpAddress &address) {
  if (address.is_any())
    return "any";
  std::array<char, INET6_ADDRSTRLEN> text{};
  inet_ntop(address.ipv6 ? AF_INET6 : AF_INET, address.bytes.data(), text.data(), text.size());
  return text.data();
}

bool in_alphabet(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return is_digit(c) || is_lower(c) || c == '_' || c == '-'; });
}

std::string with_separator(std::string_view part, char separator) {
  std::string text(part);
  std::replace(text.begin(), text.end(), '-', separator);
  return text;
}

bool is_ipv4_part(std::string_view part) {
  TcpAddress address;
  return inet_pton(AF_INET, with_separator(part, '.').c_str(), address.bytes.data()) == 1 &&
         !address.is_any();
}

/// Whether the text is an address of IPv6 that gives this part.
bool gives_part(const std::string &text, std::string_view part) {
  TcpAddress address{.ipv6 = true};
  if (inet_pton(AF_INET6, text.c_str(), address.bytes.data()) != 1)
    return false;
  return !address.is_any() && !address.is_ipv4_mapped() && name_part(host_text(address)) == part;
}

/// As inet_ntop() writes it, which is the only way that names have.
bool is_ipv6_part(std::string_view part) {
  std::string text = with_separator(part, ':');
  if (gives_part(text, part))
    return true;
  // inet_ntop() writes the end of an address with 96 leading zero bits as IPv4.
  for (int dots = 0; dots < 3 && text.rfind(':') != std::string::npos; ++dots)
    text[text.rfind(':')] = '.';
  return gives_part(text, part);
}

bool is_tcp_name(std::string_view host_and_port, bool ipv6) {
  const std::size_t at = host_and_port.rfind('_');
  if (at == std::string_view::npos || !parse_port(host_and_port.substr(at + 1)))
    return false;
  std::string_view host = host_and_port.substr(0, at);
  if (host == "any")
    return true;
  if (!ipv6)
    return is_ipv4_part(host);
  const std::size_t zone = host.find('_');
  return zone + 1 != host.size() && is_ipv6_part(host.substr(0, zone));
}

/// Up to its end, or to a separator that something follows. A device can have a separator in its
/// name.
bool begins_with_tcp_name(std::string_view text, bool ipv6) {
  bool is_whole = is_tcp_name(text, ipv6);
  for (std::size_t at = text.find("__"); !is_whole && at != std::string_view::npos;
       at = text.find("__", at + 1))
    for (const std::string_view separator : {device_separator, namespace_separator})
      is_whole = is_whole ||
                 (text.substr(at).starts_with(separator) && text.size() > at + separator.size() &&
                  is_tcp_name(text.substr(0, at), ipv6));
  return is_whole;
}

} // namespace

std::optional<std::uint16_t> parse_port(std::string_view text) {
  return text.starts_with('0') ? std::nullopt : parse_number<std::uint16_t>(text);
}

bool is_reserved_name(std::string_view name) {
  constexpr std::array<std::string_view, 5> reserved{"host", "kernel", "sampler", tcp_aggregate,
                                                     unix_aggregate};
  return std::find(reserved.begin(), reserved.end(), name) != reserved.end() ||
         name.starts_with("kernel_netns_");
}

bool is_listener_name(std::string_view name) {
  constexpr std::string_view tcp = "tcp_";
  constexpr std::string_view tcp6 = "tcp6_";
  constexpr std::string_view unix_socket = "unix_";
  if (!in_alphabet(name) || name.size() > listener_name_max_bytes || is_reserved_name(name))
    return false;
  if (name.starts_with(unix_socket))
    return name.size() > unix_socket.size();
  const bool ipv6 = name.starts_with(tcp6);
  if (!ipv6 && !name.starts_with(tcp))
    return false;
  if (name.size() == listener_name_max_bytes) // it may be cut anywhere
    return true;
  return begins_with_tcp_name(name.substr(ipv6 ? tcp6.size() : tcp.size()), ipv6);
}

bool keeps_name(std::string_view address, std::string_view other) {
  const auto dots = std::count(address.begin(), address.end(), '.');
  const auto other_dots = std::count(other.begin(), other.end(), '.');
  return dots != other_dots ? dots > other_dots : address < other;
}

std::string alternative_name(std::string_view name, std::string_view address) {
  const std::size_t end = std::min(name.find(namespace_separator), name.size());
  std::string text(name.substr(0, end));
  text += hash_suffix(address);
  return bounded(text.append(name.substr(end)));
}

std::string net_namespace_part(std::string_view net_namespace) { return name_part(net_namespace); }

ListenerName name_tcp_listener(const TcpAddress &address, std::string_view device,
                               std::string_view net_namespace) {
  const TcpAddress plain = address.unmapped();
  const std::string host = host_text(plain);
  const bool dual_stack_any = plain.ipv6 && host == "any" && !plain.v6only;
  const bool zone = plain.device != 0 && plain.is_link_local();

  std::string text = plain.ipv6 && !dual_stack_any ? "tcp6_" : "tcp_";
  text += name_part(host);
  if (zone)
    text += "_" + name_part(device);
  text += "_" + std::to_string(plain.port);
  if (plain.device != 0 && !zone)
    text.append(device_separator).append(name_part(device));
  return {bounded(with_net_namespace(std::move(text), net_namespace)),
          plain.device != 0 && has_id(device)};
}

ListenerName name_unix_listener(std::string_view address, std::string_view net_namespace,
                                std::string_view owned_by) {
  std::string text = "unix_";
  bool id = has_id(address) || has_id(owned_by);
  if (!address.empty() && address.front() == '\0') {
    const std::string_view name = address.substr(1);
    text += "abstract_" + name_part(name);
    id = id ||
         (name.size() == autobind_digits && std::all_of(name.begin(), name.end(), is_lower_hex));
  } else {
    id = id || is_temporary_path(address);
    const bool absolute = !address.empty() && address.front() == '/';
    std::string part = name_part(
        address, !absolute || address == "/unstable"); // "/unstable" would give unix_aggregate
    text += absolute ? part.substr(1) : part;
  }
  if (!owned_by.empty()) {
    std::string owner(owned_by);
    std::replace(owner.begin(), owner.end(), ' ', '-'); // e.g. "docker 0a1b2c3d4e5f"
    text.append(owner_separator).append(name_part(owner));
  }
  return {bounded(with_net_namespace(std::move(text), net_namespace)), id};
}

} // namespace backlog
