#pragma once

#include "config.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace backlog {

/// Which listeners should be there: those that a <Watch> expects by name or address, and those that
/// an expected /regex/ has matched for ten minutes without a break, so that listeners which come
/// and go are never missing.
class Expectations {
public:
  using Duration = std::chrono::nanoseconds;
  static constexpr std::chrono::minutes met_for{10};
  /// Names that all regexes together may expect.
  static constexpr std::size_t most_met = 1000;

  explicit Expectations(std::shared_ptr<const Config> config);

  /// A listener is there in this interval. facts: from its Watch blocks. has_id: its name changes
  /// with the next start, so no regex expects it. at: time since any fixed moment.
  void see(const std::string &name, const WatchFacts &facts, bool has_id, Duration at);

  /// A listener that is expected but was not seen in this interval.
  struct Absent {
    std::string name;      ///< the last name seen, or the one that the address gives
    std::string address{}; ///< the address in the <Watch>
    bool is_unix = false;

    ListenerView view() const { return {.name = name, .address = address}; }
  };
  /// Ends the interval. Returns each absent name once, sorted.
  std::vector<Absent> end_interval();

  /// As of the end of the last interval.
  bool contains(const std::string &name) const;
  /// Whether the regexes match more listeners than may be expected.
  bool is_full() const { return is_full_; }

private:
  /// The expectation of one <Watch>.
  struct Exact {
    std::size_t watch = 0;
    Absent listener;
    std::uint64_t seen = 0; ///< number of the interval
  };
  struct Met {
    Duration since{0};      ///< without a break
    std::uint64_t seen = 0; ///< number of the interval
    bool expected = false;
    bool is_unix = false;
  };

  void expect(std::size_t watch);
  bool note_exact(const std::string &name, const WatchFacts &facts);

  std::shared_ptr<const Config> config_;
  std::vector<Exact> exact_;
  std::unordered_map<std::string, Met> met_;
  std::size_t expected_met_ = 0;
  bool is_full_ = false;
  std::uint64_t interval_ = 1;
};

} // namespace backlog
