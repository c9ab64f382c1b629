#include "openmetrics_text.h"

#include "table_text.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <charconv>
#include <initializer_list>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace backlog {

namespace {

using layout::has_queue;
using layout::Listener;
using layout::Namespace;
using layout::text_of;

using Value = std::optional<double>;

std::string shown(double value) {
  std::array<char, 32> text{};
  const auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() ? std::string(text.data(), end) : "NaN";
}

std::string shown(std::uint64_t value) { return std::to_string(value); }

using Label = std::pair<std::string_view, std::string_view>;

std::string labels_text(std::initializer_list<Label> labels) {
  std::string text;
  for (const auto &[name, value] : labels)
    text.append(text.empty() ? "" : ",").append(name).append("=") += quoted_text(value);
  return text.empty() ? "" : "{" + text + "}";
}

/// All samples of one metric; the format requires them in one piece.
class Metric {
public:
  Metric(std::string_view name, std::string_view type, std::string_view unit, std::string_view help)
      : name_(name) {
    head_.append("# HELP ").append(name).append(" ").append(help).append("\n");
    head_.append("# TYPE ").append(name).append(" ").append(type).append("\n");
    if (!unit.empty())
      head_.append("# UNIT ").append(name).append(" ").append(unit).append("\n");
  }

  template <class Number> void add(std::initializer_list<Label> labels, Number value) {
    samples_ += name_ + labels_text(labels) + " " + shown(value) + "\n";
  }
  /// A sample of a histogram.
  template <class Number>
  void add_part(std::string_view part, std::initializer_list<Label> labels, Number value) {
    samples_.append(name_).append(part) += labels_text(labels) + " " + shown(value) + "\n";
  }
  /// Writes nothing if the value is unknown.
  std::string str() const { return samples_.empty() ? "" : head_ + samples_; }

private:
  std::string name_;
  std::string head_;
  std::string samples_;
};

Value known(const Listener &listener, std::uint32_t bit, double value) {
  return (listener.has & bit) != 0 ? Value(value) : std::nullopt;
}

double whole(std::uint64_t value) { return static_cast<double>(value); }

/// A gauge of each listener.
struct ListenerGauge {
  std::string_view name;
  std::string_view unit;
  std::string_view help;
  Value (*value)(const Listener &);
};

constexpr std::array listener_gauges{
    ListenerGauge{"backlog_accept_queue_connections", "connections",
                  "Connections in the accept queue at the end of the interval.",
                  [](const Listener &l) { return known(l, has_queue, whole(l.length)); }},
    ListenerGauge{"backlog_accept_queue_peak_connections", "connections",
                  "The most connections in the accept queue within the interval.",
                  [](const Listener &l) { return known(l, has_queue, whole(l.peak)); }},
    ListenerGauge{
        "backlog_accept_queue_recent_peak_connections", "connections",
        "The most connections in the accept queue within the last five minutes.",
        [](const Listener &l) { return known(l, layout::has_recent, whole(l.recent_peak)); }},
    ListenerGauge{"backlog_accept_queue_limit_connections", "connections",
                  "The limit in force; the queue holds one more.",
                  [](const Listener &l) { return known(l, has_queue, whole(l.limit)); }},
    ListenerGauge{"backlog_accept_queue_mean_connections", "connections",
                  "Mean length of the accept queue over the interval, weighted by time.",
                  [](const Listener &l) { return known(l, has_queue, l.mean); }},
    ListenerGauge{"backlog_accept_queue_used_ratio", "ratio",
                  "The most that was used of the accept queue within the interval, 1 is all.",
                  [](const Listener &l) { return known(l, has_queue, l.used_percent / 100); }},
    ListenerGauge{"backlog_accept_queue_full_ratio", "ratio",
                  "Share of the interval in which the accept queue was full.",
                  [](const Listener &l) { return known(l, has_queue, l.full_percent / 100); }},
    ListenerGauge{"backlog_accept_queue_enough_connections", "connections",
                  "The limit that would have held the worst burst or pause of the last day.",
                  [](const Listener &l) { return known(l, layout::has_enough, whole(l.enough)); }},
    ListenerGauge{
        "backlog_syn_queue_connections", "connections", "Half-open connections.",
        [](const Listener &l) { return known(l, layout::has_syn_length, whole(l.syn_length)); }},
    ListenerGauge{"backlog_listener_sockets", "sockets",
                  "Sockets of this name, more than one with SO_REUSEPORT.",
                  [](const Listener &l) { return known(l, has_queue, l.members); }},
    ListenerGauge{
        "backlog_oldest_wait_seconds", "seconds",
        "How long the oldest connection in the accept queue has been waiting.",
        [](const Listener &l) { return known(l, layout::has_oldest_wait, l.oldest_wait_seconds); }},
    ListenerGauge{
        "backlog_accept_wait_mean_seconds", "seconds",
        "How long those accepted in the interval had waited, in the mean.",
        [](const Listener &l) { return known(l, layout::has_wait_mean, l.wait_mean_seconds); }},
    ListenerGauge{
        "backlog_accept_wait_p50_seconds", "seconds",
        "Half of those accepted in the interval had waited for at most this long.",
        [](const Listener &l) { return known(l, layout::has_wait_quantiles, l.wait_p50_seconds); }},
    ListenerGauge{
        "backlog_accept_wait_p99_seconds", "seconds",
        "Of a hundred accepted in the interval 99 had waited for at most this long.",
        [](const Listener &l) { return known(l, layout::has_wait_quantiles, l.wait_p99_seconds); }},
};

/// Leaves out the process id in the table, since each start would be a new series.
std::string_view owner_of(const Listener &listener) {
  const std::string_view owner = text_of(listener.owner);
  const std::size_t bracket = owner.rfind('[');
  const bool has_id = bracket != std::string_view::npos && bracket > 0 && owner.ends_with(']') &&
                      owner.find_first_not_of("0123456789", bracket + 1) == owner.size() - 1;
  return has_id ? owner.substr(0, bracket) : owner;
}

/// "" for a Unix listener.
std::string address_text(const Listener &listener) {
  if (listener.address_type == layout::AddressType::none)
    return "";
  const int family = listener.address_type == layout::AddressType::ipv4 ? AF_INET : AF_INET6;
  std::array<char, INET6_ADDRSTRLEN> text{};
  const char *shown = ::inet_ntop(family, listener.address.data(), text.data(), text.size());
  return shown != nullptr ? shown : "";
}

class Text {
public:
  Text(const TableContents &contents, bool current, bool with_unstable) : contents_(contents) {
    if (!current)
      return;
    for (const Listener &listener : contents.listeners)
      if (with_unstable || (listener.has & layout::is_stable) != 0)
        listeners_.push_back(&listener);
    for (const Namespace &record : contents.namespaces)
      namespaces_.push_back(&record);
  }

