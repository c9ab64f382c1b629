#include "dispatch.h"

#include "collectd_api.h"
#include "series.h"
#include "utf8.h"

#include <algorithm>
#include <string>

namespace backlog {

namespace {

/// collectd counts time in units of 2^-30 s (utils_time.h).
cdtime_t to_cdtime(std::chrono::duration<double> time) {
  return static_cast<cdtime_t>(time.count() * 1073741824.0);
}

template <std::size_t size> void copy_text(std::string_view text, char (&target)[size]) {
  const std::size_t length = std::min(text.size(), size - 1);
  std::copy_n(text.begin(), length, target);
  target[length] = '\0';
}

int severity_of(Severity severity) {
  switch (severity) {
  case Severity::failure:
    return NOTIF_FAILURE;
  case Severity::warning:
    return NOTIF_WARNING;
  case Severity::okay:
    break;
  }
  return NOTIF_OKAY;
}

void add_meta(notification_t &notification, const char *name, std::string_view value) {
  if (!value.empty())
    plugin_notification_meta_add_string(&notification, name, std::string(value).c_str());
}

void add_meta(notification_t &notification, const char *name, double value) {
  plugin_notification_meta_add_double(&notification, name, value);
}

} // namespace

void dispatch_notification(const Notification &alarm, const Row *row) {
  notification_t notification{};
  notification.severity = severity_of(alarm.severity);
  notification.time = cdtime();
  copy_text(alarm.message, notification.message);
  copy_text(hostname_g, notification.host);
  copy_text("backlog", notification.plugin);
  copy_text(alarm.name, notification.plugin_instance);
  copy_text("gauge", notification.type);
  copy_text("state", notification.type_instance);
  add_meta(notification, "listener", alarm.name);
  add_meta(notification, "state", name_of(alarm.state));
  add_meta(notification, "cause", name_of(alarm.cause));
  if (row != nullptr) {
    add_meta(notification, "owner", printable(row->owner));
    if (row->has_queue) {
      add_meta(notification, "queue", static_cast<double>(row->queue.peak));
      add_meta(notification, "limit", static_cast<double>(row->limit));
      add_meta(notification, "used", row->queue.used_percent);
    }
    if (row->interval_drops)
      add_meta(notification, "drops", static_cast<double>(*row->interval_drops));
  }
  plugin_dispatch_notification(&notification);
  if (notification.meta != nullptr)
    plugin_notification_meta_free(notification.meta);
}

void dispatch_values(const Table &table, ValueSet values, std::chrono::duration<double> interval) {
  value_list_t list{};
  list.values_len = 1;
  list.interval = to_cdtime(interval);
  copy_text("backlog", list.plugin);
  for_each_value(table, values, [&](const SeriesValue &series) {
    value_t value{};
    if (const double *gauge = std::get_if<double>(&series.value))
      value.gauge = *gauge;
    else
      value.derive = *std::get_if<std::int64_t>(&series.value);
    list.values = &value;
    list.time = to_cdtime((series.at_begin ? table.begun_at : table.taken_at).time_since_epoch());
    copy_text(series.plugin_instance, list.plugin_instance);
    copy_text(series.type, list.type);
    copy_text(series.type_instance, list.type_instance);
    plugin_dispatch_values(&list);
  });
}

} // namespace backlog
