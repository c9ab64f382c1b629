#include "waiting_clients.h"

#include "utf8.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <netinet/in.h>
#include <tuple>
#include <utility>

namespace backlog {

namespace {

constexpr std::size_t most_listed = 3;
// A message names a client that makes at least this part of those who wait.
constexpr std::uint64_t outstanding_part = 4;

std::string address_text(const TcpAddress &address) {
  const TcpAddress plain = address.unmapped();
  std::array<char, INET6_ADDRSTRLEN> text{};
  inet_ntop(plain.ipv6 ? AF_INET6 : AF_INET, plain.bytes.data(), text.data(), text.size());
  return text.data();
}

bool is_of_same_program(const Owner &one, const Owner &other) {
  return !one.unit.empty() && one.unit == other.unit && !other.is_manager &&
         program_of(one.process) == program_of(other.process);
}

bool serves(const ClientProcess &process, const ClientQueue &queue) {
  return std::any_of(queue.sockets.begin(), queue.sockets.end(), [&](const auto &socket) {
    return std::find(process.listeners.begin(), process.listeners.end(), socket.cookie) !=
           process.listeners.end();
  });
}

/// Escapes the separator of the list, too.
std::string listed(std::string_view text) {
  std::string result;
  for (const char c : printable(text))
    result += c == ',' ? "\\x2c" : std::string(1, c);
  return result;
}

std::string shown(const WaitingClients::Client &client) {
  return client.owner.empty() ? client.client : client.client + " (" + client.owner + ")";
}

} // namespace

ClientProcess client_process(const SocketHolder &holder,
                             std::span<const ListeningSocket> listening) {
  const Owner &owner = holder.owner;
  ClientProcess process{.name = owner.text(), .worker_of = {}, .listeners = {}};
  for (const ListeningSocket &socket : listening) {
    const bool has_it =
        std::find(holder.noted.begin(), holder.noted.end(), socket.inode) != holder.noted.end();
    if (!has_it && !is_of_same_program(owner, socket.owner))
      continue;
    if (std::find(process.listeners.begin(), process.listeners.end(), socket.cookie) ==
        process.listeners.end())
      process.listeners.push_back(socket.cookie);
    const bool is_worker = has_it && owner.unit.empty() && socket.owner.unit.empty() &&
                           program_of(owner.process) == program_of(socket.owner.process);
    if (is_worker)
      process.worker_of = socket.owner.text();
  }
  return process;
}

WaitingClients count_clients(const ClientQueue &queue, const ClientProcesses &processes,
                             ClientReport report) {
  using Place = WaitingClient::Place;
  WaitingClients result;
  result.counted = queue.clients.size();
  result.visible = queue.visible;
  result.invisible = queue.invisible;

  struct Found {
    std::uint64_t count = 0;
    bool is_itself = false;
  };
  std::map<std::pair<std::string, std::string>, Found> found; // by client and owner
  for (const WaitingClient &client : queue.clients) {
    const auto process =
        client.place == Place::here ? processes.find(client.inode) : processes.end();
    std::string owner = client.place == Place::ended ? ended_clients : "";
    bool is_itself = false;
    if (process != processes.end()) {
      is_itself = serves(process->second, queue);
      owner = is_itself || process->second.worker_of.empty() ? process->second.name
                                                             : process->second.worker_of;
      if (!is_itself)
        for (const std::uint64_t listener : process->second.listeners)
          ++result.of_listeners[listener];
    }
    std::string name = owner;
    if (report == ClientReport::addresses && client.address)
      name = address_text(*client.address);
    if (name.empty())
      continue;
    if (name == owner)
      owner.clear();
    Found &entry = found[{std::move(name), std::move(owner)}];
    ++entry.count;
    entry.is_itself = is_itself;
  }
  for (const auto &[name, entry] : found)
    result.most.push_back({.client = name.first,
                           .owner = name.second,
                           .count = entry.count,
                           .is_itself = entry.is_itself});
  std::stable_sort(result.most.begin(), result.most.end(),
                   [](const auto &a, const auto &b) { return a.count > b.count; });
  result.most.resize(std::min(result.most.size(), most_listed));
  return result;
}

std::string clients_text(const WaitingClients &clients, std::size_t max_bytes) {
  std::string text;
  for (const WaitingClients::Client &client : clients.most) {
    std::string more = text.empty() ? "" : ", ";
    more += std::to_string(client.count);
    if (text.empty())
      more += " of " + std::to_string(clients.counted);
    more += " from " + listed(shown(client));
    if (!text.empty() && text.size() + more.size() > max_bytes)
      break;
    text += more;
  }
  return text.substr(0, max_bytes);
}

std::string clients_remark(const WaitingClients &clients) {
  if (clients.most.empty())
    return "";
  const WaitingClients::Client &first = clients.most.front();
  if (first.is_itself || outstanding_part * first.count < clients.counted)
    return "";
  const bool sees_all = clients.invisible == 0 && clients.counted == clients.visible;
  const bool is_all = first.count == clients.counted;
  std::string text = "all";
  if (!is_all || !sees_all)
    text = std::to_string(first.count) + " of " + std::to_string(clients.counted) +
           (clients.counted < clients.visible ? " looked at"
            : clients.invisible > 0           ? " visible"
                                              : " waiting");
  if (first.client == ended_clients)
    return text + (is_all && sees_all ? " clients have ended" : " have ended");
  return text + " from " + shown(first);
}

} // namespace backlog
