#include "surveyor.h"

#include "listener_identity.h"
#include "net_limits.h"
#include "owner.h"
#include "pace.h"
#include "scan_budget.h"
#include "sock_diag.h"
#include "sockstat.h"
#include "syn_queue.h"
#include "thread_cpu_time.h"
#include "waiting.h"

#include <algorithm>
#include <cerrno>
#include <map>
#include <system_error>
#include <utility>

namespace backlog {

namespace {

using Clock = std::chrono::steady_clock;

// Finding namespaces takes some milliseconds for a thousand processes.
constexpr std::chrono::seconds find_namespaces_every{30};
// Anyone can make user namespaces, each with a net namespace. With 512 of them each of the two
// threads takes 1.3 % of a CPU at an interval of 10 s, and a node of containers runs 250 at most.
constexpr std::size_t most_namespaces = 256;
// Beyond, the owners of those Unix listeners only whose queue is not empty, or whose owner is
// known.
constexpr std::size_t most_listed = 30000;
// Of one CPU: scans of all connections and of all processes, and lists of all listening sockets for
// their owners. Together one percent.
constexpr double scan_share = 0.0075;
constexpr double listing_share = 0.0025;

/// A net namespace to survey; nullptr: collectd's own.
struct Place {
  const NetNamespace *other = nullptr;

  NetNamespaceId id() const { return other != nullptr ? other->id : NetNamespaceId{}; }
  NamespaceLabel label() const {
    return other != nullptr ? NamespaceLabel{other->name, other->has_id} : NamespaceLabel{};
  }
  /// What a part of the output is called in the log.
  std::string part(const char *name) const {
    return other != nullptr ? name + of_net_namespace(other->name) : name;
  }
};

enum class ScanKind : std::uint8_t { owners, syn_queues, oldest_waits };

const char *step_of(ScanKind kind) {
  switch (kind) {
  case ScanKind::owners:
    return "owners";
  case ScanKind::syn_queues:
    return "SYN queues";
  case ScanKind::oldest_waits:
    break;
  }
  return "oldest waits";
}

Result<std::vector<TcpAddress>> tcp_addresses(SockDiag &sock_diag) {
  std::vector<TcpAddress> addresses;
  if (Failure failure = sock_diag.dump_tcp_listeners(
          [&](const TcpListener &listener) { addresses.push_back(listener.address); }))
    return *failure;
  return addresses;
}

Failure count_syn_queues(SockDiag &sock_diag, const NamespaceLabel &label, SynQueues &queues) {
  const auto addresses = tcp_addresses(sock_diag);
  if (!addresses)
    return addresses.error();
  SynQueueCount count;
  for (const TcpAddress &address : *addresses)
    count.add_listener(address);
  if (Failure failure = sock_diag.dump_half_open(
          [&](const HalfOpen &connection) { count.add_half_open(connection.local); }))
    return failure;
  queues.total = count.total();
  for (const SynQueueCount::Queue &queue : count.queues())
    if (queue.length > 0)
      queues.by_listener[identify_tcp_listener(queue.listener, label).name] += queue.length;
  return std::nullopt;
}

Failure find_oldest_waits(SockDiag &sock_diag, const NamespaceLabel &label,
                          const std::vector<std::uint16_t> &ports,
                          std::map<std::string, OldestWaits::Age> &ages) {
  const auto addresses = tcp_addresses(sock_diag);
  if (!addresses)
    return addresses.error();
  OldestWaits waits;
  for (const TcpAddress &address : *addresses)
    waits.add_listener(address);
  if (Failure failure = sock_diag.dump_waiting(
          ports, [&](const WaitingConnection &connection) { waits.add_waiting(connection); }))
    return failure;
  for (const OldestWaits::Oldest &oldest : waits.oldest()) {
    if (!oldest.age)
      continue;
    OldestWaits::Age &age = ages[identify_tcp_listener(oldest.listener, label).name];
    age = std::max(age, *oldest.age);
  }
  return std::nullopt;
}

std::string refusal() { return Error{EACCES, "look into other processes"}.message(); }

/// What the thread owns. An exception ends the thread, as it does the sampler's.
class SurveyingLoop {
public:
  SurveyingLoop(std::shared_ptr<const Config> config, Config::Seconds interval,
                std::shared_ptr<SurveyBoard> board, Mailbox<Survey> &mailbox)
      : config_(std::move(config)), mailbox_(mailbox), board_(std::move(board)),
        budget_(scan_share, std::chrono::duration_cast<ScanBudget::Duration>(interval)) {}

