#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>

namespace backlog {

constexpr std::size_t container_id_digits = 64;
constexpr std::size_t shown_container_id_digits = 12; ///< as many as `docker ps` shows

/// Whether a container id in a cgroup path can contain the character; runtimes and the kubelet
/// write ids in lower case.
constexpr bool is_id_digit(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }

constexpr bool is_id(std::string_view text) {
  return std::all_of(text.begin(), text.end(), is_id_digit);
}

} // namespace backlog
