#pragma once

#include "backlog/table.h"

#include <algorithm>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <getopt.h>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace backlog {

/// One option of a program. `-f FILE`, `-fFILE`, `--table FILE` and `--table=FILE` mean the same.
struct CommandOption {
  enum class Value : std::uint8_t { none, required, optional };

  int key = 0; ///< the letter; an option without a letter has a number above all letters
  const char *name = nullptr;
  Value value = Value::none;
};

/// A user's argument as an error shows it: on one line, and cut when it is very long.
inline std::string shown_argument(std::string text) {
  constexpr std::size_t most_bytes = 120;
  if (text.size() > most_bytes)
    text.replace(most_bytes, std::string::npos, "...");
  std::string shown;
  for (const char c : text)
    if (static_cast<unsigned char>(c) < ' ' || c == '\x7f')
      shown += layout::ByteAsText(c).view();
    else
      shown += c;
  return shown;
}

/// Reads the arguments of a program with getopt_long().
class CommandLine {
public:
  struct Given {
    int key = 0;
    std::string shown; ///< the option as the user wrote it, without its value
    std::optional<std::string> value;
  };

  CommandLine(const std::vector<std::string> &arguments, std::span<const CommandOption> options)
      : arguments_(arguments) {
    arguments_.insert(arguments_.begin(), "");
    for (std::string &argument : arguments_)
      pointers_.push_back(argument.data());
    pointers_.push_back(nullptr);
    for (const CommandOption &option : options) {
      const auto value = static_cast<int>(option.value);
      long_.push_back({option.name, value, nullptr, option.key});
      if (option.key > last_letter)
        continue;
      short_ += static_cast<char>(option.key);
      short_.append(static_cast<std::size_t>(value), ':');
    }
    long_.push_back({});
    ::optind = 0; // 0 makes glibc's getopt start over
    ::opterr = 0;
  }

  /// Returns the next option; none at the end and after a wrong option, which fault() describes.
  std::optional<Given> next() {
    const int before = std::max(::optind, 1);
    const int key = // NOLINTNEXTLINE(concurrency-mt-unsafe): programs read these in one thread
        ::getopt_long(static_cast<int>(arguments_.size()), pointers_.data(), short_.c_str(),
                      long_.data(), nullptr);
    if (key == -1) {
      while (pointers_[static_cast<std::size_t>(::optind)] != nullptr)
        rest_.emplace_back(pointers_[static_cast<std::size_t>(::optind++)]);
      for (const std::string &argument : rest_)
        if (argument.size() > most_bytes)
          fault_ = shown_argument(argument) + too_long;
      return std::nullopt;
    }
    const std::string shown = written(key, before);
    const bool is_empty = ::optarg != nullptr && *::optarg == '\0';
    if (key == '?')
      fault_ = "option " + shown_argument(shown) + " is unknown";
    else if (key == ':' || is_empty)
      fault_ = "option " + shown + " needs a value";
    else if (::optarg != nullptr && std::string_view(::optarg).size() > most_bytes)
      fault_ = "option " + shown + ": " + shown_argument(::optarg) + too_long;
    if (!fault_.empty())
      return std::nullopt;
    Given given{.key = key, .shown = shown, .value = std::nullopt};
    if (::optarg != nullptr)
      given.value = ::optarg;
    return given;
  }

  const std::string &fault() const { return fault_; }
  /// The arguments that are not options; complete once next() has returned none.
  const std::vector<std::string> &rest() const { return rest_; }

  /// Takes the next argument as the value of the option just read, if it is not an option and
  /// is_value() accepts it.
  template <class IsValue> std::optional<std::string> take_value(IsValue is_value) {
    const char *argument = pointers_[static_cast<std::size_t>(::optind)];
    if (argument == nullptr || *argument == '-' || !is_value(argument))
      return std::nullopt;
    ++::optind;
    return argument;
  }

private:
  static constexpr int last_letter = 255;
  static constexpr std::size_t most_bytes = PATH_MAX - 1;
  static constexpr const char *too_long = " is too long; allowed are 4095 bytes";
  static_assert(most_bytes == 4095);

  /// Returns the option as the user wrote it, or its letter if several letters share one argument.
  std::string written(int key, int before) const {
    const bool is_wrong = key == '?' || key == ':';
    const int letter = is_wrong ? ::optopt : key;
    for (int at = before; pointers_[static_cast<std::size_t>(at)] != nullptr; ++at) {
      const std::string text(pointers_[static_cast<std::size_t>(at)]);
      if (text.starts_with("--"))
        return key == '?' ? text : text.substr(0, text.find('='));
      if (text.starts_with('-') && text.size() > 1)
        break;
    }
    return std::string("-") + static_cast<char>(letter);
  }

  std::vector<std::string> arguments_;
  std::vector<char *> pointers_;
  std::vector<option> long_;
  std::string short_ = ":";
  std::string fault_;
  std::vector<std::string> rest_;
};

} // namespace backlog
