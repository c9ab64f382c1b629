#include "listener_names.h"

#include "listener_name.h"

#include <algorithm>
#include <utility>

namespace backlog {

namespace {

constexpr std::size_t most_collisions = 100;
constexpr std::size_t most_claims = 10000;

/// Joins them with a NUL, which no name contains.
std::string name_and_address(const std::string &name, const std::string &address) {
  return name + '\0' + address;
}

} // namespace

std::optional<std::uint32_t> ListenerNames::find(const ListenerIdentity &identity) const {
  if (const auto found = by_name_.find(identity.name);
      found != by_name_.end() && identity_of_(found->second).address == identity.address)
    return found->second;
  if (renamed_.empty())
    return std::nullopt;
  const auto found = renamed_.find(name_and_address(identity.name, identity.address));
  return found == renamed_.end() ? std::nullopt : std::optional(found->second);
}

// A listener that loses its name may take another's next choice, so this goes on until all fit.
void ListenerNames::give(std::uint32_t listener) {
  std::string name = identity_of_(listener).name;
  for (;;) {
    const std::string &address = identity_of_(listener).address;
    const auto claim = claims_.find(name);
    const bool is_claimed =
        claim != claims_.end() && claim->second != address && keeps_name(claim->second, address);
    std::string keeper = is_claimed ? claim->second : address;
    if (!is_claimed) {
      const auto [entry, is_new] = by_name_.try_emplace(name, listener);
      if (is_new || keeps_name(address, identity_of_(entry->second).address)) {
        const std::uint32_t displaced = std::exchange(entry->second, listener);
        identity_of_(listener).name = name;
        if (is_new)
          return;
        listener = displaced;
      } else {
        keeper = identity_of_(entry->second).address;
      }
    }
    ListenerIdentity &other = identity_of_(listener);
    if (other.shared_name.empty()) {
      other.shared_name = name;
      renamed_.emplace(name_and_address(name, other.address), listener);
    }
    std::string next = alternative_name(name, other.address);
    note_collision({std::move(name), std::move(keeper), other.address, next});
    name = std::move(next);
  }
}

void ListenerNames::release(std::uint32_t listener) {
  const ListenerIdentity &identity = identity_of_(listener);
  note_claim(identity);
  by_name_.erase(identity.name);
  if (!identity.shared_name.empty())
    renamed_.erase(name_and_address(identity.shared_name, identity.address));
}

void ListenerNames::note_collision(NameCollision collision) {
  if (collisions_.size() < most_collisions &&
      std::find(collisions_.begin(), collisions_.end(), collision) == collisions_.end())
    collisions_.push_back(std::move(collision));
}

void ListenerNames::note_claim(const ListenerIdentity &identity) {
  if (identity.address.empty() || identity.has_id)
    return;
  if (const auto [entry, is_new] = claims_.try_emplace(identity.name, identity.address); !is_new) {
    if (keeps_name(identity.address, entry->second))
      entry->second = identity.address;
    return;
  }
  if (claims_in_order_.size() < most_claims) {
    claims_in_order_.push_back(identity.name);
    return;
  }
  claims_.erase(std::exchange(claims_in_order_[next_claim_], identity.name));
  next_claim_ = (next_claim_ + 1) % most_claims;
}

} // namespace backlog
