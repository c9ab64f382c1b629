#include "survey_view.h"

#include <algorithm>

namespace backlog {

namespace {

template <class Map, class Key> auto value_at(const Map &map, const Key &key) {
  const auto found = map.find(key);
  return found == map.end() ? nullptr : &found->second;
}

} // namespace

SurveyView SurveyView::of_own(const Survey *survey, const Harvest &harvest) {
  return {.survey = survey,
          .net_namespace = survey == nullptr ? nullptr : &survey->own,
          .ended_at = harvest.ended_at};
}

SurveyView SurveyView::of_other(const Survey *survey, const Harvest &harvest,
                                const NetNamespaceId &other) {
  return {.survey = survey,
          .net_namespace = survey == nullptr ? nullptr : value_at(survey->others, other),
          .ended_at = harvest.ended_at};
}

bool SurveyView::is_outdated(const ListenerInterval &listener) const {
  const auto age = ended_at - survey->waits_of;
  return std::all_of(listener.waiting.begin(), listener.waiting.end(),
                     [&](const WaitingMember &member) { return member.not_shrinking_for < age; });
}

std::optional<std::uint64_t> SurveyView::syn_length(const ListenerInterval &listener,
                                                    Family family) const {
  if (family != Family::tcp || net_namespace == nullptr || !net_namespace->syn_queues)
    return std::nullopt;
  const std::uint64_t *length =
      value_at(net_namespace->syn_queues->by_listener, lasting_key(listener.identity));
  return length == nullptr ? 0 : *length;
}

const Owner *SurveyView::owner(const ListenerInterval &listener) const {
  return survey == nullptr ? nullptr : value_at(survey->owners, listener.cookie);
}

const TcpWaits *SurveyView::tcp_waits(const ListenerInterval &listener) const {
  if (net_namespace == nullptr || is_outdated(listener))
    return nullptr;
  return value_at(net_namespace->tcp_waits, lasting_key(listener.identity));
}

const WaitingClients *SurveyView::clients(const ListenerInterval &listener, Family family) const {
  if (survey == nullptr || is_outdated(listener))
    return nullptr;
  if (family == Family::tcp) {
    if (net_namespace == nullptr || net_namespace->tcp_clients.empty())
      return nullptr;
    return value_at(net_namespace->tcp_clients, lasting_key(listener.identity));
  }
  const WaitingClients *fullest = nullptr;
  for (const WaitingMember &member : listener.waiting) {
    const WaitingClients *found = value_at(survey->unix_clients, member.cookie);
    if (found != nullptr && (fullest == nullptr || found->counted > fullest->counted))
      fullest = found;
  }
  return fullest;
}

bool SurveyView::is_unreachable(const ListenerInterval &listener) const {
  return survey != nullptr && survey->unreachable.contains(listener.cookie);
}

} // namespace backlog