  std::string str(bool current) {
    add_host(current);
    add_listeners();
    add_namespaces();
    return text_ + "# EOF\n";
  }

private:
  void add(const Metric &metric) { text_ += metric.str(); }

  template <class Number>
  void gauge(std::string_view name, std::string_view unit, std::string_view help, Number value) {
    Metric metric(name, "gauge", unit, help);
    metric.add({}, value);
    add(metric);
  }

  void add_host(bool current) {
    const layout::Header &header = contents_.header;
    gauge("backlog_up", "", "1 while the table is current; 0 while it is stale, or there is none.",
          std::uint64_t{current});
    const std::int64_t taken_at_ms = header.taken_at_ns / 1'000'000;
    gauge("backlog_table_timestamp_seconds", "seconds",
          "When the last table was taken, since the epoch.",
          static_cast<double>(taken_at_ms) / 1e3);
    gauge("backlog_table_interval_seconds", "seconds", "The time between two tables.",
          static_cast<double>(header.interval_ns) / 1e9);
    if (!current)
      return;
    gauge("backlog_table_complete", "",
          "1 if all listeners could be read, 0 if some are not in the table.",
          std::uint64_t{is_complete(contents_)});
    gauge("backlog_listeners", "", "Listeners, also those without a series.",
          std::uint64_t{contents_.listeners.size()});
    if ((header.has & layout::has_host) != 0)
      gauge("backlog_unreported_listeners", "listeners",
            "Listeners without a series in collectd because of MaxListeners.",
            std::uint64_t{header.unreported});
    if ((header.has & layout::has_period) != 0)
      gauge("backlog_sample_period_seconds", "seconds", "The time between two samples.",
            header.period_seconds);
    if ((header.has & layout::has_cpu) != 0)
      gauge("backlog_sampler_cpu_ratio", "ratio", "Share of one CPU that sampling takes.",
            header.cpu_percent / 100);
    if ((header.has & layout::has_host_dropped) != 0) {
      Metric metric("backlog_host_drops_total", "counter", "",
                    "Segments dropped for all listeners and for none of them, since collectd "
                    "began.");
      metric.add({}, header.dropped);
      add(metric);
    }
  }

