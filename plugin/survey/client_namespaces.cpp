#include "client_namespaces.h"

#include <algorithm>
#include <set>
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

std::vector<ClientNamespaces::Answer>
ClientNamespaces::find(std::span<const Connection> connections,
                       std::span<const NetNamespaceId> namespaces, Ask ask) {
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
  Search search{connections, namespaces, ask, std::vector<Answer>(connections.size())};
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
ClientNamespaces::without_proof(const Search &search, const ByAddress &connections) const {
  struct Turn {
    std::uint64_t looked_for;
    const ByAddress::value_type *entry;
  };
  std::vector<Turn> turns;
  for (const auto &entry : connections) {
    const auto found = known_.find(entry.first);
    const Known known = found == known_.end() ? Known() : found->second;
    if (!known.home || number_ - known.looked_for >= searches_until_doubted)
      turns.push_back({known.looked_for, &entry});
  }
  std::stable_sort(turns.begin(), turns.end(), [](const Turn &a, const Turn &b) {
    return a.looked_for != b.looked_for ? a.looked_for < b.looked_for
                                        : a.entry->second.size() > b.entry->second.size();
  });
  std::vector<const ByAddress::value_type *> result;
  std::size_t left = most_questions;
  for (const Turn &turn : turns) {
    const std::size_t probes = std::min(most_probes, turn.entry->second.size());
    const std::size_t questions = 2 * probes * search.namespaces.size();
    if (questions > left)
      break;
    left -= questions;
    result.push_back(turn.entry);
  }
  return result;
}

void ClientNamespaces::find_homes(Search &search, const ByAddress &connections) {
  struct Trial {
    const Address *address = nullptr;
    Indices probes;
    std::map<NetNamespaceId, std::vector<std::pair<std::size_t, std::uint32_t>>> found;
    bool has_twin = false;
  };
  std::vector<Trial> trials;
  for (const auto *entry : without_proof(search, connections)) {
    const Indices &all = entry->second;
    Trial &trial = trials.emplace_back();
    trial.address = &entry->first;
    // Others each time, because some clients may be gone for good.
    for (std::size_t i = 0; i < std::min(most_probes, all.size()); ++i)
      trial.probes.push_back(all[(number_ * most_probes + i) % all.size()]);
    Known &known = known_[entry->first];
    known.looked_for = known.seen = number_;
  }

  for (const NetNamespaceId &place : search.namespaces) {
    std::vector<Question> questions;
    std::vector<std::pair<Trial *, std::size_t>> asked;
    for (Trial &trial : trials)
      if (trial.address->listener_in != place)
        for (const std::size_t probe : trial.probes) {
          questions.push_back(client_end(search.connections[probe].ends));
          questions.push_back(server_end(search.connections[probe].ends));
          asked.emplace_back(&trial, probe);
        }
    const std::vector<Answer> answers = search.answers(place, questions);
    for (std::size_t i = 0; i < answers.size(); i += 2) {
      const auto &[trial, probe] = asked[i / 2];
      if (answers[i])
        trial->found[place].emplace_back(probe, *answers[i]);
      trial->has_twin = trial->has_twin || answers[i + 1].has_value();
    }
  }

  for (const Trial &trial : trials) {
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
