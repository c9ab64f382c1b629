#pragma once

#include "mib_view.h"
#include "monitor.h"

#include <chrono>
#include <functional>
#include <memory>
#include <string>

namespace backlog {

struct AgentXOptions {
  std::string address; ///< in the form of snmpd's agentXSocket; empty for net-snmp's default
  Oid root;            ///< OID of backlogRoot
};

/// The connection to snmpd and everything of net-snmp, in one thread, because the library has no
/// locks and blocks.
class AgentX {
public:
  /// log: called by that thread.
  AgentX(AgentXOptions options, Monitor &monitor, std::function<void(const std::string &)> log);
  AgentX(const AgentX &) = delete;
  AgentX &operator=(const AgentX &) = delete;
  ~AgentX();

  void start();
  /// Call it when there may be something to send.
  void wake();
  /// Returns false if the thread hangs in a call; the process must then end without destructors.
  bool stop(std::chrono::milliseconds patience);

private:
  class Loop;
  std::unique_ptr<Loop> loop_;
};

} // namespace backlog
