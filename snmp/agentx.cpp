#include "agentx.h"

// Order matters: the others do not compile alone.
// clang-format off
#include <net-snmp/net-snmp-config.h>
#include <net-snmp/net-snmp-includes.h>
#include <net-snmp/agent/net-snmp-agent-includes.h>
#include <net-snmp/agent/agent_callbacks.h>
#include <net-snmp/agent/agent_registry.h>
#include <net-snmp/agent/agent_sysORTable.h>
#include <net-snmp/library/large_fd_set.h>
// clang-format on

#include <algorithm>
#include <array>
#include <atomic>
#include <future>
#include <map>
#include <string_view>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

namespace backlog {

namespace {

constexpr const char *application = "backlog-agentx";
// Time between attempts to connect, between pings, and between attempts to register.
constexpr int retry_seconds = 2;
// An snmpd that runs a slow script answers nobody meanwhile, which is no reason to disconnect.
constexpr int answer_timeout_seconds = 5;
constexpr int resend_seconds = 1; // until what could not be sent is tried again
constexpr std::chrono::milliseconds after_fault{100};
// Traps are UDP: 2000 at once overflow snmptrapd's receive buffer and are lost.
constexpr std::chrono::milliseconds notification_distance{4};
// The library logs this when snmpd refuses a Register; it neither returns the error nor tries
// again.
constexpr std::string_view refused_message = "registering pdu failed";
// RFC 2741, 6.1 and 6.2.16; the library does not install the header that has it.
constexpr int agentx_notify_pdu = 12;
constexpr long agentx_not_open = 257;
constexpr std::array<oid, 11> snmp_trap_oid{1, 3, 6, 1, 6, 3, 1, 1, 4, 1, 0};

enum NotificationNumber : std::uint32_t {
  listener_alarm = 1,
  listener_clear,
  monitor_stale,
  monitor_current
};

/// A list of variables that frees itself.
class VariableList {
public:
  VariableList() = default;
  VariableList(const VariableList &) = delete;
  VariableList &operator=(const VariableList &) = delete;
  ~VariableList() { snmp_free_varbind(list_); }

  void add(const std::vector<oid> &name, const MibValue &value);
  void add_trap_oid(const std::vector<oid> &trap) {
    snmp_varlist_add_variable(&list_, snmp_trap_oid.data(), snmp_trap_oid.size(), ASN_OBJECT_ID,
                              reinterpret_cast<const u_char *>(trap.data()),
                              trap.size() * sizeof(oid));
  }
  netsnmp_variable_list *release() { return std::exchange(list_, nullptr); }

private:
  netsnmp_variable_list *list_ = nullptr;
};

struct FreePdu {
  void operator()(netsnmp_pdu *pdu) const { snmp_free_pdu(pdu); }
};

/// A set of file descriptors without the limit of FD_SETSIZE.
struct FdSet {
  FdSet() { netsnmp_large_fd_set_init(&set, FD_SETSIZE); }
  FdSet(const FdSet &) = delete;
  FdSet &operator=(const FdSet &) = delete;
  ~FdSet() { netsnmp_large_fd_set_cleanup(&set); }

