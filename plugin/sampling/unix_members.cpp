#include "unix_members.h"

#include <utility>

namespace backlog {

namespace {

constexpr unsigned most_intervals_without_look = 3;

} // namespace

UnixMembers::~UnixMembers() {
  if (room_)
    room_->waiting -= waiting_.size();
}

const UnixPlace *UnixMembers::known_place(std::uint64_t cookie) const {
  if (const auto known = placed_.find(cookie); known != placed_.end())
    return &known->second.place;
  if (list_ != nullptr)
    if (const auto found = list_->find(cookie); found != list_->end())
      return &found->second;
  return nullptr;
}

const UnixPlace *UnixMembers::place_of(const UnixListener &listener) {
  if (!placed_.contains(listener.cookie)) {
    if (const UnixPlace *known = known_place(listener.cookie))
      place(listener.cookie, *known);
    else if (!has_unix_file(listener) || !is_whole_path(listener.address))
      place(listener.cookie,
            {.path = std::string(listener.address), .owned_by = "", .counts = true});
  }
  if (const auto placed = placed_.find(listener.cookie); placed != placed_.end()) {
    placed->second.is_member = true;
    return &placed->second.place;
  }
  if (const auto known = waiting_.find(listener.cookie); known != waiting_.end()) {
    known->second.seen = true;
    return nullptr;
  }
  if (room_ && !room_->can_wait())
    return nullptr;
  const UnixFile file{.cookie = listener.cookie,
                      .path = std::string(listener.address),
                      .inode = listener.file_inode,
                      .device = listener.file_device};
  unplaced_.push_back(file);
  waiting_.emplace(listener.cookie, Waiting{.file = file, .seen = true});
  if (room_)
    ++room_->waiting;
  return nullptr;
}

void UnixMembers::place(std::uint64_t cookie, UnixPlace place) {
  if (place.counts)
    shadowed_.erase(cookie);
  else
    shadowed_.insert(cookie);
  placed_[cookie].place = std::move(place);
  stop_waiting(cookie);
}

void UnixMembers::stop_waiting(std::uint64_t cookie) {
  if (waiting_.erase(cookie) > 0 && room_)
    --room_->waiting;
}

void UnixMembers::remove(std::span<const std::uint64_t> gone) {
  for (const std::uint64_t cookie : gone) {
    placed_.erase(cookie);
    shadowed_.erase(cookie);
  }
}

std::vector<std::uint64_t> UnixMembers::follow(const std::shared_ptr<const UnixPlaces> &places) {
  std::vector<std::uint64_t> moved;
  if (places == nullptr || places == list_)
    return moved;
  list_ = places;
  std::vector<std::pair<std::uint64_t, UnixPlace>> changed;
  for (const auto &[cookie, waiting] : waiting_)
    if (const auto found = places->find(cookie); found != places->end())
      changed.emplace_back(cookie, found->second);
  for (auto &[cookie, placed] : placed_) {
    const auto found = places->find(cookie);
    const UnixPlace &old = placed.place;
    if (found == places->end() || found->second == old)
      continue;
    if (found->second.path != old.path || found->second.owned_by != old.owned_by) {
      moved.push_back(cookie);
      placed.is_member = false;
    }
    changed.emplace_back(cookie, found->second);
  }
  for (auto &[cookie, where] : changed)
    place(cookie, std::move(where));
  return moved;
}

void UnixMembers::end_interval(std::uint64_t looks) {
  intervals_without_look_ = looks == looks_ ? intervals_without_look_ + 1 : 0;
  looks_ = looks;
  const bool gives_up = intervals_without_look_ >= most_intervals_without_look;
  // The waiting listeners that the dump no longer shows.
  std::vector<std::uint64_t> gone;
  for (const auto &[cookie, placed] : placed_)
    if (!placed.is_member)
      gone.push_back(cookie);
  remove(gone);

  std::vector<UnixFile> given_up;
  gone.clear();
  for (auto &[cookie, waiting] : waiting_) {
    if (!std::exchange(waiting.seen, false))
      gone.push_back(cookie);
    else if (gives_up)
      given_up.push_back(waiting.file);
  }
  for (const std::uint64_t cookie : gone)
    stop_waiting(cookie);
  for (UnixFile &file : given_up)
    place(file.cookie, {.path = std::move(file.path), .owned_by = "", .counts = true});
}

} // namespace backlog
