#include "snapshot.h"

#include <algorithm>
#include <cstring>

namespace backlog {

namespace {

constexpr std::size_t text_block_bytes = 65536;

template <class Names> Snapshot::Order order_of(const Names &names) {
  const std::vector<std::uint32_t> indexes = name_indexes(names);
  Snapshot::Order order;
  order.reserve(indexes.size());
  for (std::uint32_t i = 0; i < indexes.size(); ++i)
    order.emplace_back(indexes[i], i);
  std::sort(order.begin(), order.end());
  return order;
}

} // namespace

std::pair<std::shared_ptr<const Snapshot>, std::string> Snapshot::read(TableReader reader) {
  const std::shared_ptr<Snapshot> snapshot(new Snapshot);
  if (reader.refused())
    return {nullptr, reader.refusal()};
  snapshot->header_ = reader.header();
  snapshot->listeners_.reserve(reader.header().listeners);
  for (layout::Namespace record{}; reader.next_namespace(record);)
    snapshot->namespaces_.push_back(record);
  for (layout::Listener record{}; reader.next_listener(record);)
    snapshot->add(record);
  if (reader.refused())
    return {nullptr, reader.refusal()};
  snapshot->put_in_order();
  return {snapshot, ""};
}

std::string_view Snapshot::keep(std::string_view text) {
  if (text.empty())
    return {};
  if (text.size() > text_room_) {
    texts_.emplace_back(new char[text_block_bytes]);
    text_room_ = text_block_bytes;
  }
  char *target = texts_.back().get() + (text_block_bytes - text_room_);
  std::memcpy(target, text.data(), text.size());
  text_room_ -= text.size();
  return {target, text.size()};
}

void Snapshot::add(const layout::Listener &record) {
  listeners_.push_back({.name = keep(layout::text_of(record.name)),
                        .owner = keep(layout::text_of(record.owner)),
                        .path = keep(layout::text_of(record.path)),
                        .message = keep(layout::text_of(record.message)),
                        .clients = keep(layout::text_of(record.clients)),
                        .address = record.address,
                        .index = 0,
                        .scope = record.scope,
                        .net_namespace = record.net_namespace,
                        .has = record.has,
                        .members = record.members,
                        .waits_for = record.waits_for,
                        .length = record.length,
                        .peak = record.peak,
                        .limit = record.limit,
                        .dropped = record.dropped,
                        .overflows = record.overflows,
                        .syn_length = record.syn_length,
                        .recent_peak = record.recent_peak,
                        .recent_dropped = record.recent_dropped,
                        .recent_overflows = record.recent_overflows,
                        .arrivals = record.arrivals,
                        .accepts = record.accepts,
                        .peak_bound = record.peak_bound,
                        .enough = record.enough,
                        .syn_overflows = record.syn_overflows,
                        .ack_overflows = record.ack_overflows,
                        .counted_since_ns = record.counted_since_ns,
                        .mean = record.mean,
                        .used_percent = record.used_percent,
                        .full_percent = record.full_percent,
                        .oldest_wait_seconds = record.oldest_wait_seconds,
                        .recent_used_percent = record.recent_used_percent,
                        .wait_mean_seconds = record.wait_mean_seconds,
                        .wait_p50_seconds = record.wait_p50_seconds,
                        .wait_p99_seconds = record.wait_p99_seconds,
                        .port = record.port,
                        .state = record.state,
                        .cause = record.cause,
                        .limit_source = record.limit_source,
                        .severity = record.severity,
                        .alarm_state = record.alarm_state,
                        .alarm_cause = record.alarm_cause,
                        .recent_state = record.recent_state,
                        .recent_severity = record.recent_severity,
                        .address_type = record.address_type});
  ++in_state_[static_cast<std::size_t>(record.state)];
}

void Snapshot::put_in_order() {
  std::vector<std::string_view> names;
  names.reserve(listeners_.size());
  for (const Listener &listener : listeners_) {
    names.push_back(listener.name);
    if ((listener.has & layout::has_queue) != 0 &&
        (worst_ == nullptr || listener.used_percent > worst_->used_percent))
      worst_ = &listener;
  }
  listener_order_ = order_of(names);
  for (const auto &[index, position] : listener_order_)
    listeners_[position].index = index;

  // The first namespace is self; no other may take its number.
  names.clear();
  for (const layout::Namespace &record : namespaces_)
    names.push_back(layout::text_of(record.name));
  namespace_order_ = order_of(names);
}

bool Snapshot::differs_from(const Snapshot &other) const {
  return !std::equal(
      listeners_.begin(), listeners_.end(), other.listeners_.begin(), other.listeners_.end(),
      [](const Listener &a, const Listener &b) { return a.state == b.state && a.name == b.name; });
}

} // namespace backlog
