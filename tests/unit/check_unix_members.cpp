#include "test_program.h"
#include "unix_members.h"

#include <memory>
#include <string>
#include <string_view>

using namespace backlog;

namespace {

/// The members as the sampler keeps them, and the places that the surveyor posts.
struct Scene {
  explicit Scene(std::size_t most = 100) { room->most = most; }

  /// Of a listener that a dump shows: where it is; "?": that is not known.
  std::string where(std::uint64_t cookie, std::string_view address, std::uint32_t inode = 7) {
    const UnixPlace *place = members.place_of(
        {.address = address, .cookie = cookie, .file_inode = inode, .file_device = 5});
    if (place == nullptr)
      return "?";
    return place->path + (place->owned_by.empty() ? "" : " of " + place->owned_by) +
           (members.is_shadowed(cookie) ? " shadowed" : "");
  }
  /// The surveyor tells of these; the cookies of those that have moved, one digit each.
  std::string follow(const UnixPlaces &places) {
    std::string moved;
    for (const std::uint64_t cookie : members.follow(std::make_shared<UnixPlaces>(places)))
      moved += std::to_string(cookie);
    return moved;
  }
  std::string unplaced() {
    std::string cookies;
    for (const UnixFile &file : members.take_unplaced())
      cookies += std::to_string(file.cookie);
    return cookies;
  }

  std::shared_ptr<ListenerRoom> room = std::make_shared<ListenerRoom>();
  UnixMembers members{room};
};

} // namespace

START_TEST(those_with_a_file_wait_for_their_places) {
  Scene scene;
  assert_text(scene.where(1, "/run/a"), "?");
  assert_text(scene.where(1, "/run/a"), "?");
  assert_text(scene.where(2, "/run/b.1.tmp"), "?");
  assert_text(scene.unplaced(), "12");
  assert_text(scene.unplaced(), "");
  assert_text(scene.follow({{2, {"/run/b", "", true}}}), "");
  assert_text(scene.where(1, "/run/a"), "?");
  assert_text(scene.where(2, "/run/b.1.tmp"), "/run/b");
  assert_text(scene.follow({{1, {"/run/a", "web.service", false}}, {2, {"/run/b", "", true}}}), "");
  assert_text(scene.where(1, "/run/a"), "/run/a of web.service shadowed");
  // One that the surveyor has met first.
  assert_text(scene.follow({{3, {"/run/c", "", true}}}), "");
  assert_text(scene.where(3, "/run/c"), "/run/c");
  assert_text(scene.unplaced(), "");
}
END_TEST

START_TEST(those_without_a_file_do_not_wait) {
  Scene scene;
  assert_text(scene.where(1, "relative"), "relative");
  assert_text(scene.where(2, std::string_view("\0abstract", 9), 0), std::string("\0abstract", 9));
  assert_text(scene.where(3, "/run/a", 0), "/run/a");
  assert_text(scene.unplaced(), "");
}
END_TEST

START_TEST(those_that_move_are_others) {
  Scene scene;
  (void)scene.where(1, "/run/a.1.tmp");
  (void)scene.where(2, "/run/b");
  (void)scene.follow({{1, {"/run/a.1.tmp", "", true}}, {2, {"/run/b", "", true}}});
  assert_text(scene.follow({{1, {"/run/a", "", true}}, {2, {"/run/b", "", false}}}), "1");
  assert_text(scene.where(1, "/run/a.1.tmp"), "/run/a");
  assert_text(scene.where(2, "/run/b"), "/run/b shadowed");
  // A listener without news stays as it was.
  assert_text(scene.follow({{2, {"/run/b", "", true}}}), "");
  assert_text(scene.where(1, "/run/a.1.tmp"), "/run/a");
  assert_text(scene.where(2, "/run/b"), "/run/b");
  const std::uint64_t gone[] = {1};
  scene.members.remove(gone);
  assert_text(scene.where(1, "/run/a.1.tmp"), "?");
}
END_TEST

START_TEST(without_a_surveyor_they_are_where_they_were_bound) {
  Scene scene;
  for (std::uint64_t look = 1; look < 5; ++look) { // it looks, and does not know yet
    assert_text(scene.where(1, "/run/a"), "?");
    scene.members.end_interval(look);
  }
  for (int interval = 0; interval < 3; ++interval) {
    assert_text(scene.where(1, "/run/a"), "?");
    scene.members.end_interval(4);
  }
  assert_text(scene.where(1, "/run/a"), "/run/a");
  // One that goes before is forgotten.
  assert_text(scene.where(2, "/run/b"), "?");
  scene.members.end_interval(5);
  for (int interval = 0; interval < 3; ++interval)
    scene.members.end_interval(5);
  assert_text(scene.where(2, "/run/b"), "?");
  assert_text(scene.follow({{1, {"/run/a", "web.service", true}}}), "1");
}
END_TEST

START_TEST(no_more_wait_than_there_is_room_for) {
  Scene scene(2);
  for (std::uint64_t cookie = 1; cookie < 5; ++cookie)
    assert_text(scene.where(cookie, "/run/a"), "?");
  assert_text(scene.unplaced(), "12");
  assert_text(scene.follow({{1, {"/run/a", "", true}}}), "");
  assert_text(scene.where(1, "/run/a"), "/run/a");
  assert_text(scene.where(3, "/run/a"), "?");
  assert_text(scene.unplaced(), "3");
  for (std::uint64_t look = 1; look < 3; ++look) // the second and the third are gone
    scene.members.end_interval(look);
  ck_assert_uint_eq(scene.room->waiting, 0);
  {
    UnixMembers other(scene.room);
    (void)other.place_of({.address = "/run/a", .cookie = 5, .file_inode = 7, .file_device = 5});
    ck_assert_uint_eq(scene.room->waiting, 1);
  }
  ck_assert_uint_eq(scene.room->waiting, 0);
}
END_TEST

START_TEST(who_is_gone_before_its_place_is_known_is_forgotten) {
  Scene scene;
  for (std::uint64_t cookie = 1; cookie < 4; ++cookie)
    assert_text(scene.where(cookie, "/run/a"), "?");
  (void)scene.follow(
      {{1, {"/run/a", "", true}}, {2, {"/run/a", "", false}}, {3, {"/run/a", "", true}}});
  assert_text(scene.where(3, "/run/a"), "/run/a");
  scene.members.end_interval(1);
  ck_assert(scene.members.shadowed().empty());
  // One that has moved, and is gone before the next dump.
  assert_text(scene.follow({{3, {"/run/b", "", true}}}), "3");
  ck_assert_ptr_nonnull(scene.members.known_place(3));
  scene.members.end_interval(2);
  (void)scene.follow({});
  for (std::uint64_t cookie = 1; cookie < 4; ++cookie)
    ck_assert_ptr_null(scene.members.known_place(cookie));
}
END_TEST

int main() {
  return run_tests(
      "unix_members", those_with_a_file_wait_for_their_places, those_without_a_file_do_not_wait,
      those_that_move_are_others, without_a_surveyor_they_are_where_they_were_bound,
      no_more_wait_than_there_is_room_for, who_is_gone_before_its_place_is_known_is_forgotten);
}
