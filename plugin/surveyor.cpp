#include "surveyor.h"

#include "namespace_sampler.h"
#include "net_limits.h"
#include "owner.h"
#include "scan_budget.h"
#include "sock_diag.h"
#include "syn_queue.h"
#include "thread_cpu_time.h"
#include "waiting.h"

#include <algorithm>
#include <exception>
#include <utility>

namespace backlog {

namespace {

using Clock = std::chrono::steady_clock;

// Finding namespaces takes some milliseconds for a thousand processes.
constexpr std::chrono::seconds find_namespaces_every{30};
// Scans of all connections, together; of one CPU.
constexpr double scan_share = 0.01;

/// A net namespace of the survey, and the scans that it is to be given.
struct Place {
  NetNamespaceId id; ///< NetNamespaceId{} for collectd's own
  NamespaceLabel label;

  /// What a part of the output is called in the log.
  std::string part(const char *name) const {
    return label.name.empty() ? name : name + (" of net namespace " + label.name);
  }
  std::string syn_scan() const { return part("SYN queues"); }
  std::string wait_scan() const { return part("oldest waits"); }
};

/// What the thread owns.
class SurveyingLoop {
public:
  SurveyingLoop(std::shared_ptr<const Config> config, Config::Seconds interval,
                std::shared_ptr<SurveyBoard> board)
      : config_(std::move(config)), board_(std::move(board)),
        budget_(scan_share, std::chrono::duration_cast<ScanBudget::Duration>(interval)) {}

  void run(Mailbox<Survey> &mailbox) {
    while (mailbox.sleep_until(std::nullopt) != Mailbox<Survey>::Wake::stopping)
      mailbox.deliver(survey());
  }

private:
  Survey survey() {
    survey_ = Survey();
    sockets_.clear();
    try {
      if (!config_->net_namespaces.empty())
        find_namespaces();
      wishes_ = board_->wishes();
      const auto others = board_->namespaces();
      plan_scans(*others);
      survey_.own = survey_place({});
      for (const NetNamespace &other : *others)
        visit(other);
      if (config_->report_owner)
        find_owners();
      for (Fault &skipped : budget_.skipped())
        survey_.faults.push_back(std::move(skipped));
    } catch (const NamespaceLost &) {
      throw;
    } catch (const std::exception &exception) {
      survey_.faults.push_back({"survey", exception.what()});
    }
    return std::move(survey_);
  }

  void find_namespaces() {
    if (found_at_ && Clock::now() - *found_at_ < find_namespaces_every)
      return;
    found_at_ = Clock::now();
    SurveyBoard::Namespaces namespaces = NetNamespaceFinder().find();
    std::erase_if(namespaces, [&](const NetNamespace &other) {
      return !config_->net_namespaces.selects(other.name);
    });
    board_->post(std::move(namespaces));
  }

  void plan_scans(const SurveyBoard::Namespaces &others) {
    std::vector<std::string> wanted;
    const auto want = [&](const Place &place) {
      const bool is_own = place.id == NetNamespaceId{};
      if (config_->report_syn_queue && (is_own || wishes_.syn_queues.contains(place.id)))
        wanted.push_back(place.syn_scan());
      if (wishes_.wait_ports.contains(place.id))
        wanted.push_back(place.wait_scan());
    };
    want({});
    for (const NetNamespace &other : others)
      want({other.id, {other.name, other.has_id}});
    const Result<std::uint64_t> sockets = sockets_reader_.read();
    tcp_sockets_ = sockets ? *sockets : 0;
    planned_ = budget_.plan(wanted, Clock::now(), tcp_sockets_);
  }

  void visit(const NetNamespace &other) {
    if (!door_) {
      Result<NetNamespaceDoor> door = NetNamespaceDoor::make();
      if (!door) {
        survey_.faults.push_back({"other net namespaces", door.error().message()});
        return;
      }
      door_ = std::move(*door);
    }
    // Why it cannot be entered, the sampler says.
    (void)door_->visit(other, [&] {
      survey_.others[other.id] = survey_place({other.id, {other.name, other.has_id}});
    });
  }

  NamespaceSurvey survey_place(const Place &place) {
    NamespaceSurvey survey;
    survey.limits = limits_.read();
    if (!survey.limits.somaxconn)
      survey_.faults.push_back(
          {place.part("limits of the kernel"), "cannot read net.core.somaxconn"});
    if (Failure failure = look_at_sockets(place, survey))
      survey_.faults.push_back({place.part("survey of sockets"), failure->message()});
    return survey;
  }