  netsnmp_large_fd_set set{};
};

void set_value(netsnmp_variable_list &variable, const MibValue &value) {
  using Type = MibValue::Type;
  const auto number = static_cast<long>(value.number);
  switch (value.type) {
  case Type::integer:
    snmp_set_var_typed_integer(&variable, ASN_INTEGER, number);
    break;
  case Type::gauge:
    snmp_set_var_typed_integer(&variable, ASN_GAUGE, number);
    break;
  case Type::counter32:
    snmp_set_var_typed_integer(&variable, ASN_COUNTER, number);
    break;
  case Type::time_ticks:
    snmp_set_var_typed_integer(&variable, ASN_TIMETICKS, number);
    break;
  case Type::counter64: {
    const counter64 counter{static_cast<u_long>(value.number >> 32U),
                            static_cast<u_long>(value.number & 0xffffffffU)};
    snmp_set_var_typed_value(&variable, ASN_COUNTER64, &counter, sizeof counter);
    break;
  }
  case Type::octets:
    snmp_set_var_typed_value(&variable, ASN_OCTET_STR, value.octets.data(), value.octets.size());
    break;
  }
}

void VariableList::add(const std::vector<oid> &name, const MibValue &value) {
  netsnmp_variable_list *variable =
      snmp_varlist_add_variable(&list_, name.data(), name.size(), ASN_NULL, nullptr, 0);
  if (variable != nullptr)
    set_value(*variable, value);
}

} // namespace

class AgentX::Loop {
public:
  Loop(AgentXOptions options, Monitor &monitor, std::function<void(const std::string &)> log)
      : options_(std::move(options)), monitor_(monitor), log_(std::move(log)),
        wake_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    for (const std::uint32_t number : options_.root)
      base_.push_back(number);
    base_.push_back(1);
  }
  Loop(const Loop &) = delete;
  Loop &operator=(const Loop &) = delete;
  ~Loop() { ::close(wake_fd_); }

  void start() {
    ended_ = has_ended_.get_future();
    thread_ = std::thread([this] {
      run();
      has_ended_.set_value();
    });
  }
  void wake() const {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(wake_fd_, &one, sizeof one);
  }
  bool stop(std::chrono::milliseconds patience) {
    stopping_ = true;
    wake();
    if (ended_.wait_for(patience) != std::future_status::ready)
      return false;
    thread_.join();
    return true;
  }

private:
  void run() {
    guarded([this] { set_up(); });
    while (!stopping_) {
      const bool well = guarded([this] {
        serve();
        register_again();
        send_traps();
      });
      if (!well)
        std::this_thread::sleep_for(after_fault);
      else if (std::exchange(said_fault_, false))
        guarded([this] { log_("everything works again"); });
    }
    guarded([this] { shut_down(); });
  }

  /// Runs the body. An exception must neither end the thread nor pass through the library, which is
  /// C. It is logged once, until the body succeeds again.
  template <class Body> bool guarded(Body body) noexcept {
    try {
      body();
      return true;
    } catch (const std::exception &exception) {
      say_fault(exception.what());
    } catch (...) {
      say_fault("unknown exception");
    }
    return false;
  }
  void say_fault(const char *what) noexcept {
    if (said_fault_)
      return;
    try {
      log_(std::string("an action failed and will be repeated: ") + what);
      said_fault_ = true;
    } catch (const std::exception &) { // reported by the next one
    }
  }

  void set_up();
  void shut_down();
  void serve();
  void send_traps();
  bool may_tell() const;
  suseconds_t until_next_trap() const;
  bool send(const Trap &trap);
  void add_listener(VariableList &variables, const ListenerAlarm &alarm) const;
  void add_monitor(VariableList &variables) const;
  void register_handler();
  void send_register();
  void register_again();
  void note_registration();
  std::vector<oid> full_name(OidView name) const {
    std::vector<oid> full;
    full.reserve(base_.size() + name.size());
    full.assign(base_.begin(), base_.end());
    full.insert(full.end(), name.begin(), name.end());
    return full;
  }

  static int on_session(int, int, void *session, void *);
  static int on_connect(int, int, void *session, void *loop);
  static int on_disconnect(int, int, void *session, void *loop);
  static int on_log(int, int, void *message, void *loop);
  static int on_answer(int operation, netsnmp_session *, int request, netsnmp_pdu *pdu, void *loop);
  static int on_request(netsnmp_mib_handler *, netsnmp_handler_registration *,
                        netsnmp_agent_request_info *, netsnmp_request_info *);
  void answer(const MibView &view, int mode, netsnmp_request_info &request) const;

  const AgentXOptions options_;
  Monitor &monitor_;
  const std::function<void(const std::string &)> log_;
  std::vector<oid> base_; ///< OID of backlogMIB
  int wake_fd_;
  FdSet fds_; ///< readable descriptors
  std::atomic<bool> stopping_{false};
  std::promise<void> has_ended_;
  std::future<void> ended_;
  std::thread thread_;

