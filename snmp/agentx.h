#pragma once

#include "mib_view.h"
#include "monitor.h"

#include <chrono>
#include <functional>
#include <memory>
#include <string>

namespace backlog {

struct AgentXOptions {
  std::string address; ///< as snmpd's agentXSocket has it; empty: net-snmp's own default
  Oid root;            ///< of backlogRoot
};

/// The subagent's side towards snmpd, and all of net-snmp: in one thread, since the library has
/// no locks and blocks.
class AgentX {
public:
  /// log: called by that thread.
  AgentX(AgentXOptions options, Monitor &monitor, std::function<void(const std::string &)> log);
  AgentX(const AgentX &) = delete;
  AgentX &operator=(const AgentX &) = delete;
  ~AgentX();

  void start();
  /// There may be something to tell.
  void wake();
  /// False: the thread is in a call that does not return, and goes on; the process has to end
  /// without destructors.
  bool stop(std::chrono::milliseconds patience);

private:
  class Loop;
  std::unique_ptr<Loop> loop_;
};

} // namespace backlog
