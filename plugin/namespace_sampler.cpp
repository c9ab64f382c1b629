#include "namespace_sampler.h"

#include "listener_name.h"

#include <array>
#include <net/if.h>
#include <utility>

namespace backlog {

namespace {

/// The device's name in the calling thread's net namespace.
std::string device_name(std::uint32_t index) {
  std::array<char, IF_NAMESIZE> name{};
  if (index == 0)
    return "";
  if (if_indextoname(index, name.data()) == nullptr)
    return "if" + std::to_string(index);
  return name.data();
}

std::string tcp_failure_reason(const Error &error) {
  // netlink_dump_done() carries the ENOENT of inet_diag_lock_handler().
  return error.code == ENOENT ? error.message() + " (the kernel has no tcp_diag)" : error.message();
}

} // namespace

NamespaceSampler::NamespaceSampler(std::shared_ptr<const Config> config)
    : config_(std::move(config)), tcp_([this](const ListenerIdentity &identity) {
        const bool unstable =
            identity.has_id || (port_range_ && port_range_->contains(identity.port));
        return unstable && config_->listeners.selects(identity.name) &&
               !config_->listeners.names(identity.name);
      }) {
  read_port_range();
}

void NamespaceSampler::sample(Duration max_weight) {
  tcp_.begin_sample();
  if (!dump_tcp()) {
    tcp_.abandon_sample();
    return;
  }
  tcp_.end_sample(std::chrono::steady_clock::now(), max_weight);
  hand_out_drops(false);
}

NamespaceHarvest NamespaceSampler::harvest(Duration max_weight, std::vector<Fault> &faults) {
  sample(max_weight);
  hand_out_drops(true);

  NamespaceHarvest harvest;
  harvest.listeners_read = !tcp_failure_;
  ListenerSet::Interval interval = tcp_.harvest();
  harvest.tcp_fold.interval = std::move(interval.fold);
  harvest.tcp = with_drops(std::move(interval.listeners), harvest.tcp_fold);
  drops_.clear_interval();
  harvest.counters = counters_;
  if (counters_)
    harvest.drops_unattributed = drops_.unattributed().drops;
  read_port_range();

  if (tcp_failure_)
    faults.push_back({"TCP listeners", tcp_failure_reason(*tcp_failure_)});
  if (counters_failure_)
    faults.push_back({"kernel counters", counters_failure_->message()});
  return harvest;
}

bool NamespaceSampler::dump_tcp() {
  if (!sock_diag_) {
    Result<SockDiag> opened = SockDiag::open();
    if (!opened) {
      tcp_failure_ = opened.error();
      return false;
    }
    sock_diag_ = std::move(*opened);
  }
  tcp_failure_ = sock_diag_->dump_tcp_listeners([this](const TcpListener &listener) {
    tcp_.see({.cookie = listener.cookie,
              .length = listener.queue_length,
              .limit = listener.limit,
              .drops = listener.drops},
             [&] { return identify(listener); });
  });
  if (tcp_failure_)
    sock_diag_.reset();
  return !tcp_failure_;
}

ListenerIdentity NamespaceSampler::identify(const TcpListener &listener) const {
  ListenerName name = name_tcp_listener(listener.address, device_name(listener.address.device), "");
  return {.name = std::move(name.text), .port = listener.address.port, .has_id = name.has_id};
}

void NamespaceSampler::hand_out_drops(bool at_harvest) {
  if (at_harvest) {
    Result<NetCounters> read = counters_reader_.read();
    counters_failure_ = read ? Failure() : Failure(read.error());
    counters_ = read ? std::optional(*read) : std::nullopt;
  }
}

void NamespaceSampler::read_port_range() {
  const std::optional<PortRange> range = limits_reader_.read_port_range();
  if (range == port_range_)
    return;
  port_range_ = range;
  tcp_.refold();
}

std::vector<ListenerHarvest> NamespaceSampler::with_drops(std::vector<ListenerInterval> intervals,
                                                          ListenerHarvest &fold) const {
  std::vector<ListenerHarvest> listeners;
  listeners.reserve(intervals.size());
  for (ListenerInterval &interval : intervals) {
    const ListenCounters dropped = drops_.attributed(interval.index);
    if (interval.folded) {
      fold.dropped.drops += dropped.drops;
      fold.dropped.overflows += dropped.overflows;
    }
    listeners.push_back({std::move(interval), dropped});
  }
  return listeners;
}

} // namespace backlog