  netsnmp_session *session_ = nullptr; ///< session with snmpd; nullptr if there is none
  bool said_disconnected_ = false;
  bool said_fault_ = false;
  std::int64_t uptime_zero_ns_ = 0;        ///< start of snmpd, taken once per connection
  std::map<int, std::uint64_t> in_flight_; ///< numbers of traps, by request
  std::chrono::steady_clock::time_point next_trap_at_; ///< earliest time of the next trap
  netsnmp_handler_registration *registration_ = nullptr;
  bool refused_ = false; ///< snmpd refused the last Register
  bool said_refused_ = false;
  std::chrono::steady_clock::time_point register_at_;
};

void AgentX::Loop::set_up() {
  snmp_disable_log();
  snmp_enable_calllog();
  snmp_register_callback(SNMP_CALLBACK_LIBRARY, SNMP_CALLBACK_LOGGING, on_log, this);
  snmp_register_callback(SNMP_CALLBACK_LIBRARY, SNMP_CALLBACK_SESSION_INIT, on_session, nullptr);
  snmp_register_callback(SNMP_CALLBACK_APPLICATION, SNMPD_CALLBACK_INDEX_START, on_connect, this);
  snmp_register_callback(SNMP_CALLBACK_APPLICATION, SNMPD_CALLBACK_INDEX_STOP, on_disconnect, this);

  for (const int option :
       {NETSNMP_DS_LIB_DISABLE_CONFIG_LOAD, NETSNMP_DS_LIB_DISABLE_PERSISTENT_LOAD,
        NETSNMP_DS_LIB_DISABLE_PERSISTENT_SAVE, NETSNMP_DS_LIB_DONT_PERSIST_STATE})
    netsnmp_ds_set_boolean(NETSNMP_DS_LIBRARY_ID, option, 1);
  netsnmp_ds_set_boolean(NETSNMP_DS_APPLICATION_ID, NETSNMP_DS_AGENT_ROLE, 1);
  netsnmp_ds_set_boolean(NETSNMP_DS_APPLICATION_ID, NETSNMP_DS_AGENT_NO_CONNECTION_WARNINGS, 1);
  if (!options_.address.empty())
    netsnmp_ds_set_string(NETSNMP_DS_APPLICATION_ID, NETSNMP_DS_AGENT_X_SOCKET,
                          options_.address.c_str());
  init_agent(application);
  // init_agent() resets it to its default.
  netsnmp_ds_set_int(NETSNMP_DS_APPLICATION_ID, NETSNMP_DS_AGENT_AGENTX_PING_INTERVAL,
                     retry_seconds);
  register_handler();
  register_sysORTable(base_.data(), base_.size(), "The accept queues of listening sockets.");
  init_snmp(application);
  if (session_ == nullptr && !stopping_) {
    log_("no SNMP agent answers" +
         (options_.address.empty() ? std::string() : " at " + options_.address) +
         "; trying again every " + std::to_string(retry_seconds) + " s");
    said_disconnected_ = true;
  }
}

void AgentX::Loop::shut_down() {
  // snmp_shutdown() would free() the callbacks' arguments.
  snmp_unregister_callback(SNMP_CALLBACK_APPLICATION, SNMPD_CALLBACK_INDEX_START, on_connect, this,
                           1);
  snmp_unregister_callback(SNMP_CALLBACK_APPLICATION, SNMPD_CALLBACK_INDEX_STOP, on_disconnect,
                           this, 1);
  snmp_unregister_callback(SNMP_CALLBACK_LIBRARY, SNMP_CALLBACK_LOGGING, on_log, this, 1);
  snmp_disable_log();
  snmp_shutdown(application);
}

