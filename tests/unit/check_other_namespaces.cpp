#include "hardship.h"
#include "inhabitant.h"
#include "other_namespaces.h"
#include "test_program.h"

#include <cerrno>
#include <functional>
#include <memory>
#include <netinet/in.h>
#include <optional>
#include <string>
#include <sys/socket.h>
#include <system_error>
#include <vector>

using namespace backlog;
using namespace std::chrono_literals;

namespace {

bool listen_at_port_80() {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(80);
  return bind(listener, reinterpret_cast<const sockaddr *>(&address), sizeof address) == 0 &&
         listen(listener, 5) == 0;
}

/// Samples the posted namespaces, and keeps the last harvest.
struct Sampled {
  void post(std::vector<NetNamespace> namespaces) {
    board->post(std::move(namespaces));
    ck_assert(others.follow_board());
    ck_assert(!others.follow_board());
  }
  void take_harvest() {
    faults.clear();
    harvests = others.harvest(1h, nullptr, faults);
  }
  const NamespaceHarvest &blue() const {
    ck_assert_uint_eq(harvests.size(), 1);
    assert_text(harvests.front().label.name, "blue");
    return harvests.front();
  }
  void check_read() const {
    ck_assert(blue().tcp.read && blue().unix_sockets->read);
    ck_assert_uint_eq(blue().tcp.listeners.size(), 1);
    assert_text(blue().tcp.listeners.front().interval.identity.name, "tcp_any_80__netns_blue");
    ck_assert_uint_eq(faults.size(), 0);
  }

  std::shared_ptr<SurveyBoard> board = std::make_shared<SurveyBoard>();
  OtherNamespaces others{std::make_shared<const Config>(), board};
  std::vector<NamespaceHarvest> harvests;
  std::vector<Fault> faults;
};

} // namespace

START_TEST(what_cannot_be_entered_is_unread_and_not_gone) {
  Inhabitant inhabitant(listen_at_port_80);
  if (!inhabitant.has_begun())
    return;
  const NetNamespace blue = inhabitant.net_namespace("blue");
  std::optional<NoDescriptors> no_descriptors;
  std::optional<WithoutCapabilities> no_admin;
  struct Case {
    std::function<void()> begin;
    std::function<void()> end;
    int code;
  };
  const Case cases[] = {
      {[&] { no_descriptors.emplace(); }, [&] { no_descriptors.reset(); }, EMFILE},
      {[&] { no_admin.emplace(std::initializer_list<unsigned>{CAP_SYS_ADMIN}); },
       [&] { no_admin.reset(); }, EPERM},
  };
  for (const Case &c : cases) {
    for (const bool sampled_between : {false, true}) {
      Sampled sampled;
      sampled.post({blue});
      sampled.take_harvest();
      sampled.check_read();
      const auto counted_since = sampled.blue().counted_since;
      c.begin();
      for (int i = 0; i < 3; ++i) {
        if (sampled_between)
          sampled.others.sample_next(1h);
        sampled.take_harvest();
        ck_assert_uint_eq(sampled.others.size(), 0);
        ck_assert(sampled.blue().id == blue.id);
        ck_assert(!sampled.blue().tcp.read && !sampled.blue().unix_sockets->read);
        ck_assert(!sampled.blue().unix_sockets->absent);
        ck_assert(!sampled.blue().counters && !sampled.blue().drops_known);
        ck_assert(sampled.blue().counted_since == counted_since);
        ck_assert_uint_eq(sampled.faults.size(), 1);
        assert_text(sampled.faults.front().part, "other net namespaces");
        assert_text(sampled.faults.front().reason,
                    "enter net namespace blue: " + std::generic_category().message(c.code));
      }
      c.end();
      sampled.take_harvest();
      sampled.check_read();
      ck_assert_uint_eq(sampled.others.size(), 1);
      ck_assert(sampled.blue().counted_since == counted_since);
    }
  }
}
END_TEST

START_TEST(without_the_way_back_none_is_read) {
  Inhabitant inhabitant(listen_at_port_80);
  if (!inhabitant.has_begun())
    return;
  Sampled sampled;
  sampled.post({inhabitant.net_namespace("blue")});
  {
    const NoDescriptors none;
    sampled.take_harvest();
    ck_assert(!sampled.blue().tcp.read);
    ck_assert_uint_eq(sampled.faults.size(), 1);
  }
  sampled.take_harvest();
  sampled.check_read();
}
END_TEST

START_TEST(what_is_gone_has_one_more_harvest) {
  enum class Seen : std::uint8_t { by_the_harvest, by_a_sample, by_the_list };
  for (const Seen seen : {Seen::by_the_harvest, Seen::by_a_sample, Seen::by_the_list}) {
    Inhabitant inhabitant(listen_at_port_80);
    if (!inhabitant.has_begun())
      return;
    const NetNamespace blue = inhabitant.net_namespace("blue");
    Sampled sampled;
    sampled.post({blue});
    sampled.take_harvest();
    sampled.check_read();
    inhabitant.end();
    if (seen == Seen::by_a_sample)
      sampled.others.sample_next(1h);
    if (seen == Seen::by_the_list)
      sampled.post({});
    sampled.take_harvest();
    ck_assert(sampled.blue().id == blue.id && sampled.blue().ended);
    ck_assert(sampled.blue().tcp.read && sampled.blue().drops_known);
    ck_assert(sampled.blue().tcp.listeners.empty()); // they had nothing to tell
    ck_assert_uint_eq(sampled.faults.size(), 0);
    sampled.take_harvest();
    ck_assert_uint_eq(sampled.harvests.size(), 0);
    ck_assert_uint_eq(sampled.faults.size(), 0);
    ck_assert_uint_eq(sampled.others.size(), 0);
  }
}
END_TEST

START_TEST(what_was_never_entered_has_no_harvest) {
  Inhabitant inhabitant;
  if (!inhabitant.has_begun())
    return;
  Sampled sampled;
  sampled.post({inhabitant.net_namespace("blue")});
  inhabitant.end();
  sampled.take_harvest();
  ck_assert_uint_eq(sampled.harvests.size(), 0);
  ck_assert_uint_eq(sampled.faults.size(), 0);
}
END_TEST

START_TEST(a_namespace_of_another_name_is_another) {
  Inhabitant inhabitant(listen_at_port_80);
  if (!inhabitant.has_begun())
    return;
  Sampled sampled;
  sampled.post({inhabitant.net_namespace("green")});
  sampled.take_harvest();
  sampled.post({inhabitant.net_namespace("blue")});
  sampled.take_harvest();
  ck_assert_uint_eq(sampled.harvests.size(), 2);
  assert_text(sampled.harvests.front().label.name, "green");
  assert_text(sampled.harvests.back().label.name, "blue");
  sampled.take_harvest();
  sampled.check_read();
}
END_TEST

int main() {
  return run_tests("other_namespaces", what_cannot_be_entered_is_unread_and_not_gone,
                   without_the_way_back_none_is_read, what_is_gone_has_one_more_harvest,
                   what_was_never_entered_has_no_harvest, a_namespace_of_another_name_is_another);
}
