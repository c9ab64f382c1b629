#include "surveyor.h"

#include "client_search.h"
#include "listener_identity.h"
#include "local_addresses.h"
#include "net_limits.h"
#include "oldest_wait.h"
#include "owner.h"
#include "pace.h"
#include "scan_budget.h"
#include "sock_diag.h"
#include "sockstat.h"
#include "syn_queue_lengths.h"
#include "thread_cpu_time.h"
#include "unix_paths.h"
#include "unix_wait_clocks.h"

#include <algorithm>
#include <cerrno>
#include <map>
#include <system_error>
#include <utility>

namespace backlog {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds look_for_namespaces_every{1};
// Share of one CPU. Searching the processes for namespaces takes some milliseconds per thousand.
constexpr double find_namespaces_share = 0.005;
// Any user can make user namespaces, each with a net namespace. With 512 of them each of the two
// threads takes 1.3 % of a CPU at an interval of 10 s; a node runs at most 250 containers.
constexpr std::size_t most_namespaces = 256;
// Above this, only Unix listeners whose queue is not empty or whose owner is known.
constexpr std::size_t most_listed = 30000;
// Share of one CPU for scans of all connections and processes, lists of all listening sockets for
// their owners and places, and looks at clients of Unix listeners; one percent with the above.
constexpr double scan_share = 0.0055;
constexpr double listing_share = 0.0025;
constexpr double unix_look_share = 0.002;
// Of one CPU, for the limits of other namespaces.
constexpr double limits_share = 0.001;
// Looks at TCP connections within one scan.
constexpr int most_looks = 3;
// Looks at the clients of Unix listeners while a stall is to be found.
constexpr int unix_looks = 3;
constexpr std::chrono::seconds shortest_unix_look_period{1};
constexpr std::chrono::seconds longest_unix_look_period{10};
constexpr std::size_t most_unix_queues = 1000;

/// A net namespace to survey; nullptr for collectd's own.
struct Place {
  const NetNamespace *other = nullptr;