  void run() {
    while (mailbox_.sleep_until(std::nullopt) != Mailbox<Survey>::Wake::stopping)
      mailbox_.deliver(survey());
  }

private:
  Survey survey() {
    survey_ = Survey();
    if (selects_net_namespaces(*config_))
      find_namespaces();
    const auto others = board_->namespaces();
    std::vector<Place> places(1);
    for (const NetNamespace &other : *others)
      places.push_back({&other});

    mailbox_.progress().note("limits and listeners");
    for (const Place &place : places)
      visit(place, [&] { read_limits(place); });
    if (config_->report_owner && listing_budget_.until(listing_cost_, Clock::now()).count() == 0)
      list_sockets(places);
    survey_.faults.insert(survey_.faults.end(), listing_faults_.begin(), listing_faults_.end());
    scan(places);
    if (config_->report_owner)
      tell_owners();
    return std::move(survey_);
  }

  void find_namespaces() {
    mailbox_.progress().note("list of net namespaces");
    post_namespaces();
    if (without_room_ > 0)
      survey_.faults.push_back(
          {"room for all other net namespaces",
           std::to_string(without_room_) + " more than the " + std::to_string(most_namespaces) +
               " that are looked into; those come first that have a file, or were there first"});
    if (const Failure &closed = finder_.folder_refusal())
      survey_.faults.push_back({"other net namespaces in " + closed->what,
                                std::generic_category().message(closed->code)});
    // Who asks for one by name asks for its file.
    if (finder_.refused() && config_->net_namespaces.has_regex())
      survey_.faults.push_back({"other net namespaces without a file", refusal()});
  }

  void post_namespaces() {
    if (found_at_ && Clock::now() - *found_at_ < find_namespaces_every)
      return;
    Result<SurveyBoard::Namespaces> found = finder_.find();
    if (!found) { // the last list stands
      survey_.faults.push_back({"list of other net namespaces", found.error().message()});
      return;
    }
    found_at_ = Clock::now();
    std::erase_if(*found, [&](const NetNamespace &other) {
      return !selects_net_namespace(*config_, other.name);
    });
    without_room_ = keep_most(*found, *board_->namespaces(), most_namespaces);
    board_->post(std::move(*found));
  }

  template <class Look> void visit(const Place &place, Look look) {
    if (place.other == nullptr) {
      look();
      return;
    }
    if (!door_) {
      Result<NetNamespaceDoor> door = NetNamespaceDoor::make();
      if (!door) {
        survey_.faults.push_back({"other net namespaces", door.error().message()});
        return;
      }
      door_ = std::move(*door);
    }
    // Why one cannot be entered, the sampler says.
    (void)door_->visit(*place.other, look);
  }

  NamespaceSurvey &survey_of(const Place &place) {
    return place.other != nullptr ? survey_.others[place.id()] : survey_.own;
  }

  void read_limits(const Place &place) {
    NamespaceSurvey &survey = survey_of(place);
    survey.limits = limits_.read();
    if (!survey.limits.somaxconn)
      survey_.faults.push_back(
          {place.part("limits of the kernel"), "cannot read net.core.somaxconn"});
  }

  void list_sockets(const std::vector<Place> &places) {
    const auto before = thread_cpu_time();
    sockets_.clear();
    listing_faults_.clear();
    for (const Place &place : places)
      visit(place, [&] { list_sockets(place); });
    owners_.update(sockets_);
    listing_cost_ = thread_cpu_time() - before;
    listing_budget_.spend(listing_cost_, Clock::now());
  }

  void list_sockets(const Place &place) {
    // Each by itself: a kernel may have one of the two modules only.
    const Failure tcp = list_tcp_sockets();
    const Failure unix_sockets = config_->report_unix ? list_unix_sockets() : Failure();
    if (tcp || unix_sockets)
      listing_faults_.push_back({place.part("owners"), (tcp ? tcp : unix_sockets)->message()});
  }

  Failure list_tcp_sockets() {
    Result<SockDiag> sock_diag = SockDiag::open();
    if (!sock_diag)
      return sock_diag.error();
    return sock_diag->dump_tcp_listeners([&](const TcpListener &listener) {
      sockets_.push_back(
          {listener.cookie, listener.inode, listener.cgroup_id, listener.queue_length > 0});
    });
  }