/// Waits for snmpd, for the library's timers or for a wake(), and handles them.
void AgentX::Loop::serve() {
  NETSNMP_LARGE_FD_ZERO(&fds_.set);
  int count = 0;
  int block = 1;
  timeval timeout{retry_seconds, 0};
  snmp_select_info2(&count, &fds_.set, &timeout, &block);
  if (block != 0 || timeout.tv_sec >= retry_seconds)
    timeout = {retry_seconds, 0};
  const bool timer_is_due = timeout.tv_sec == 0 && timeout.tv_usec == 0;
  if (may_tell() && monitor_.notifications_wait() && timeout.tv_sec == 0)
    timeout.tv_usec = std::min<suseconds_t>(timeout.tv_usec, until_next_trap());
  else if (may_tell() && monitor_.notifications_wait())
    timeout = {0, until_next_trap()};
  NETSNMP_LARGE_FD_SET(wake_fd_, &fds_.set);
  const int ready = netsnmp_large_fd_set_select(std::max(count, wake_fd_ + 1), &fds_.set, nullptr,
                                                nullptr, &timeout);
  if (ready > 0 && NETSNMP_LARGE_FD_ISSET(wake_fd_, &fds_.set) != 0) {
    std::uint64_t wakes = 0;
    [[maybe_unused]] const ssize_t got = ::read(wake_fd_, &wakes, sizeof wakes);
    NETSNMP_LARGE_FD_CLR(wake_fd_, &fds_.set);
  }
  // Before run_alarms(), which could take the data away, so that reading would block.
  if (ready > 0)
    snmp_read2(&fds_.set);
  if (ready <= 0 || timer_is_due)
    snmp_timeout();
  if (stopping_)
    return;
  run_alarms();
  netsnmp_check_outstanding_agent_requests();
}

bool AgentX::Loop::may_tell() const {
  return session_ != nullptr && !refused_ && in_flight_.size() < notification_window;
}

/// In microseconds, less than a second.
suseconds_t AgentX::Loop::until_next_trap() const {
  const auto left = std::chrono::duration_cast<std::chrono::microseconds>(
      next_trap_at_ - std::chrono::steady_clock::now());
  return std::clamp<suseconds_t>(left.count() + 1, 0, 999999);
}

void AgentX::Loop::send_traps() {
  while (may_tell() && monitor_.notifications_wait()) {
    const auto now = std::chrono::steady_clock::now();
    if (now < next_trap_at_)
      return;
    const std::optional<Trap> trap = monitor_.next_trap();
    if (!trap)
      return;
    next_trap_at_ =
        std::max(next_trap_at_, now - int{notification_window} * notification_distance) +
        notification_distance;
    bool is_sent = false;
    guarded([&] { is_sent = send(*trap); });
    if (is_sent) {
      monitor_.sent();
    } else {
      monitor_.failed(trap->number);
      next_trap_at_ = now + std::chrono::seconds(resend_seconds);
    }
  }
}

/// Replaces the library's send_v2trap(), which reports neither immediate failures nor which trap
/// was answered.
bool AgentX::Loop::send(const Trap &trap) {
  NotificationNumber number = listener_alarm;
  if (trap.kind == Trap::Kind::stale)
    number = monitor_stale;
  else if (trap.kind == Trap::Kind::current)
    number = monitor_current;
  else if (trap.listener.clear)
    number = listener_clear;

  VariableList variables;
  variables.add_trap_oid(full_name(std::array<std::uint32_t, 2>{mib::notifications, number}));
  if (trap.kind == Trap::Kind::listener)
    add_listener(variables, trap.listener);
  else
    add_monitor(variables);

  std::unique_ptr<netsnmp_pdu, FreePdu> pdu(snmp_pdu_create(agentx_notify_pdu));
  if (!pdu)
    return false;
  pdu->version = session_->version;
  pdu->sessid = session_->sessid;
  pdu->variables = variables.release();
  const auto request = static_cast<int>(pdu->reqid);
  in_flight_[request] = trap.number;
  if (snmp_async_send(session_, pdu.get(), on_answer, this) != 0) {
    pdu.release(); // NOLINT(bugprone-unused-return-value): the library frees it
    return true;
  }
  in_flight_.erase(request);
  return false;
}

