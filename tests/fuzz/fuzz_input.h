#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

/// Must hold for every input.
inline void require(bool condition, int line = __builtin_LINE()) {
  if (condition)
    return;
  (void)std::fprintf(stderr, "line %d: what must hold does not\n", line);
  std::abort();
}

/// Takes values off the front of a fuzzer's bytes; behind their end everything is 0 or empty.
class FuzzInput {
public:
  FuzzInput(const std::uint8_t *data, std::size_t size)
      : bytes_(reinterpret_cast<const char *>(data), size) {}

  bool empty() const { return bytes_.empty(); }
  std::string_view rest() const { return bytes_; }

  template <class T> T number() {
    T value{};
    const std::string_view bytes = take(sizeof value);
    if (!bytes.empty())
      std::memcpy(&value, bytes.data(), bytes.size());
    return value;
  }
  std::uint8_t byte() { return number<std::uint8_t>(); }

  /// Up to the next of these, which is taken, too: a seed stays readable.
  std::string text(char end) {
    const std::size_t length = bytes_.find(end);
    std::string text(take(length));
    take(1);
    return text;
  }

private:
  std::string_view take(std::size_t count) {
    const std::string_view taken = bytes_.substr(0, count);
    bytes_.remove_prefix(taken.size());
    return taken;
  }

  std::string_view bytes_;
};