  Failure list_unix_sockets() {
    Result<SockDiag> sock_diag = SockDiag::open();
    if (!sock_diag)
      return sock_diag.error();
    return sock_diag->dump_unix_listeners([&](const UnixListener &listener) {
      if (sockets_.size() >= most_listed && listener.queue_length == 0 &&
          owners_.find(listener.cookie) == nullptr)
        return;
      sockets_.push_back({listener.cookie, listener.inode, 0, listener.queue_length > 0});
    });
  }

  void tell_owners() {
    for (const OwnedSocket &socket : sockets_)
      if (const Owner *owner = owners_.find(socket.cookie))
        survey_.owners.emplace(socket.cookie, *owner);
    if (owners_.refused())
      survey_.faults.push_back({"owners", refusal()});
  }

  /// The scans of all connections, and of all processes, as far as there is time for them.
  void scan(const std::vector<Place> &places) {
    wishes_ = board_->wishes();
    std::map<std::string, std::pair<const Place *, ScanKind>> scans; // by name
    if (config_->report_owner && owners_.wants_scan())
      scans["owners"] = {&places.front(), ScanKind::owners};
    for (const Place &place : places) {
      const bool is_own = place.other == nullptr;
      if (config_->report_syn_queue && (is_own || wishes_.syn_queues.contains(place.id())))
        scans[place.part("SYN queues")] = {&place, ScanKind::syn_queues};
      if (wishes_.wait_ports.contains(place.id()))
        scans[place.part("oldest waits")] = {&place, ScanKind::oldest_waits};
    }
    std::vector<std::string> wanted;
    wanted.reserve(scans.size());
    for (const auto &[name, what] : scans)
      wanted.push_back(name);

    if (const auto sockets = sockets_reader_.read())
      tcp_sockets_ = *sockets;
    budget_.begin(wanted, Clock::now(), tcp_sockets_);
    while (const auto name = budget_.next()) {
      const auto &[place, kind] = scans.at(*name);
      mailbox_.progress().note(step_of(kind));
      const auto before = thread_cpu_time();
      Failure failure;
      visit(*place, [&, &place = *place, &kind = kind] { failure = run_scan(place, kind); });
      budget_.report(*name, thread_cpu_time() - before);
      if (failure)
        survey_.faults.push_back({*name, failure->message()});
    }
    for (Fault &skipped : budget_.skipped())
      survey_.faults.push_back(std::move(skipped));
  }

  Failure run_scan(const Place &place, ScanKind kind) {
    if (kind == ScanKind::owners) {
      owners_.scan();
      return std::nullopt;
    }
    Result<SockDiag> sock_diag = SockDiag::open();
    if (!sock_diag)
      return sock_diag.error();
    NamespaceSurvey &survey = survey_of(place);
    if (kind == ScanKind::oldest_waits)
      return find_oldest_waits(*sock_diag, place.label(), wishes_.wait_ports.at(place.id()),
                               survey.oldest_waits);
    SynQueues queues;
    if (Failure failure = count_syn_queues(*sock_diag, place.label(), queues))
      return failure;
    survey.syn_queues = std::move(queues);
    return std::nullopt;
  }

  std::shared_ptr<const Config> config_;
  Mailbox<Survey> &mailbox_;
  std::shared_ptr<SurveyBoard> board_;
  ScanBudget budget_;
  TcpSocketsReader sockets_reader_;
  NetLimitsReader limits_;
  OwnerBook owners_;
  NetNamespaceFinder finder_;
  std::optional<NetNamespaceDoor> door_;
  std::optional<Clock::time_point> found_at_; ///< the other namespaces
  std::size_t without_room_ = 0;              ///< of them
  CpuBudget listing_budget_{listing_share, Clock::now()};
  CpuBudget::Duration listing_cost_{0}; ///< of the last one
  std::vector<Fault> listing_faults_;   ///< likewise
  std::uint64_t tcp_sockets_ = 0;       ///< as of the last reading

  // Of the survey under way.
  Survey survey_;
  ScanWishes wishes_;
  std::vector<OwnedSocket> sockets_; ///< of the last list
};

} // namespace

std::optional<int> Surveyor::start(const std::shared_ptr<const Config> &config,
                                   std::chrono::duration<double> interval,
                                   const std::shared_ptr<SurveyBoard> &board) {
  return AskedWorker::start("backlog survey", [config, interval, board](Mailbox<Survey> &mailbox) {
    SurveyingLoop(config, interval, board, mailbox).run();
  });
}

} // namespace backlog