/// Handles an answer or a timeout. After a timeout snmpd may still have the trap; an answer to a
/// later one shows that it has.
int AgentX::Loop::on_answer(int operation, netsnmp_session *, int request, netsnmp_pdu *pdu,
                            void *loop) {
  auto &self = *static_cast<Loop *>(loop);
  const auto found = self.in_flight_.find(request);
  if (found == self.in_flight_.end())
    return 1;
  const std::uint64_t number = found->second;
  self.in_flight_.erase(found);
  if (operation == NETSNMP_CALLBACK_OP_RECEIVED_MESSAGE && pdu->errstat != agentx_not_open)
    self.guarded([&] { self.monitor_.answered(number); });
  return 1;
}

void AgentX::Loop::add_listener(VariableList &variables, const ListenerAlarm &alarm) const {
  const auto add = [&](std::uint32_t column, const MibValue &value) {
    variables.add(full_name(std::array<std::uint32_t, 5>{mib::objects, mib::listener_table, 1,
                                                         column, alarm.index}),
                  value);
  };
  add(mib::listener_name, octets_value(alarm.name));
  add(mib::listener_state,
      integer_value(alarm.gone ? gone_state : static_cast<std::uint64_t>(alarm.state)));
  add(mib::listener_cause, integer_value(static_cast<std::uint64_t>(alarm.cause)));
  add(mib::listener_severity, integer_value(static_cast<std::uint64_t>(alarm.severity)));
  add(mib::listener_message, octets_value(alarm.message));
  add(mib::listener_owner, octets_value(alarm.owner));
  add(mib::listener_peak, gauge_value(alarm.peak));
  add(mib::listener_limit, gauge_value(alarm.limit));
  add(mib::listener_namespace, octets_value(alarm.net_namespace));
}

void AgentX::Loop::add_monitor(VariableList &variables) const {
  const MibView view = monitor_.view(uptime_zero_ns_);
  for (const std::uint32_t number : {mib::table_status, mib::table_time, mib::table_age}) {
    const std::array<std::uint32_t, 4> name{mib::objects, mib::monitor, number, 0};
    variables.add(full_name(name), view.notification_value(number));
  }
}

void AgentX::Loop::register_handler() {
  refused_ = false;
  registration_ = netsnmp_create_handler_registration("backlog", on_request, base_.data(),
                                                      base_.size(), HANDLER_CAN_RONLY);
  if (registration_ == nullptr)
    return;
  registration_->my_reg_void = this;
  netsnmp_register_handler(registration_);
}

/// Asks snmpd again. The handler stays registered here: taking it back would send an Unregister, by
/// which snmpd takes the MIB from whoever has it (unregister_mib_context() in agent_registry.c).
void AgentX::Loop::send_register() {
  refused_ = false;
  register_parameters parameters{};
  parameters.name = registration_->rootoid;
  parameters.namelen = registration_->rootoid_len;
  parameters.priority = registration_->priority;
  parameters.range_subid = registration_->range_subid;
  parameters.range_ubound = registration_->range_ubound;
  parameters.timeout = registration_->timeout;
  parameters.contextName = registration_->contextName;
  parameters.reginfo = registration_;
  snmp_call_callbacks(SNMP_CALLBACK_APPLICATION, SNMPD_CALLBACK_REGISTER_OID, &parameters);
}

/// Logs when snmpd begins or ceases to refuse, and plans the next attempt.
void AgentX::Loop::note_registration() {
  register_at_ = std::chrono::steady_clock::now() + std::chrono::seconds(retry_seconds);
  if (refused_ == said_refused_)
    return;
  said_refused_ = refused_;
  log_(refused_ ? "the SNMP agent refuses to register the MIB: another subagent may have it; "
                  "trying again every " +
                      std::to_string(retry_seconds) + " s"
                : "the SNMP agent has registered the MIB");
}

void AgentX::Loop::register_again() {
  if (session_ == nullptr || !refused_)
    return;
  if (!said_refused_)
    note_registration();
  if (std::chrono::steady_clock::now() < register_at_)
    return;
  if (registration_ != nullptr)
    send_register();
  else
    register_handler();
  note_registration();
}