  Failure look_at_sockets(const Place &place, NamespaceSurvey &survey) {
    const bool counts_syn = is_planned(place.syn_scan());
    const bool finds_waits = is_planned(place.wait_scan());
    if (!counts_syn && !finds_waits && !config_->report_owner)
      return std::nullopt;
    Result<SockDiag> sock_diag = SockDiag::open();
    if (!sock_diag)
      return sock_diag.error();

    std::vector<TcpAddress> listeners;
    if (Failure failure = sock_diag->dump_tcp_listeners([&](const TcpListener &listener) {
          listeners.push_back(listener.address);
          sockets_.push_back({listener.cookie, listener.inode, listener.cgroup_id});
        }))
      return failure;
    if (counts_syn)
      if (Failure failure = count_syn_queues(*sock_diag, place, listeners, survey))
        return failure;
    if (finds_waits)
      if (Failure failure = find_oldest_waits(*sock_diag, place, listeners, survey))
        return failure;
    if (config_->report_owner && config_->report_unix)
      return sock_diag->dump_unix_listeners([&](const UnixListener &listener) {
        sockets_.push_back({listener.cookie, listener.inode, 0});
      });
    return std::nullopt;
  }

  Failure count_syn_queues(SockDiag &sock_diag, const Place &place,
                           const std::vector<TcpAddress> &listeners, NamespaceSurvey &survey) {
    SynQueueCount count;
    for (const TcpAddress &listener : listeners)
      count.add_listener(listener);
    Failure failure = measured(place.syn_scan(), [&] {
      return sock_diag.dump_half_open(
          [&](const HalfOpen &connection) { count.add_half_open(connection.local); });
    });
    if (failure)
      return failure;
    SynQueues &queues = survey.syn_queues.emplace();
    queues.total = count.total();
    for (const SynQueueCount::Queue &queue : count.queues())
      if (queue.length > 0)
        queues.by_listener[identify_tcp_listener(queue.listener, place.label).name] += queue.length;
    return std::nullopt;
  }

  Failure find_oldest_waits(SockDiag &sock_diag, const Place &place,
                            const std::vector<TcpAddress> &listeners, NamespaceSurvey &survey) {
    OldestWaits waits;
    for (const TcpAddress &listener : listeners)
      waits.add_listener(listener);
    Failure failure = measured(place.wait_scan(), [&] {
      return sock_diag.dump_waiting(
          wishes_.wait_ports[place.id],
          [&](const WaitingConnection &connection) { waits.add_waiting(connection); });
    });
    if (failure)
      return failure;
    for (const OldestWaits::Oldest &oldest : waits.oldest()) {
      if (!oldest.age)
        continue;
      auto &wait = survey.oldest_waits[identify_tcp_listener(oldest.listener, place.label).name];
      wait = std::max(wait, *oldest.age);
    }
    return std::nullopt;
  }

  template <class Scan> Failure measured(const std::string &kind, Scan scan) {
    const auto before = thread_cpu_time();
    Failure failure = scan();
    budget_.report(kind, thread_cpu_time() - before, tcp_sockets_);
    return failure;
  }

  bool is_planned(const std::string &scan) const {
    return std::find(planned_.begin(), planned_.end(), scan) != planned_.end();
  }

  void find_owners() {
    owners_.update(sockets_);
    for (const OwnedSocket &socket : sockets_)
      if (const Owner *owner = owners_.find(socket.cookie))
        survey_.owners.emplace(socket.cookie, *owner);
  }

  std::shared_ptr<const Config> config_;
  std::shared_ptr<SurveyBoard> board_;
  ScanBudget budget_;
  TcpSocketsReader sockets_reader_;
  NetLimitsReader limits_;
  OwnerBook owners_;
  std::optional<NetNamespaceDoor> door_;
  std::optional<Clock::time_point> found_at_; ///< the other namespaces

  // Of the survey under way.
  Survey survey_;
  ScanWishes wishes_;
  std::vector<std::string> planned_;
  std::vector<OwnedSocket> sockets_;
  std::uint64_t tcp_sockets_ = 0;
};

} // namespace

std::optional<int> Surveyor::start(const std::shared_ptr<const Config> &config,
                                   std::chrono::duration<double> interval,
                                   const std::shared_ptr<SurveyBoard> &board) {
  return AskedWorker::start("backlog survey", [config, interval, board](Mailbox<Survey> &mailbox) {
    try {
      SurveyingLoop(config, interval, board).run(mailbox);
    } catch (const NamespaceLost &) {
      // Whoever asks next starts another thread.
    }
  });
}

} // namespace backlog
