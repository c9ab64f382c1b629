#include "queue_waits.h"

namespace backlog {

void QueueWaits::add(const NamespaceHarvest &harvest, bool is_own, const SurveyView &view,
                     const Config &config) {
  if (view.net_namespace != nullptr && !view.net_namespace->tcp_clients.empty())
    add(harvest.tcp, Family::tcp, is_own, view, config);
  if (harvest.unix_sockets && view.survey != nullptr && !view.survey->unix_clients.empty())
    add(*harvest.unix_sockets, Family::unix_socket, is_own, view, config);
}

void QueueWaits::add(const FamilyHarvest &kind, Family family, bool is_own, const SurveyView &view,
                     const Config &config) {
  for (const ListenerHarvest &listener : kind.listeners) {
    const ListenerInterval &interval = listener.interval;
    if (interval.queue.last == 0)
      continue;
    const WaitingClients *clients = view.clients(interval, family);
    if (clients == nullptr || clients->of_listeners.empty())
      continue;
    const WatchFacts watch = watch_facts(config, interval.identity.view(is_own));
    for (const auto &[cookie, count] : clients->of_listeners) {
      WaitedAt &most = by_cookie_[cookie];
      if (count > most.count)
        most = {.name = interval.identity.name,
                .shown = watch.name.value_or(interval.identity.name),
                .count = count};
    }
  }
}

const QueueWaits::WaitedAt *QueueWaits::of(const ListenerInterval &listener) const {
  const WaitedAt *most = nullptr;
  const auto see = [&](std::uint64_t cookie) {
    const auto found = by_cookie_.find(cookie);
    if (found != by_cookie_.end() && found->second.name != listener.identity.name &&
        (most == nullptr || found->second.count > most->count))
      most = &found->second;
  };
  if (by_cookie_.empty())
    return nullptr;
  see(listener.cookie);
  for (const WaitingMember &member : listener.waiting)
    see(member.cookie);
  return most;
}

} // namespace backlog
