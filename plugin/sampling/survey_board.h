#pragma once

#include "net_namespace.h"
#include "scan_wishes.h"

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
  void post(ScanWishes wishes) {
    const std::lock_guard lock(mutex_);
    std::swap(wishes_, wishes);
  }
  ScanWishes wishes() const {
    const std::lock_guard lock(mutex_);
    return wishes_;
  }

private:
  mutable std::mutex mutex_;
  std::shared_ptr<const Namespaces> namespaces_ = std::make_shared<const Namespaces>();
  ScanWishes wishes_;
};

} // namespace backlog
