#pragma once

#include "listener_identity.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace backlog {

/// Two addresses that collide in one name. The other one gets an alternative name.
struct NameCollision {
  std::string name;
  std::string keeper; ///< address that keeps the name; it may be closed
  std::string other;  ///< address with the alternative name
  std::string other_name;

  bool operator==(const NameCollision &) const = default;
};

/// Which listener has which name. Of two addresses in one name keeps_name() says which keeps it,
/// whichever came first. A listener is an index of the caller's, who keeps its identity.
class ListenerNames {
public:
  /// Returns the identity of a listener that was given a name, or is given one.
  using IdentityOf = std::function<ListenerIdentity &(std::uint32_t listener)>;

  explicit ListenerNames(IdentityOf identity_of) : identity_of_(std::move(identity_of)) {}

  /// identity: as found at the listener's address. nullopt if that has no name here.
  std::optional<std::uint32_t> find(const ListenerIdentity &identity) const;
  /// Gives the listener the name of its identity, or the next alternative. Another one can lose
  /// that name, and gets its own next alternative.
  void give(std::uint32_t listener);
  /// Its address has a claim to the name while its service restarts: the newest 10 000 such claims
  /// are kept.
  void release(std::uint32_t listener);
  /// Returns those since the last call, at most 100.
  std::vector<NameCollision> take_collisions() { return std::exchange(collisions_, {}); }

private:
  void note_collision(NameCollision collision);
  void note_claim(const ListenerIdentity &identity);

  IdentityOf identity_of_;
  std::unordered_map<std::string, std::uint32_t> by_name_;
  /// Listeners whose name another address keeps, keyed by that name and their address.
  std::unordered_map<std::string, std::uint32_t> renamed_;
  std::unordered_map<std::string, std::string> claims_; ///< address of a closed listener, by name
  std::vector<std::string> claims_in_order_;            ///< ring buffer of their names
  std::size_t next_claim_ = 0;
  std::vector<NameCollision> collisions_;
};

} // namespace backlog