  NetNamespaceId id() const { return other != nullptr ? other->id : NetNamespaceId{}; }
  NamespaceLabel label() const {
    return other != nullptr ? NamespaceLabel{other->name, other->has_id} : NamespaceLabel{};
  }
  /// The name of a part of the output in the log.
  std::string part(const char *name) const {
    return other != nullptr ? name + of_net_namespace(other->name) : name;
  }
};

enum class ScanKind : std::uint8_t { owners, syn_queues, oldest_waits, clients };

const char *step_of(ScanKind kind) {
  switch (kind) {
  case ScanKind::owners:
    return "owners";
  case ScanKind::syn_queues:
    return "SYN queues";
  case ScanKind::clients:
    return "clients";
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

Failure count_syn_queues(SockDiag &sock_diag, const NamespaceLabel &label,
                         SynQueueLengths &queues) {
  const auto addresses = tcp_addresses(sock_diag);
  if (!addresses)
    return addresses.error();
  SynQueueCounter count;
  for (const TcpAddress &address : *addresses)
    count.add_listener(address);
  if (Failure failure = sock_diag.dump_half_open(
          [&](const HalfOpen &connection) { count.add_half_open(connection.local); }))
    return failure;
  queues.total = count.total();
  for (const SynQueueCounter::Queue &queue : count.queues())
    if (queue.length > 0)
      queues.by_listener[lasting_key(identify_tcp_listener(queue.listener, label))] += queue.length;
  return std::nullopt;
}

using LooksByName = std::map<std::string, TcpQueueLook>; // by lasting_key()

/// Reads the listeners first and then the waiting connections. A connection accepted in between is
/// missing, like one that its client has reset.
Result<LooksByName> look_at_tcp_waits(SockDiag &sock_diag, const NamespaceLabel &label,
                                      const std::vector<std::uint16_t> &ports,
                                      Clock::time_point as_of) {
  OldestWaitFinder waits;
  if (Failure failure = sock_diag.dump_tcp_listeners([&](const TcpListener &listener) {
        if (std::binary_search(ports.begin(), ports.end(), listener.address.port))
          waits.add_listener(listener.address, listener.queue_length,
                             {.cookie = listener.cookie, .inode = listener.inode});
      }))
    return *failure;
  if (Failure failure = sock_diag.dump_waiting(ports, [&](WaitingConnection connection) {
        const auto since =
            std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - as_of);
        connection.age = std::max(connection.age - since, std::chrono::milliseconds(0));
        waits.add_waiting(connection);
      }))
    return *failure;
  LooksByName by_name;
  for (OldestWaitFinder::Oldest &oldest : std::move(waits).oldest()) {
    const std::string name = lasting_key(identify_tcp_listener(oldest.listener, label));
    by_name[name].add(std::move(oldest));
  }
  return by_name;
}

/// Looks again if connections were missing: one that two looks miss was hardly accepted in between.
Failure look_until_all_are_seen(SockDiag &sock_diag, const NamespaceLabel &label,
                                const std::vector<std::uint16_t> &ports, Clock::time_point as_of,
                                LooksByName &found) {
  for (int number = 0; number < most_looks; ++number) {
    auto by_name = look_at_tcp_waits(sock_diag, label, ports, as_of);
    if (!by_name)
      return by_name.error();
    bool all_seen = true;
    for (auto &[name, look] : *by_name) {
      all_seen = all_seen && look.waits.invisible == 0;
      const auto [known, is_new] = found.try_emplace(name);
      if (is_new || look.waits.invisible < known->second.waits.invisible)
        known->second = std::move(look);
    }
    if (all_seen)
      break;
  }
  return std::nullopt;
}

std::string refusal() { return Error{EACCES, "look into other processes"}.message(); }

/// The thread's data. An exception ends the thread, as in the sampler.
class SurveyingLoop {
public:
  SurveyingLoop(std::shared_ptr<const Config> config, Config::Seconds interval,
                std::shared_ptr<SurveyBoard> board, Request<Survey> &request)
      : config_(std::move(config)), request_(request), board_(std::move(board)),
        unix_paths_(watched_paths(*config_)),
        budget_(scan_share, std::chrono::duration_cast<ScanBudget::Duration>(interval)),
        unix_look_period_(unix_look_period(*config_)), interval_(interval),
        clients_(config_->report_clients, config_->report_owner) {}

  void run() {
    // Ensures that the sampler no longer wakes this thread once it is left behind.
    const WakenBy waken(*board_, request_);
    for (;;) {
      switch (request_.sleep_until(next_look())) {
      case Request<Survey>::Wake::stopping:
        return;
      case Request<Survey>::Wake::asked:
        in_survey_ = true;
        request_.deliver(survey());
        in_survey_ = false;
        find_unix_listeners();
        place_new_unix_listeners();
        break;
      case Request<Survey>::Wake::due:
        if (is_over(next_namespace_look()))
          look_for_namespaces();
        if (is_over(next_unix_look()))
          look_at_unix_queues(places(*board_->namespaces()));
        place_new_unix_listeners();
        break;
      }
    }
  }

private:
  static Clock::duration unix_look_period(const Config &config) {
    return std::clamp<Clock::duration>(
        std::chrono::duration_cast<Clock::duration>(config.stalled_after / unix_looks),
        shortest_unix_look_period, longest_unix_look_period);
  }

  /// When surveys are too far apart, the time for a look in between.
  std::optional<Clock::time_point> next_unix_look() const {
    if (!unix_looked_at_ || interval_ < 2 * unix_look_period_)
      return std::nullopt;
    return *unix_looked_at_ + unix_look_period_;
  }

  std::optional<Clock::time_point> next_namespace_look() const {
    if (!selects_net_namespaces(*config_))
      return std::nullopt;
    return looked_at_ + look_for_namespaces_every;
  }

  std::optional<Clock::time_point> next_look() const {
    const auto namespaces = next_namespace_look();
    const auto queues = next_unix_look();
    return namespaces && queues ? std::min(namespaces, queues) : namespaces ? namespaces : queues;
  }

  static bool is_over(const std::optional<Clock::time_point> &due) {
    return due && *due <= Clock::now();
  }

  static std::vector<Place> places(const std::vector<NetNamespace> &others) {
    std::vector<Place> places(1);
    for (const NetNamespace &other : others)
      places.push_back({&other});
    return places;
  }

  /// While it exists, the sampler can wake this thread.
  class WakenBy {
  public:
    WakenBy(SurveyBoard &board, Request<Survey> &request) : board_(board) {
      board_.wake_surveyor_by([&request] { request.nudge(); });
    }
    ~WakenBy() { board_.wake_surveyor_by(nullptr); }
    WakenBy(const WakenBy &) = delete;
    WakenBy &operator=(const WakenBy &) = delete;

  private:
    SurveyBoard &board_;
  };

  static std::vector<std::string> watched_paths(const Config &config) {
    std::vector<std::string> paths;
    for (const Watch &watch : config.watches)
      if (watch.entry.is_path())
        paths.push_back(watch.entry.text());
    return paths;
  }

  /// Comes after the survey has been delivered, because it may take long.
  void find_unix_listeners() {
    if (!config_->report_unix || !has_listed_)
      return;
    request_.progress().note("paths of Unix sockets");
    unix_paths_.update(unix_files_, [this](std::uint64_t cookie) {
      const Owner *owner = owners_.find(cookie);
      return owner != nullptr
                 ? UnixFileOwner{owner->pid, owner->unit, owners_.is_looked_for(cookie)}
                 : UnixFileOwner{0, "", !config_->report_owner};
    });
    post_unix_places();
  }

  void place_new_unix_listeners() {
    unix_paths_.add(board_->take_unplaced());
    post_unix_places();
  }

  void post_unix_places() {
    if (auto places = unix_paths_.take_changed())
      board_->post(std::move(places));
    board_->note_unix_look();
  }

  Survey survey() {
    survey_ = Survey();
    clients_.begin();
    if (selects_net_namespaces(*config_))
      find_namespaces();
    const auto others = board_->namespaces();
    const std::vector<Place> places = SurveyingLoop::places(*others);
    requests_ = board_->requests();
    survey_.waits_of = requests_.of;

    request_.progress().note("limits and listeners");
    survey_.unreachable = unix_paths_.gone();
    read_limits(places);
    has_listed_ = (config_->report_owner || config_->report_unix) &&
                  listing_budget_.until(listing_cost_, Clock::now()).count() == 0;
    if (has_listed_)
      list_sockets(places);
    survey_.faults.insert(survey_.faults.end(), listing_faults_.begin(), listing_faults_.end());
    look_at_unix_queues(places);
    survey_.unix_waits = unix_clocks_.waits();
    scan(places);
    report_clients();
    clients_.end();
    if (config_->report_owner)
      report_owners();
    return std::move(survey_);
  }

  void find_namespaces() {
    request_.progress().note("list of net namespaces");
    looked_at_ = Clock::now();
    post_namespaces();
    if (without_room_ > 0)
      survey_.faults.push_back(
          {"room for all other net namespaces",
           std::to_string(without_room_) + " more than the " + std::to_string(most_namespaces) +
               " that are sampled; those with a file and older ones come first"});
    if (const Failure &closed = finder_.folder_refusal())
      survey_.faults.push_back({"other net namespaces in " + closed->what,
                                std::generic_category().message(closed->code)});
    // A configuration that names a namespace means its file.
    if (finder_.refused() && config_->net_namespaces.has_regex())
      survey_.faults.push_back({"other net namespaces without a file", refusal()});
  }

  void post_namespaces() {
    // Looks at files only while the last full look is within its share.
    const auto before = thread_cpu_time();
    const Clock::time_point now = Clock::now();
    const bool by_processes = now >= find_by_processes_at_;
    Result<SurveyBoard::Namespaces> found = finder_.find(
        by_processes ? NetNamespaceFinder::Look::everywhere : NetNamespaceFinder::Look::at_files);
    if (by_processes)
      find_by_processes_at_ = now + std::chrono::duration_cast<Clock::duration>(
                                        (thread_cpu_time() - before) / find_namespaces_share);
    if (!found) // keep the last list
      survey_.faults.push_back({"list of other net namespaces", found.error().message()});
    else
      post(std::move(*found));
  }

  void post(SurveyBoard::Namespaces found) {
    std::erase_if(found, [&](const NetNamespace &other) {
      return !selects_net_namespace(*config_, other.name);
    });
    without_room_ = keep_most(found, *board_->namespaces(), most_namespaces);
    if (found != *board_->namespaces())
      board_->post(std::move(found));
  }

  /// Runs between surveys, so that a new namespace with a file is known within a second.
  void look_for_namespaces() {
    looked_at_ = Clock::now();
    if (!finder_.files_changed())
      return;
    // The survey reports why there is no list.
    if (auto found = finder_.find(NetNamespaceFinder::Look::at_files))
      post(std::move(*found));
  }

  template <class Look> void run_in(const Place &place, Look look) {
    if (place.other == nullptr) {
      look();
      return;
    }
    if (!switch_) {
      Result<NetNamespaceSwitch> made = NetNamespaceSwitch::make();
      if (!made) {
        survey_.faults.push_back({"other net namespaces", made.error().message()});
        return;
      }
      switch_ = std::move(*made);
    }
    // The sampler reports why a namespace cannot be entered.
    (void)switch_->run_in(*place.other, look);
  }

  NamespaceSurvey &survey_of(const Place &place) {
    return place.other != nullptr ? survey_.others[place.id()] : survey_.own;
  }

  /// Where there are very many namespaces, the limits of some are those of an earlier survey: they
  /// are read in turn, those without any first.
  void read_limits(const std::vector<Place> &places) {
    std::map<NetNamespaceId, ReadLimits> known;
    std::vector<const Place *> turns;
    for (const Place &place : places) {
      if (const auto before = known_limits_.find(place.id()); before != known_limits_.end())
        known.insert(*before);
      turns.push_back(&place);
    }
    known_limits_ = std::move(known);
    std::stable_sort(turns.begin() + 1, turns.end(),
                     [this](const Place *a, const Place *b) { return read_at(*a) < read_at(*b); });
    for (const Place *place : turns) {
      const auto now = Clock::now();
      if (place->other != nullptr && limits_budget_.until(limits_cost_, now).count() > 0)
        break;
      const auto before = thread_cpu_time();
      run_in(*place, [&] { known_limits_[place->id()] = {limits_.read(), now}; });
      if (place->other == nullptr)
        continue;
      limits_cost_ = thread_cpu_time() - before;
      limits_budget_.spend(limits_cost_, now);
    }
    for (const Place &place : places) {
      const auto read = known_limits_.find(place.id());
      if (read == known_limits_.end())
        continue;
      survey_of(place).limits = read->second.limits;
      if (!read->second.limits.somaxconn)
        survey_.faults.push_back(
            {place.part("limits of the kernel"), "cannot read net.core.somaxconn"});
    }
  }

  Clock::time_point read_at(const Place &place) const {
    const auto read = known_limits_.find(place.id());
    return read == known_limits_.end() ? Clock::time_point::min() : read->second.at;
  }

  void list_sockets(const std::vector<Place> &places) {
    const auto before = thread_cpu_time();
    sockets_.clear();
    unix_files_.clear();
    listing_faults_.clear();
    for (const Place &place : places)
      run_in(place, [&] { list_sockets(place); });
    request_.progress().note("paths of Unix sockets");
    unix_paths_.add(unix_files_);
    post_unix_places();
    owners_.update(sockets_);
    listing_cost_ = thread_cpu_time() - before;
    listing_budget_.spend(listing_cost_, Clock::now());
  }

  void list_sockets(const Place &place) {
    // Listed separately, because a kernel may have only one of the two modules.
    const Failure tcp = config_->report_owner ? list_tcp_sockets() : Failure();
    const Failure unix_sockets = config_->report_unix ? list_unix_sockets(place) : Failure();
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

  Failure list_unix_sockets(const Place &place) {
    Result<SockDiag> sock_diag = SockDiag::open();
    if (!sock_diag)
      return sock_diag.error();
    return sock_diag->dump_unix_listeners([&](const UnixListener &listener) {
      if (std::max(sockets_.size(), unix_files_.size()) >= most_listed &&
          listener.queue_length == 0 && owners_.find(listener.cookie) == nullptr)
        return;
      if (config_->report_owner || unix_paths_.wanting_owner().contains(listener.cookie))
        sockets_.push_back({listener.cookie, listener.inode, 0, listener.queue_length > 0});
      if (has_unix_file(listener))
        unix_files_.push_back({.cookie = listener.cookie,
                               .path = std::string(listener.address),
                               .inode = listener.file_inode,
                               .device = listener.file_device,
                               .net_namespace = place.id().inode});
    });
  }

  void look_at_unix_queues(const std::vector<Place> &places) {
    if (!config_->report_unix)
      return;
    unix_looked_at_ = Clock::now();
    if (unix_look_budget_.until(unix_look_cost_, Clock::now()).count() > 0)
      return;
    const auto before = thread_cpu_time();
    // The sampler reports a failure.
    for (const Place &place : places)
      run_in(place, [&] { (void)look_at_unix_queues(); });
    unix_clocks_.end_look();
    unix_look_cost_ = thread_cpu_time() - before;
    unix_look_budget_.spend(unix_look_cost_, Clock::now());
  }

  Failure look_at_unix_queues() {
    Result<SockDiag> sock_diag = SockDiag::open();
    if (!sock_diag)
      return sock_diag.error();
    std::vector<std::pair<std::uint64_t, std::uint32_t>> queues; // cookie and inode
    if (Failure failure = sock_diag->dump_unix_listeners([&](const UnixListener &listener) {
          if (listener.queue_length > 0)
            queues.emplace_back(listener.cookie, listener.inode);
        }))
      return failure;
    for (const auto &[cookie, inode] : queues) {
      if (unix_clocks_.size() >= most_unix_queues && !unix_clocks_.knows(cookie))
        continue;
      const auto peers = sock_diag->unix_peers(inode, cookie);
      if (!peers || peers->empty())
        continue;
      unix_clocks_.see(cookie, *peers, Clock::now());
      if (in_survey_ && clients_.is_on() && requests_.any_trouble)
        clients_.add_unix({.cookie = cookie, .inode = inode, .owner = {}}, *peers);
    }
    return std::nullopt;
  }

  void report_owners() {
    for (const OwnedSocket &socket : sockets_)
      if (const Owner *owner = owners_.find(socket.cookie))
        survey_.owners.emplace(socket.cookie, *owner);
    if (owners_.refused())
      survey_.faults.push_back({"owners", refusal()});
  }

  /// Scans all connections and all processes, as far as the budget allows.
  void scan(const std::vector<Place> &places) {
    std::map<std::string, std::pair<const Place *, ScanKind>> scans; // keyed by name
    if (owners_.wants_scan())
      scans["owners"] = {&places.front(), ScanKind::owners};
    for (const Place &place : places) {
      const bool is_own = place.other == nullptr;
      if (config_->report_syn_queue && (is_own || requests_.syn_queues.contains(place.id())))
        scans[place.part("SYN queues")] = {&place, ScanKind::syn_queues};
      if (requests_.wait_ports.contains(place.id()) ||
          (clients_.is_on() && requests_.further_ports.contains(place.id())))
        scans[place.part("oldest waits")] = {&place, ScanKind::oldest_waits};
    }
    const std::string clients = "clients";
    if (clients_.wants_processes() && requests_.any_trouble)
      scans[clients] = {&places.front(), ScanKind::clients};
    std::vector<std::string> wanted;
    wanted.reserve(scans.size());
    for (const auto &[name, what] : scans)
      wanted.push_back(name);

    if (const auto sockets = sockets_reader_.read())
      tcp_sockets_ = *sockets;
    budget_.begin(wanted, Clock::now(), tcp_sockets_, clients);
    while (const auto name = budget_.next()) {
      const auto &[place, kind] = scans.at(*name);
      request_.progress().note(step_of(kind));
      const auto before = thread_cpu_time();
      Failure failure;
      run_in(*place, [&, &place = *place, &kind = kind] {
        if (kind == ScanKind::clients)
          find_clients(places);
        else
          failure = run_scan(place, kind);
      });
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
      return find_tcp_waits(*sock_diag, place, survey);
    SynQueueLengths queues;
    if (Failure failure = count_syn_queues(*sock_diag, place.label(), queues))
      return failure;
    survey.syn_queues = std::move(queues);
    return std::nullopt;
  }

  Failure find_tcp_waits(SockDiag &sock_diag, const Place &place, NamespaceSurvey &survey) {
    LooksByName looks;
    Failure failure = look_until_all_are_seen(sock_diag, place.label(),
                                              requests_.ports_of(place.id()), requests_.of, looks);
    for (auto &[name, look] : looks) {
      if (clients_.is_on() && !failure)
        clients_.add_tcp(sock_diag, place.id(), name, look);
      survey.tcp_waits.emplace(name, std::move(look.waits));
    }
    return failure;
  }

  void find_clients(const std::vector<Place> &places) {
    std::map<NetNamespaceId, const Place *> by_id;
    std::vector<NetNamespaceId> ids;
    for (const Place &place : places) {
      by_id.emplace(place.id(), &place);
      ids.push_back(place.id());
    }
    NetlinkSocket::Buffer buffer;
    clients_.find_in_other_namespaces(
        ids,
        [&](NetNamespaceId id, FunctionRef<void(const TcpAddress &)> pass) {
          run_in(*by_id.at(id), [&] { (void)read_local_addresses(pass, buffer); });
        },
        [&](NetNamespaceId id, std::span<const ClientNamespaces::Question> questions) {
          std::vector<ClientNamespaces::Answer> answers;
          run_in(*by_id.at(id), [&] { answers = find_tcp_ends(questions, buffer); });
          return answers;
        });
    clients_.find_processes(sockets_);
  }

  /// Returns as many as it could answer.
  static std::vector<ClientNamespaces::Answer>
  find_tcp_ends(std::span<const ClientNamespaces::Question> questions,
                NetlinkSocket::Buffer &buffer) {
    std::vector<ClientNamespaces::Answer> answers;
    Result<SockDiag> sock_diag = SockDiag::open(std::move(buffer));
    if (!sock_diag)
      return answers;
    for (const ClientNamespaces::Question &question : questions) {
      const auto inode = sock_diag->find_tcp_end(question.local, question.remote, question.what);
      if (!inode)
        return answers;
      answers.push_back(*inode);
    }
    buffer = sock_diag->take_buffer();
    return answers;
  }

  void report_clients() {
    if (!clients_.is_on() || !requests_.any_trouble)
      return;
    clients_.identify_processes(sockets_,
                                [this](std::uint64_t cookie) { return owners_.find(cookie); });
    for (auto &[key, clients] : clients_.tcp_clients()) {
      const auto &[net_namespace, name] = key;
      NamespaceSurvey &survey =
          net_namespace == NetNamespaceId{} ? survey_.own : survey_.others[net_namespace];
      survey.tcp_clients.emplace(name, std::move(clients));
    }
    survey_.unix_clients = clients_.unix_clients();
  }

  std::shared_ptr<const Config> config_;
  Request<Survey> &request_;
  std::shared_ptr<SurveyBoard> board_;
  UnixPaths unix_paths_;
  ScanBudget budget_;
  TcpSocketsReader sockets_reader_;
  NetLimitsReader limits_;
  struct ReadLimits {
    NetLimits limits;
    Clock::time_point at;
  };
  std::map<NetNamespaceId, ReadLimits> known_limits_;
  CpuBudget limits_budget_{limits_share, Clock::now()};
  CpuBudget::Duration limits_cost_{0}; ///< of the last one of another namespace
  OwnerCache owners_;
  NetNamespaceFinder finder_;
  std::optional<NetNamespaceSwitch> switch_;
  Clock::time_point looked_at_;            ///< search for other namespaces
  Clock::time_point find_by_processes_at_; ///< earliest time
  std::size_t without_room_ = 0;           ///< namespaces left out
  CpuBudget listing_budget_{listing_share, Clock::now()};
  CpuBudget::Duration listing_cost_{0}; ///< of the last list
  std::vector<Fault> listing_faults_;   ///< from the last list
  bool has_listed_ = false;             ///< in the last survey
  std::uint64_t tcp_sockets_ = 0;       ///< at the last reading
  UnixWaitClocks unix_clocks_;
  Clock::duration unix_look_period_;
  Config::Seconds interval_; ///< collectd's
  std::optional<Clock::time_point> unix_looked_at_;
  CpuBudget unix_look_budget_{unix_look_share, Clock::now()};
  CpuBudget::Duration unix_look_cost_{0}; ///< of the last look
  ClientSearch clients_;

  // The current survey.
  bool in_survey_ = false; ///< else a look between two surveys
  Survey survey_;
  ScanRequests requests_;
  std::vector<OwnedSocket> sockets_; ///< from the last list
  std::vector<UnixFile> unix_files_; ///< from the last list
};

} // namespace

std::optional<int> Surveyor::start(const std::shared_ptr<const Config> &config,
                                   std::chrono::duration<double> interval,
                                   const std::shared_ptr<SurveyBoard> &board) {
  return RequestThread::start("backlog survey",
                              [config, interval, board](Request<Survey> &request) {
                                SurveyingLoop(config, interval, board, request).run();
                              });
}

} // namespace backlog
