#include "listener_name.h"
#include "listener_names.h"
#include "test_program.h"

#include <map>
#include <random>
#include <string>
#include <vector>

using namespace backlog;

namespace {

/// Listeners that come and go, and the names that they have.
struct World {
  std::vector<ListenerIdentity> identities;
  ListenerNames names{
      [this](std::uint32_t listener) -> ListenerIdentity & { return identities.at(listener); }};

  std::uint32_t come(const std::string &name, const std::string &address, bool has_id = false) {
    identities.push_back({.name = name, .address = address, .has_id = has_id});
    const auto listener = static_cast<std::uint32_t>(identities.size() - 1);
    names.give(listener);
    return listener;
  }
  const std::string &name_of(std::uint32_t listener) const { return identities.at(listener).name; }
  std::optional<std::uint32_t> find(const std::string &name, const std::string &address) const {
    return names.find({.name = name, .address = address});
  }
};

const std::string other_name = alternative_name("unix_a-b", "/a-b");

} // namespace

START_TEST(the_address_decides_and_not_who_came_first) {
  for (const bool dotted_first : {true, false}) {
    World world;
    const std::uint32_t first = world.come("unix_a-b", dotted_first ? "/a.b" : "/a-b");
    const std::uint32_t second = world.come("unix_a-b", dotted_first ? "/a-b" : "/a.b");
    assert_text(world.name_of(dotted_first ? first : second), "unix_a-b");
    assert_text(world.name_of(dotted_first ? second : first), other_name);
    ck_assert(world.find("unix_a-b", "/a.b") == (dotted_first ? first : second));
    ck_assert(world.find("unix_a-b", "/a-b") == (dotted_first ? second : first));
    ck_assert(!world.find("unix_a-b", "/a_b"));
    const auto collisions = world.names.take_collisions();
    ck_assert_uint_eq(collisions.size(), 1);
    ck_assert((collisions.front() == NameCollision{"unix_a-b", "/a.b", "/a-b", other_name}));
    ck_assert(world.names.take_collisions().empty());
  }
}
END_TEST

START_TEST(a_closed_listener_has_a_claim_to_its_name) {
  struct Case {
    const char *what;
    const char *closed;
    bool has_id; ///< of the closed one
    const char *next;
    bool has_plain_name; ///< the next one
  };
  for (const Case &c : {Case{"itself again", "/a.b", false, "/a.b", true},
                        Case{"one that it precedes", "/a.b", false, "/a-b", false},
                        Case{"one that precedes it", "/a-b", false, "/a.b", true},
                        Case{"a name by an id does not come again", "/a.b", true, "/a-b", true},
                        Case{"no address", "", false, "/a-b", true}}) {
    World world;
    world.names.release(world.come("unix_a-b", c.closed, c.has_id));
    ck_assert(!world.find("unix_a-b", c.closed));
    const std::uint32_t next = world.come("unix_a-b", c.next);
    ck_assert_msg((world.name_of(next) == "unix_a-b") == c.has_plain_name, "%s: %s", c.what,
                  world.name_of(next).c_str());
    ck_assert(world.find("unix_a-b", c.next) == next);
  }
}
END_TEST

START_TEST(ten_thousand_claims_are_kept) {
  World world;
  for (const char *name : {"unix_old", "unix_a-b"})
    world.names.release(world.come(name, "/a.b"));
  for (int i = 0; i < 9999; ++i)
    world.names.release(world.come("unix_" + std::to_string(i), "/" + std::to_string(i)));
  assert_text(world.name_of(world.come("unix_old", "/a-b")), "unix_old");
  assert_text(world.name_of(world.come("unix_a-b", "/a-b")), other_name);
}
END_TEST

START_TEST(a_hundred_collisions_are_told_at_a_time) {
  World world;
  for (int i = 0; i < 150; ++i) {
    const std::string number = std::to_string(i);
    world.come("unix_" + number + "-b", "/" + number + ".b");
    world.come("unix_" + number + "-b", "/" + number + "-b");
  }
  ck_assert_uint_eq(world.names.take_collisions().size(), 100);
  ck_assert_uint_eq(world.names.take_collisions().size(), 0);
}
END_TEST

// Also when an address is made to look like another's alternative.
START_TEST(in_any_order_each_is_found_and_no_two_share_a_name) {
  const std::vector<std::string> addresses = {"/a.b", "/a-b", "/a_b", "/a-b/12345678"};
  std::mt19937 random{1};
  for (int turn = 0; turn < 200; ++turn) {
    World world;
    std::map<std::string, std::uint32_t> present; // by address
    for (int step = 0; step < 40; ++step) {
      const std::string &address = addresses.at(random() % addresses.size());
      if (const auto entry = present.find(address); entry != present.end()) {
        world.names.release(entry->second);
        present.erase(entry);
      } else {
        present[address] =
            world.come(address == addresses.back() ? other_name : "unix_a-b", address);
      }
      std::map<std::string, std::string> owner_of;
      for (const auto &[of, listener] : present) {
        ck_assert(world.find(of == addresses.back() ? other_name : "unix_a-b", of) == listener);
        const auto [other, is_new] = owner_of.emplace(world.name_of(listener), of);
        ck_assert_msg(is_new, "%s and %s are both %s", of.c_str(), other->second.c_str(),
                      other->first.c_str());
      }
    }
  }
}
END_TEST

int main() {
  return run_tests("listener_names", the_address_decides_and_not_who_came_first,
                   a_closed_listener_has_a_claim_to_its_name, ten_thousand_claims_are_kept,
                   a_hundred_collisions_are_told_at_a_time,
                   in_any_order_each_is_found_and_no_two_share_a_name);
}