/// Turns off the library's 5 retries, which would repeat a trap on a stream that loses nothing.
int AgentX::Loop::on_session(int, int, void *session, void *) {
  auto *starting = static_cast<netsnmp_session *>(session);
  starting->retries = 0;
  starting->timeout = answer_timeout_seconds * 1000000L;
  return SNMPERR_SUCCESS;
}

int AgentX::Loop::on_connect(int, int, void *session, void *loop) {
  auto &self = *static_cast<Loop *>(loop);
  self.session_ = static_cast<netsnmp_session *>(session);
  // The library has just read snmpd's uptime; reading it again later would make TimeStamps jitter.
  self.uptime_zero_ns_ =
      clock_ns() - static_cast<std::int64_t>(netsnmp_get_agent_uptime()) * std::int64_t{10'000'000};
  self.refused_ = false;
  self.said_disconnected_ = false;
  self.guarded([&] { self.monitor_.connected(); });
  self.guarded([&] { self.log_("connected to the SNMP agent"); });
  return SNMPERR_SUCCESS;
}

int AgentX::Loop::on_disconnect(int, int, void *, void *loop) {
  auto &self = *static_cast<Loop *>(loop);
  self.session_ = nullptr;
  self.in_flight_.clear();
  if (!std::exchange(self.said_disconnected_, true) && !self.stopping_)
    self.guarded([&] {
      self.log_("the SNMP agent is gone; trying again every " + std::to_string(retry_seconds) +
                " s");
    });
  return SNMPERR_SUCCESS;
}

int AgentX::Loop::on_log(int, int, void *message, void *loop) {
  const auto *line = static_cast<const snmp_log_message *>(message);
  if (std::string_view(line->msg).starts_with(refused_message))
    static_cast<Loop *>(loop)->refused_ = true;
  return SNMPERR_SUCCESS;
}

int AgentX::Loop::on_request(netsnmp_mib_handler *, netsnmp_handler_registration *registration,
                             netsnmp_agent_request_info *info, netsnmp_request_info *requests) {
  auto &self = *static_cast<Loop *>(registration->my_reg_void);
  const bool answered = self.guarded([&] {
    const MibView view = self.monitor_.view(self.uptime_zero_ns_);
    for (netsnmp_request_info *request = requests; request != nullptr; request = request->next)
      if (request->processed == 0)
        self.answer(view, info->mode, *request);
  });
  return answered ? SNMP_ERR_NOERROR : SNMP_ERR_GENERR;
}

void AgentX::Loop::answer(const MibView &view, int mode, netsnmp_request_info &request) const {
  netsnmp_variable_list &variable = *request.requestvb;
  // A peer can send more than MAX_OID_LEN. The rest does not matter: no name here is as long.
  std::array<std::uint32_t, MAX_OID_LEN> buffer{};
  std::size_t length = 0;
  for (std::size_t i = base_.size(); i < variable.name_length && length < buffer.size(); ++i)
    buffer[length++] = static_cast<std::uint32_t>(variable.name[i]);
  const OidView name(buffer.data(), length);

  if (mode == MODE_GET || request.inclusive != 0) {
    if (const std::optional<MibValue> value = view.get(name)) {
      set_value(variable, *value);
      return;
    }
    if (mode == MODE_GET) {
      netsnmp_request_set_error(&request,
                                MibView::is_object(name) ? SNMP_NOSUCHINSTANCE : SNMP_NOSUCHOBJECT);
      return;
    }
  }
  if (const auto found = view.next(name)) {
    const std::vector<oid> full = full_name(found->first);
    snmp_set_var_objid(&variable, full.data(), full.size());
    set_value(variable, found->second);
  }
}

AgentX::AgentX(AgentXOptions options, Monitor &monitor,
               std::function<void(const std::string &)> log)
    : loop_(std::make_unique<Loop>(std::move(options), monitor, std::move(log))) {}
AgentX::~AgentX() = default;
void AgentX::start() { loop_->start(); }
void AgentX::wake() { loop_->wake(); }
bool AgentX::stop(std::chrono::milliseconds patience) { return loop_->stop(patience); }

} // namespace backlog
