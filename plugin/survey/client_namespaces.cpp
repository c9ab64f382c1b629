#include "client_namespaces.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

namespace backlog {

namespace {

// Connections from one address that are looked for in every namespace.
constexpr std::size_t most_probes = 3;
constexpr std::uint64_t searches_until_forgotten = 6;
// A home is doubted that often: a namespace with a twin may have come since.
constexpr std::uint64_t searches_until_doubted = 6;

/// Whether an address means the same in two net namespaces: one of a single link or host does not.
bool is_of_one_namespace(const TcpAddress &address) {
  const TcpAddress plain = address.unmapped();
  const bool is_ipv4_link_local = !plain.ipv6 && plain.bytes[0] == 169 && plain.bytes[1] == 254;
  return plain.is_loopback() || plain.is_link_local() || is_ipv4_link_local;
}

bool can_be_elsewhere(const ConnectionEnds &ends) {
  return !is_of_one_namespace(ends.local) && !is_of_one_namespace(ends.remote) &&
         ends.local.unmapped().bytes != ends.remote.unmapped().bytes;
}

ClientNamespaces::Question question(TcpAddress local, TcpAddress remote, TcpEnd what) {
  // The index of a device says nothing in another namespace.
  local.device = remote.device = 0;
  return {local, remote, what};
}

ClientNamespaces::Question client_end(const ConnectionEnds &ends) {
  return question(ends.remote, ends.local, TcpEnd::waiting_client);
}

ClientNamespaces::Question server_end(const ConnectionEnds &ends) {
  return question(ends.local, ends.remote, TcpEnd::any);
}

} // namespace

struct ClientNamespaces::Search {
  std::span<const Connection> connections;
  std::span<const NetNamespaceId> namespaces;
  List list;
  Ask ask;
  std::vector<Answer> found;

  /// Returns nothing unless all are answered.
  std::vector<Answer> answers(NetNamespaceId net_namespace,
                              const std::vector<Question> &questions) const {
    if (questions.empty())
      return {};
    std::vector<Answer> given = ask(net_namespace, questions);
    if (given.size() != questions.size())
      given.clear();
    return given;
  }
};

struct ClientNamespaces::Trial {
  const Address *address = nullptr;
  Indices probes;
  std::vector<NetNamespaceId> of_client; ///< where the client's end can be
  std::vector<NetNamespaceId> of_server; ///< where a twin's other end can be
  std::map<NetNamespaceId, std::vector<std::pair<std::size_t, std::uint32_t>>> found;
  bool has_twin = false;

