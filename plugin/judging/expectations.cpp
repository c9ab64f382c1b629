#include "expectations.h"

#include <algorithm>
#include <utility>

namespace backlog {

namespace {

bool is_unix_name(std::string_view name) { return name.starts_with("unix_"); }

/// Whether a Watch with an exact address gives this name.
bool has_exact_giver(const Config &config, const std::string &name) {
  return std::any_of(config.watches.begin(), config.watches.end(), [&](const Watch &watch) {
    return watch.name == name && !watch.entry.names().empty();
  });
}

/// A listener that the entry matches, as far as the entry determines it.
ListenerView view_of(const ListenerEntry &entry) {
  if (entry.names().empty())
    return {.name = entry.text()};
  return {.name = entry.names().front(), .address = entry.text()};
}

} // namespace

Expectations::Expectations(std::shared_ptr<const Config> config) : config_(std::move(config)) {
  for (std::size_t i = 0; i < config_->watches.size(); ++i)
    expect(i);
}

void Expectations::expect(std::size_t watch) {
  const ListenerEntry &entry = config_->watches[watch].entry;
  if (entry.is_regex() || (entry.is_given_name() && has_exact_giver(*config_, entry.text())))
    return;
  const ListenerView listener = view_of(entry);
  if (watch_facts(*config_, listener).expected)
    exact_.push_back({watch, {std::string(listener.name), entry.text(), entry.is_unix()}, 0});
}

void Expectations::see(const std::string &name, const WatchFacts &facts, bool has_id, Duration at) {
  if (!facts.watched() || note_exact(name, facts) || !facts.expected || has_id)
    return;
  Met &met = met_.try_emplace(name, Met{at, 0, false, is_unix_name(name)}).first->second;
  met.seen = interval_;
  if (met.expected || at - met.since < met_for)
    return;
  is_full_ = expected_met_ == most_met;
  if (is_full_)
    return;
  met.expected = true;
  ++expected_met_;
}

bool Expectations::note_exact(const std::string &name, const WatchFacts &facts) {
  bool found = false;
  for (Exact &exact : exact_) {
    if (!std::binary_search(facts.watches.begin(), facts.watches.end(), exact.watch))
      continue;
    exact.seen = interval_;
    exact.listener.name = name;
    found = true;
  }
  return found;
}

std::vector<Expectations::Absent> Expectations::end_interval() {
  std::vector<Absent> absent;
  for (const Exact &exact : exact_)
    if (exact.seen != interval_)
      absent.push_back(exact.listener);
  for (auto entry = met_.begin(); entry != met_.end();) {
    const Met &met = entry->second;
    const bool is_gone = met.seen != interval_;
    if (is_gone && met.expected)
      absent.push_back({.name = entry->first, .is_unix = met.is_unix});
    entry = is_gone && !met.expected ? met_.erase(entry) : std::next(entry);
  }
  const auto by_name = [](const Absent &a, const Absent &b) { return a.name < b.name; };
  const auto same = [](const Absent &a, const Absent &b) { return a.name == b.name; };
  std::sort(absent.begin(), absent.end(), by_name);
  absent.erase(std::unique(absent.begin(), absent.end(), same), absent.end());
  ++interval_;
  return absent;
}

bool Expectations::contains(const std::string &name) const {
  const auto met = met_.find(name);
  return (met != met_.end() && met->second.expected) ||
         std::any_of(exact_.begin(), exact_.end(),
                     [&](const Exact &exact) { return exact.listener.name == name; });
}

} // namespace backlog
