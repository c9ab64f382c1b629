#include "surveyor.h"

#include "namespace_sampler.h"
#include "net_limits.h"
#include "sock_diag.h"
#include "syn_queue.h"

#include <exception>
#include <utility>

namespace backlog {

namespace {

Result<SynQueues> count_syn_queues() {
  Result<SockDiag> sock_diag = SockDiag::open();
  if (!sock_diag)
    return sock_diag.error();
  SynQueueCount count;
  if (Failure failure = sock_diag->dump_tcp_listeners(
          [&](const TcpListener &listener) { count.add_listener(listener.address); }))
    return *failure;
  if (Failure failure = sock_diag->dump_half_open(
          [&](const HalfOpen &connection) { count.add_half_open(connection.local); }))
    return *failure;

  SynQueues queues;
  queues.total = count.total();
  for (const SynQueueCount::Queue &queue : count.queues())
    if (queue.length > 0)
      queues.by_listener[identify_tcp_listener(queue.listener).name] += queue.length;
  return queues;
}

/// What the thread owns.
class SurveyingLoop {
public:
  explicit SurveyingLoop(std::shared_ptr<const Config> config) : config_(std::move(config)) {}

  void run(Mailbox<Survey> &mailbox) {
    while (mailbox.sleep_until(std::nullopt) != Mailbox<Survey>::Wake::stopping)
      mailbox.deliver(survey());
  }

private:
  Survey survey() {
    Survey survey;
    try {
      survey.limits = limits_.read();
      if (!survey.limits.somaxconn)
        survey.faults.push_back({"limits of the kernel", "cannot read net.core.somaxconn"});
      if (config_->report_syn_queue) {
        Result<SynQueues> queues = count_syn_queues();
        if (queues)
          survey.syn_queues = std::move(*queues);
        else
          survey.faults.push_back({"SYN queues", queues.error().message()});
      }
    } catch (const std::exception &exception) {
      survey.faults.push_back({"survey", exception.what()});
    }
    return survey;
  }

  std::shared_ptr<const Config> config_;
  NetLimitsReader limits_;
};

} // namespace

std::optional<int> Surveyor::start(const std::shared_ptr<const Config> &config) {
  return AskedWorker::start(
      "backlog survey", [config](Mailbox<Survey> &mailbox) { SurveyingLoop(config).run(mailbox); });
}

} // namespace backlog