  std::size_t questions() const { return probes.size() * (of_client.size() + of_server.size()); }
};

std::vector<ClientNamespaces::Answer>
ClientNamespaces::find(std::span<const Connection> connections,
                       std::span<const NetNamespaceId> namespaces, List list, Ask ask) {
  ++number_;
  ByAddress by_address;
  for (std::size_t i = 0; i < connections.size(); ++i)
    if (can_be_elsewhere(connections[i].ends))
      by_address[address_of(connections[i])].push_back(i);
  for (auto &[address, known] : known_) {
    if (by_address.contains(address))
      known.seen = number_;
    if (known.home &&
        std::find(namespaces.begin(), namespaces.end(), *known.home) == namespaces.end())
      known.home.reset();
  }
  Search search{connections, namespaces, list, ask, std::vector<Answer>(connections.size())};
  find_homes(search, by_address);
  find_at_home(search, by_address);
  std::erase_if(known_, [this](const auto &entry) {
    return number_ - entry.second.seen >= searches_until_forgotten;
  });
  return std::move(search.found);
}

ClientNamespaces::Address ClientNamespaces::address_of(const Connection &connection) {
  const TcpAddress client = connection.ends.remote.unmapped();
  return {.listener_in = connection.listener_in,
          .ipv6 = client.ipv6,
          .client = client.bytes,
          .server = connection.ends.local.unmapped().bytes};
}

/// Returns the addresses whose home is to be looked for: those first for which that was done
/// longest ago, and of these the most frequent.
std::vector<const ClientNamespaces::ByAddress::value_type *>
ClientNamespaces::without_proof(const ByAddress &connections) const {
  struct Turn {
    std::uint64_t looked_for;
    const ByAddress::value_type *entry;
  };
  std::vector<Turn> turns;
  for (const auto &entry : connections) {
    const auto found = known_.find(entry.first);
    if (found == known_.end())
      turns.push_back({0, &entry});
    else if (!found->second.home || number_ - found->second.looked_for >= searches_until_doubted)
      turns.push_back({found->second.looked_for, &entry});
  }
  std::stable_sort(turns.begin(), turns.end(), [](const Turn &a, const Turn &b) {
    return std::tuple(a.looked_for, b.entry->second.size()) <
           std::tuple(b.looked_for, a.entry->second.size());
  });
  std::vector<const ByAddress::value_type *> result;
  result.reserve(turns.size());
  for (const Turn &turn : turns)
    result.push_back(turn.entry);
  return result;
}

/// Returns the trials of addresses that other namespaces have, as many as there is time for.
std::vector<ClientNamespaces::Trial> ClientNamespaces::trials(const Search &search,
                                                              const ByAddress &connections) {
  const auto turns = without_proof(connections);
  std::map<std::pair<bool, Bytes>, std::vector<NetNamespaceId>> places;
  for (const auto *entry : turns) {
    places[{entry->first.ipv6, entry->first.client}];
    places[{entry->first.ipv6, entry->first.server}];
  }
  if (turns.empty())
    return {};
  for (const NetNamespaceId &place : search.namespaces)
    search.list(place, [&](const TcpAddress &address) {
      const auto found = places.find({address.ipv6, address.bytes});
      // Two devices can have the same address.
      if (found != places.end() && (found->second.empty() || found->second.back() != place))
        found->second.push_back(place);
    });

  std::vector<Trial> result;
  std::size_t left = most_questions;
  for (const auto *entry : turns) {
    const auto &[address, indices] = *entry;
    Trial trial;
    trial.address = &address;
    trial.of_client = places.at({address.ipv6, address.client});
    if (trial.of_client.empty())
      continue;
    if (std::find(trial.of_client.begin(), trial.of_client.end(), address.listener_in) !=
        trial.of_client.end()) {
      known_.erase(address);
      continue;
    }
    trial.of_server = places.at({address.ipv6, address.server});
    std::erase(trial.of_server, address.listener_in);
    // Others each time, because some clients may be gone for good.
    for (std::size_t i = 0; i < std::min(most_probes, indices.size()); ++i)
      trial.probes.push_back(indices[(number_ * most_probes + i) % indices.size()]);
    if (trial.questions() > left)
      break;
    left -= trial.questions();
    Known &known = known_[address];
    known.looked_for = known.seen = number_;
    result.push_back(std::move(trial));
  }
  return result;
}

void ClientNamespaces::find_homes(Search &search, const ByAddress &connections) {
  struct Asked {
    Trial *trial;
    std::size_t probe;
    bool is_client;
  };
  struct Visit {
    std::vector<Question> questions;
    std::vector<Asked> asked; ///< one for each question
  };
  std::vector<Trial> all = trials(search, connections);
  std::map<NetNamespaceId, Visit> visits;
  for (Trial &trial : all)
    for (const std::size_t probe : trial.probes) {
      const ConnectionEnds &ends = search.connections[probe].ends;
      for (const NetNamespaceId &place : trial.of_client) {
        visits[place].questions.push_back(client_end(ends));
        visits[place].asked.push_back({&trial, probe, true});
      }
      for (const NetNamespaceId &place : trial.of_server) {
        visits[place].questions.push_back(server_end(ends));
        visits[place].asked.push_back({&trial, probe, false});
      }
    }
  for (const auto &[place, visit] : visits) {
    const std::vector<Answer> answers = search.answers(place, visit.questions);
    for (std::size_t i = 0; i < answers.size(); ++i) {
      const auto &[trial, probe, is_client] = visit.asked[i];
      if (answers[i] && is_client)
        trial->found[place].emplace_back(probe, *answers[i]);
      trial->has_twin = trial->has_twin || (answers[i] && !is_client);
    }
  }

  for (const Trial &trial : all) {
    std::optional<NetNamespaceId> &home = known_[*trial.address].home;
    if (trial.has_twin || trial.found.size() > 1)
      home.reset();
    if (trial.has_twin || trial.found.size() != 1)
      continue;
    const auto &[place, found] = *trial.found.begin();
    if (2 * found.size() > trial.probes.size())
      home = place;
    else if (home != place)
      home.reset();
    if (home)
      for (const auto &[probe, inode] : found)
        search.found[probe] = inode;
  }
}

/// Looks for all connections of an address in its home; it is no longer the home if none is there.
void ClientNamespaces::find_at_home(Search &search, const ByAddress &connections) {
  struct Visit {
    std::vector<Question> questions;
    Indices asked;
    std::vector<Known *> of; ///< one for each question
  };
  std::map<NetNamespaceId, Visit> visits;
  std::set<Known *> without; ///< of which no connection has been found
  for (const auto &[address, indices] : connections) {
    const auto known = known_.find(address);
    if (known == known_.end() || !known->second.home)
      continue;
    Visit &visit = visits[*known->second.home];
    bool has_one = false;
    for (const std::size_t i : indices) {
      has_one = has_one || search.found[i];
      if (search.found[i])
        continue;
      visit.questions.push_back(client_end(search.connections[i].ends));
      visit.asked.push_back(i);
      visit.of.push_back(&known->second);
    }
    if (!has_one)
      without.insert(&known->second);
  }
  for (const auto &[place, visit] : visits) {
    const std::vector<Answer> answers = search.answers(place, visit.questions);
    if (answers.empty())
      for (Known *known : visit.of)
        without.erase(known);
    for (std::size_t i = 0; i < answers.size(); ++i) {
      search.found[visit.asked[i]] = answers[i];
      if (answers[i])
        without.erase(visit.of[i]);
    }
  }
  for (Known *known : without)
    *known = {.home = std::nullopt, .looked_for = 0, .seen = number_};
}

} // namespace backlog