  void add_listeners() {
    add_info();
    add_states("backlog_listener_state", "The state of the interval; 1 is the one that it is in.",
               &Listener::state);
    add_states("backlog_alarm_state", "The state of the alarm that stands; ok is none.",
               &Listener::alarm_state);
    for (const ListenerGauge &gauge : listener_gauges) {
      Metric metric(gauge.name, "gauge", gauge.unit, gauge.help);
      for (const Listener *listener : listeners_)
        if (const Value value = gauge.value(*listener))
          metric.add({{"listener", text_of(listener->name)}}, *value);
      add(metric);
    }
    add_rate("backlog_arrivals_per_second", "Connections that came into the accept queue.",
             layout::has_arrivals, &Listener::arrivals);
    add_rate("backlog_accepts_per_second", "Connections that the application accepted.",
             layout::has_accepts, &Listener::accepts);
    add_waits();
    add_drops();
    add_overflow_kinds();
    add_waits_for();
  }

  void add_info() {
    Metric metric("backlog_listener_info", "gauge", "",
                  "Where it listens, and the unit, container or program that holds it.");
    for (const Listener *listener : listeners_) {
      const std::string address = address_text(*listener);
      const std::string port = listener->port == 0 ? "" : std::to_string(listener->port);
      metric.add({{"listener", text_of(listener->name)},
                  {"address", address},
                  {"port", port},
                  {"path", text_of(listener->path)},
                  {"unit", owner_of(*listener)},
                  {"netns", text_of(contents_.namespaces[listener->net_namespace].name)}},
                 std::uint64_t{1});
    }
    add(metric);
  }

  void add_states(std::string_view name, std::string_view help, layout::State Listener::*state) {
    Metric metric(name, "gauge", "", help);
    for (const Listener *listener : listeners_)
      for (std::size_t i = 0; i < layout::state_names.size(); ++i)
        metric.add({{"listener", text_of(listener->name)}, {"state", layout::state_names.at(i)}},
                   std::uint64_t{static_cast<std::size_t>(listener->*state) == i});
    add(metric);
  }

  void add_rate(std::string_view name, std::string_view help, std::uint32_t bit,
                std::uint64_t Listener::*count) {
    const double seconds = static_cast<double>(contents_.header.measured_ns) / 1e9;
    Metric metric(name, "gauge", "", help);
    for (const Listener *listener : listeners_)
      if ((listener->has & bit) != 0 && seconds > 0)
        metric.add({{"listener", text_of(listener->name)}}, whole(listener->*count) / seconds);
    add(metric);
  }

