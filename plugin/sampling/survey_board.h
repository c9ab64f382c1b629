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

/// Messages between the sampler and the surveyor, besides their answers.
class SurveyBoard {
public:
  using Namespaces = std::vector<NetNamespace>;

  /// Called by the surveyor with the other net namespaces that exist.
  void post(Namespaces namespaces) {
    auto list = std::make_shared<const Namespaces>(std::move(namespaces));
    const std::lock_guard lock(mutex_);
    namespaces_.swap(list);
  }
  std::shared_ptr<const Namespaces> namespaces() const {
    const std::lock_guard lock(mutex_);
    return namespaces_;
  }

  /// Called by the sampler with the scans that the last interval calls for.
  void post(ScanRequests requests) {
    const std::lock_guard lock(mutex_);
    std::swap(requests_, requests);
  }
  ScanRequests requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

  /// Called by the surveyor with the places of Unix listeners.
  void post(std::shared_ptr<const UnixPlaces> places) {
    const std::lock_guard lock(mutex_);
    unix_places_.swap(places);
  }
  std::shared_ptr<const UnixPlaces> unix_places() const {
    const std::lock_guard lock(mutex_);
    return unix_places_;
  }

  /// Called by the surveyor after each look.
  void note_unix_look() {
    const std::lock_guard lock(mutex_);
    ++unix_looks_;
  }
  std::uint64_t unix_looks() const {
    const std::lock_guard lock(mutex_);
    return unix_looks_;
  }

  /// Called by the sampler with Unix listeners whose places are unknown.
  void post_unplaced(std::vector<UnixFile> files) {
    const std::lock_guard lock(mutex_);
    // Some may be left out: a surveyor that hangs takes none, and its next list has all of them.
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
  /// Called by the surveyor with what wakes it; nullptr when it ends.
  void wake_surveyor_by(std::function<void()> wake) {
    const std::lock_guard lock(mutex_);
    wake_surveyor_.swap(wake);
  }

private:
  static constexpr std::size_t most_unplaced = 10000;

  mutable std::mutex mutex_;
  std::shared_ptr<const Namespaces> namespaces_ = std::make_shared<const Namespaces>();
  ScanRequests requests_;
  std::shared_ptr<const UnixPlaces> unix_places_; ///< nullptr until the first
  std::uint64_t unix_looks_ = 0;
  std::vector<UnixFile> unplaced_;
  std::function<void()> wake_surveyor_;
};

} // namespace backlog
