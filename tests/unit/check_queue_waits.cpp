#include "queue_waits.h"
#include "test_program.h"

#include <map>
#include <string>
#include <vector>

using namespace backlog;
using namespace std::chrono_literals;

namespace {

struct Queue {
  std::string name;
  std::uint64_t length = 9;
  std::map<std::uint64_t, std::uint64_t> waiting; ///< by cookie of the listener that waits in it
};

/// A harvest of TCP queues and the survey of who waits in them.
struct Scene {
  NamespaceHarvest harvest;
  Survey survey;
  Config config;

  explicit Scene(const std::vector<Queue> &queues) {
    for (const Queue &queue : queues) {
      ListenerHarvest &listener = harvest.tcp.listeners.emplace_back();
      listener.interval.identity.name = queue.name;
      listener.interval.queue.last = queue.length;
      listener.interval.waiting.push_back({.cookie = 1000, .not_shrinking_for = 1h});
      WaitingClients &clients = survey.own.tcp_clients[queue.name];
      clients.of_listeners = queue.waiting;
    }
  }
  SurveyView view() const {
    return {.survey = &survey, .net_namespace = &survey.own, .ended_at = {}};
  }
  QueueWaits waits() const {
    QueueWaits waits;
    waits.add(harvest, true, view(), config);
    return waits;
  }
};

ListenerInterval listener(const std::string &name, std::uint64_t cookie,
                          const std::vector<std::uint64_t> &members = {}) {
  ListenerInterval interval;
  interval.identity.name = name;
  interval.cookie = cookie;
  for (const std::uint64_t member : members)
    interval.waiting.push_back({.cookie = member});
  return interval;
}

std::string name_of(const QueueWaits::WaitedAt *waited) {
  return waited == nullptr ? "" : waited->shown;
}

} // namespace

START_TEST(where_most_of_them_wait) {
  const struct {
    const char *what;
    std::vector<Queue> queues;
    std::string expected;
  } cases[] = {
      {"nobody waits", {{.name = "a", .waiting = {}}}, ""},
      {"in one", {{.name = "a", .waiting = {{1, 2}}}}, "a"},
      {"in two", {{.name = "a", .waiting = {{1, 2}}}, {.name = "b", .waiting = {{1, 3}}}}, "b"},
      {"as many in the second",
       {{.name = "a", .waiting = {{1, 2}}}, {.name = "b", .waiting = {{1, 2}}}},
       "a"},
      {"of another member as many in the second",
       {{.name = "a", .waiting = {{1, 2}}}, {.name = "b", .waiting = {{2, 2}}}},
       "a"},
      {"of another member more",
       {{.name = "a", .waiting = {{1, 2}}}, {.name = "b", .waiting = {{2, 3}}}},
       "b"},
      {"in its own", {{.name = "web", .waiting = {{1, 2}}}}, ""},
      {"of somebody else", {{.name = "a", .waiting = {{7, 2}}}}, ""},
      {"a single one", {{.name = "a", .length = 1, .waiting = {{1, 1}}}}, "a"},
      {"a queue that is empty by now", {{.name = "a", .length = 0, .waiting = {{1, 1}}}}, ""},
  };
  for (const auto &c : cases) {
    const QueueWaits waits = Scene(c.queues).waits();
    assert_text(c.what + (": " + name_of(waits.of(listener("web", 1, {2})))),
                std::string(c.what) + ": " + c.expected);
  }
}
END_TEST

START_TEST(without_a_survey_nobody_is_known_to_wait) {
  Scene scene({{.name = "a", .waiting = {{1, 2}}}});
  scene.harvest.unix_sockets.emplace();
  QueueWaits waits;
  waits.add(scene.harvest, true, SurveyView(), scene.config);
  ck_assert(waits.of(listener("web", 1)) == nullptr);
}
END_TEST

int main() {
  return run_tests("queue_waits", where_most_of_them_wait,
                   without_a_survey_nobody_is_known_to_wait);
}
