#pragma once

#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <variant>

namespace backlog {

/// Why an operation failed.
struct Error {
  int code = 0;     ///< errno value
  std::string what; ///< the operation, e.g. "open /proc/thread-self/net/netstat"

  /// "what: text of the code"
  std::string message() const { return what + ": " + std::generic_category().message(code); }
};

/// A value, or the error that prevented it.
template <class T> class [[nodiscard]] Result {
public:
  // Both conversions are implicit so that `return value;` and `return Error{...};` read alike.
  Result(T value) : state_(std::move(value)) {}     // NOLINT(google-explicit-constructor)
  Result(Error error) : state_(std::move(error)) {} // NOLINT(google-explicit-constructor)

  explicit Result(std::in_place_t) : state_(std::in_place_type<T>) {}
  explicit operator bool() const { return std::holds_alternative<T>(state_); }
  T &operator*() { return *std::get_if<T>(&state_); }
  const T &operator*() const { return *std::get_if<T>(&state_); }
  T *operator->() { return std::get_if<T>(&state_); }
  const T *operator->() const { return std::get_if<T>(&state_); }
  const Error &error() const { return *std::get_if<Error>(&state_); }

private:
  std::variant<T, Error> state_;
};

/// Empty on success, else the error.
using Failure = std::optional<Error>;

} // namespace backlog
