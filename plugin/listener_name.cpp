#include "listener_name.h"

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

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

/// '_' and the FNV-1a hash (32 bits) of the raw bytes.
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

/// The raw text in the alphabet, with a hash of it where others could have become the same.
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
    } else if (is_digit(c) || is_lower(c) || is_upper(c)) {
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

bool is_link_local(const TcpAddress &address) {
  return address.ipv6 && address.bytes[0] == 0xfe && (address.bytes[1] & 0xc0U) == 0x80;
}

/// The address with IPv4 in IPv6 (::ffff:a.b.c.d) made plain.
TcpAddress unmapped(const TcpAddress &address) {
  constexpr std::array<std::uint8_t, 12> prefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (!address.ipv6 || !std::equal(prefix.begin(), prefix.end(), address.bytes.begin()))
    return address;
  TcpAddress plain{.bytes = {}, .device = address.device, .port = address.port};
  std::copy(address.bytes.begin() + prefix.size(), address.bytes.end(), plain.bytes.begin());
  return plain;
}

std::string host_text(const TcpAddress &address) {
  if (address.is_any())
    return "any";
  std::array<char, INET6_ADDRSTRLEN> text{};
  inet_ntop(address.ipv6 ? AF_INET6 : AF_INET, address.bytes.data(), text.data(), text.size());
  return text.data();
}

} // namespace

std::string net_namespace_part(std::string_view net_namespace) { return name_part(net_namespace); }

ListenerName name_tcp_listener(const TcpAddress &address, std::string_view device,
                               std::string_view net_namespace) {
  const TcpAddress plain = unmapped(address);
  const std::string host = host_text(plain);
  const bool dual_stack_any = plain.ipv6 && host == "any" && !plain.v6only;
  const bool zone = plain.device != 0 && is_link_local(plain);

  std::string text = plain.ipv6 && !dual_stack_any ? "tcp6_" : "tcp_";
  text += name_part(host);
  if (zone)
    text += "_" + name_part(device);
  text += "_" + std::to_string(plain.port);
  if (plain.device != 0 && !zone)
    text += "__dev_" + name_part(device);
  return {bounded(with_net_namespace(std::move(text), net_namespace)),
          plain.device != 0 && has_id(device)};
}

ListenerName name_unix_listener(std::string_view address, std::string_view net_namespace) {
  std::string text = "unix_";
  bool id = has_id(address);
  if (!address.empty() && address.front() == '\0') {
    const std::string_view name = address.substr(1);
    text += "abstract_" + name_part(name);
    id = id || (name.size() == autobind_digits && std::all_of(name.begin(), name.end(), is_hex));
  } else {
    const bool absolute = !address.empty() && address.front() == '/';
    std::string part = name_part(address, !absolute);
    text += absolute ? part.substr(1) : part;
  }
  return {bounded(with_net_namespace(std::move(text), net_namespace)), id};
}

} // namespace backlog
