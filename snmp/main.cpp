#include "agentx.h"
#include "monitor.h"
#include "options.h"

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <syslog.h>
#include <unistd.h>

namespace {

using namespace backlog;

// How soon a new table, or a stale one, is noticed.
constexpr timespec look_period{0, 100'000'000};
// After a signal the process ends within 2 s, even while snmpd hangs.
constexpr std::chrono::milliseconds stop_patience{1500};

bool foreground = false;

void log_line(const std::string &line) {
  if (foreground)
    (void)std::fprintf(stderr, "backlog-agentx: %s\n", line.c_str());
  else
    syslog(LOG_NOTICE, "%s", line.c_str());
}

/// Keeps the library from looking for configuration, MIBs and keys in system folders, and from
/// making some; this program needs none.
void keep_library_from_files() {
  constexpr const char *nowhere = "/dev/null/none";
  for (const auto &[name, value] :
       {std::pair{"MIBS", ""}, std::pair{"MIBDIRS", nowhere}, std::pair{"SNMPCONFPATH", nowhere},
        std::pair{"SNMP_PERSISTENT_DIR", nowhere}, std::pair{"SNMP_PERSISTENT_FILE", nowhere}})
    ::setenv(name, value, 1);
}

/// Returns false if memory is short; the last table then stays.
bool look(Monitor &monitor, AgentX &agentx) {
  try {
    if (monitor.look())
      agentx.wake();
    return true;
  } catch (const std::exception &) {
    return false;
  }
}

/// Watches the table until a signal asks for the end.
void follow(Monitor &monitor, AgentX &agentx, const sigset_t &ending) {
  bool said_failure = false;
  for (;;) {
    const int came = ::sigtimedwait(&ending, nullptr, &look_period);
    if (came > 0)
      return;
    if (errno != EAGAIN || look(monitor, agentx) != said_failure)
      continue;
    try {
      log_line(said_failure ? "the table is read again" : "no memory to read the table");
      said_failure = !said_failure;
    } catch (const std::exception &) { // logged when there is memory for it
    }
  }
}

int run(const Options &options) {
  foreground = options.foreground;
  if (!foreground) {
    openlog("backlog-agentx", LOG_PID, LOG_DAEMON);
    // Stays in the current folder, so that relative --table and --agentx keep their meaning.
    if (::daemon(1, 0) != 0) {
      std::perror("backlog-agentx: daemon");
      return EXIT_FAILURE;
    }
  }
  keep_library_from_files();
  (void)std::signal(SIGPIPE, SIG_IGN);
  sigset_t ending;
  sigemptyset(&ending);
  for (const int number : {SIGTERM, SIGINT, SIGHUP})
    sigaddset(&ending, number);
  ::pthread_sigmask(SIG_BLOCK, &ending, nullptr);

  Monitor monitor(options.table, log_line);
  AgentX agentx({.address = options.agentx, .root = options.root}, monitor, log_line);
  monitor.look();
  agentx.start();
  follow(monitor, agentx, ending);
  if (!agentx.stop(stop_patience)) {
    log_line("the SNMP agent does not answer; ending without closing the connection");
    ::_exit(EXIT_SUCCESS);
  }
  return EXIT_SUCCESS;
}

} // namespace

int main(int argc, char **argv) {
  try {
    const auto parsed = parse_options({argv + 1, argv + argc});
    if (!parsed.output.empty())
      (void)std::fputs(parsed.output.c_str(), parsed.failed ? stderr : stdout);
    if (parsed.failed)
      return 2;
    return parsed.options ? run(*parsed.options) : EXIT_SUCCESS;
  } catch (const std::exception &exception) {
    (void)std::fprintf(stderr, "backlog-agentx: %s\n", exception.what());
    return EXIT_FAILURE;
  }
}