  void add_waits() {
    const std::string name = "backlog_accept_wait_seconds";
    Metric metric(name, "histogram", "seconds",
                  "How long those accepted since collectd began had waited at most.");
    for (const Listener *listener : listeners_) {
      if ((listener->has & layout::has_wait_counts) == 0)
        continue;
      const std::string_view shown_name = text_of(listener->name);
      for (std::size_t i = 0; i < listener->wait_counts.size(); ++i)
        metric.add_part("_bucket",
                        {{"listener", shown_name},
                         {"le", i < layout::wait_bounds.size() ? shown(layout::wait_bounds.at(i))
                                                               : std::string("+Inf")}},
                        listener->wait_counts.at(i));
      metric.add_part("_sum", {{"listener", shown_name}}, listener->wait_seconds);
      metric.add_part("_count", {{"listener", shown_name}}, listener->wait_counts.back());
    }
    add(metric);
  }

  void add_drops() {
    Metric metric("backlog_drops_total", "counter", "",
                  "Segments dropped since collectd began: overflow is for a full accept queue.");
    for (const Listener *listener : listeners_) {
      if ((listener->has & layout::has_dropped) == 0)
        continue;
      const std::string_view name = text_of(listener->name);
      metric.add({{"listener", name}, {"reason", "overflow"}}, listener->overflows);
      metric.add({{"listener", name}, {"reason", "other"}},
                 listener->dropped - std::min(listener->overflows, listener->dropped));
    }
    add(metric);
  }

  void add_overflow_kinds() {
    Metric metric("backlog_overflows_total", "counter", "",
                  "The overflows of which it is known whether they were SYNs or final ACKs.");
    for (const Listener *listener : listeners_) {
      if ((listener->has & layout::has_overflow_kinds) == 0)
        continue;
      const std::string_view name = text_of(listener->name);
      metric.add({{"listener", name}, {"segment", "syn"}}, listener->syn_overflows);
      metric.add({{"listener", name}, {"segment", "ack"}}, listener->ack_overflows);
    }
    add(metric);
  }

  void add_waits_for() {
    Metric metric("backlog_listener_waits_for", "gauge", "",
                  "The owner of the listener waits in the accept queue of the other one.");
    for (const Listener *listener : listeners_)
      if (listener->waits_for > 0)
        metric.add(
            {{"listener", text_of(listener->name)}, {"other", waited_for(contents_, *listener)}},
            std::uint64_t{1});
    add(metric);
  }

  void add_namespaces() {
    Metric somaxconn("backlog_somaxconn_connections", "gauge", "connections",
                     "The sysctl net.core.somaxconn, which bounds what listen() asks for.");
    Metric unattributed("backlog_unattributed_drops_total", "counter", "",
                        "Segments dropped that were given to no listener.");
    Metric events("backlog_kernel_events_total", "counter", "",
                  "The kernel's own counters around listening, since the namespace was made.");
    for (const Namespace *record : namespaces_) {
      const std::string_view name = text_of(record->name);
      if ((record->has & layout::has_somaxconn) != 0)
        somaxconn.add({{"netns", name}}, static_cast<double>(record->somaxconn));
      if ((record->has & layout::has_unattributed) != 0)
        unattributed.add({{"netns", name}}, record->unattributed);
      for (std::size_t i = 0; i < layout::counter_names.size(); ++i)
        if ((record->has_counter & (1U << i)) != 0)
          events.add({{"netns", name}, {"counter", layout::counter_names.at(i)}},
                     record->counters.at(i));
    }
    add(somaxconn);
    add(unattributed);
    add(events);
  }

  const TableContents &contents_;
  std::vector<const Listener *> listeners_;
  std::vector<const Namespace *> namespaces_;
  std::string text_;
};

} // namespace

std::string openmetrics_text(const TableContents &contents, std::int64_t now_ns,
                             bool with_unstable) {
  const bool current = !is_stale(contents.header, now_ns);
  return Text(contents, current, with_unstable).str(current);
}

std::string openmetrics_without_table() {
  return "# HELP backlog_up 1 while the table is current; 0 while it is stale, or there is none.\n"
         "# TYPE backlog_up gauge\n"
         "backlog_up 0\n"
         "# EOF\n";
}

} // namespace backlog
