#include "sampler.h"

#include "namespace_sampler.h"

#include <exception>
#include <utility>

namespace backlog {

namespace {

using Clock = std::chrono::steady_clock;

/// What the thread owns.
class SamplingLoop {
public:
  explicit SamplingLoop(std::shared_ptr<const Config> config) : own_(std::move(config)) {}

  void run(Mailbox<Harvest> &mailbox) {
    while (mailbox.sleep_until(std::nullopt) != Mailbox<Harvest>::Wake::stopping)
      mailbox.deliver(harvest());
  }

private:
  Harvest harvest() {
    Harvest harvest;
    try {
      harvest.own = own_.harvest(std::chrono::hours(1), harvest.faults);
    } catch (const std::exception &exception) {
      harvest.faults.push_back({"listeners", exception.what()});
    }
    harvest.taken_at = std::chrono::system_clock::now();
    const Clock::time_point now = Clock::now();
    harvest.measured = now - interval_begin_;
    interval_begin_ = now;
    return harvest;
  }

  NamespaceSampler own_;
  Clock::time_point interval_begin_ = Clock::now();
};

} // namespace

std::optional<int> Sampler::start(std::shared_ptr<const Config> config) {
  return AskedWorker::start("backlog sampler", [config](Mailbox<Harvest> &mailbox) {
    SamplingLoop(config).run(mailbox);
  });
}

} // namespace backlog
