#pragma once

#include "net_namespace.h"
#include "scan_planner.h"
#include "unix_paths.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace backlog {

/// What the sampler and the surveyor tell each other.
class SurveyBoard {
public:
  using Namespaces = std::vector<NetNamespace>;

  /// By the surveyor: the other net namespaces that there are.
  void post(Namespaces namespaces) {
    auto list = std::make_shared<const Namespaces>(std::move(namespaces));
    const std::lock_guard lock(mutex_);
    namespaces_.swap(list);
  }
  std::shared_ptr<const Namespaces> namespaces() const {
    const std::lock_guard lock(mutex_);
    return namespaces_;
  }

  /// By the sampler: what the last interval gave reason for.
  void post(ScanRequests requests) {
    const std::lock_guard lock(mutex_);
    std::swap(requests_, requests);
  }
  ScanRequests requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

  /// By the surveyor: where Unix listeners are.
  void post(std::shared_ptr<const UnixPlaces> places) {
    const std::lock_guard lock(mutex_);
    unix_places_.swap(places);
  }
  std::shared_ptr<const UnixPlaces> unix_places() const {
    const std::lock_guard lock(mutex_);
    return unix_places_;
  }

  /// By the surveyor: it has looked, and goes on.
  void note_unix_look() {
    const std::lock_guard lock(mutex_);
    ++unix_looks_;
  }
  std::uint64_t unix_looks() const {
    const std::lock_guard lock(mutex_);
    return unix_looks_;
  }

  /// By the sampler: Unix listeners that wait for their places.
  void post_unplaced(std::vector<UnixFile> files) {
    const std::lock_guard lock(mutex_);
    // The surveyor may hang, and finds all of them with its next list.
    files.resize(std::min(files.size(), most_unplaced - unplaced_.size()));
    unplaced_.insert(unplaced_.end(), std::make_move_iterator(files.begin()),
                     std::make_move_iterator(files.end()));
    if (wake_surveyor_)
      wake_surveyor_();
  }
  std::vector<UnixFile> take_unplaced() {
    const std::lock_guard lock(mutex_);
    return std::exchange(unplaced_, {});
  }
  /// By the surveyor: how it is woken; nullptr: it ends.
  void wake_surveyor_by(std::function<void()> wake) {
    const std::lock_guard lock(mutex_);
    wake_surveyor_.swap(wake);
  }

private:
  static constexpr std::size_t most_unplaced = 10000;

  mutable std::mutex mutex_;
  std::shared_ptr<const Namespaces> namespaces_ = std::make_shared<const Namespaces>();
  ScanRequests requests_;
  std::shared_ptr<const UnixPlaces> unix_places_; ///< nullptr: none yet
  std::uint64_t unix_looks_ = 0;
  std::vector<UnixFile> unplaced_;
  std::function<void()> wake_surveyor_;
};

} // namespace backlog
