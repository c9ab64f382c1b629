#include "diagnosis.h"

#include "utf8.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <utility>

namespace backlog {

namespace {

using Seconds = std::chrono::duration<double>;

// A client sends its first SYN again after TCP_TIMEOUT_INIT (include/net/tcp.h).
constexpr std::chrono::seconds first_retransmission{1};

constexpr int high_intervals = 3;
constexpr std::uint8_t high_window = 0b111111; // one bit per interval

// For listeners whose refused connections no counter shows. A queue of one or two is no trouble.
constexpr std::chrono::milliseconds uncounted_full_for{100};
constexpr std::uint32_t uncounted_full_times = 3;
// A queue of three or less that is full is simply in use.
constexpr std::uint64_t full_minimum = 4; // connections

// A message does not mention shorter times, which it would print as 0 s.
constexpr std::chrono::milliseconds shortest_shown{50};

const std::string unknown_source = "not known who set it: a restart may be enough";

// More than so many times the accepts have come: a message that compares them says something.
constexpr double clearly_more = 1.1;

constexpr double stuck_member_percent = 90;
constexpr double idle_member_percent = 10;

constexpr std::int64_t syncookies_always = 2; // each SYN counts as if its queue were full

std::string count_of(std::uint64_t count, std::string_view noun) {
  std::string text = std::to_string(count);
  text += ' ';
  text += noun;
  if (count != 1)
    text += 's';
  return text;
}

std::string percent(double value) { return std::to_string(std::lround(value)) + " %"; }

/// Rounds to a tenth below ten seconds.
std::string seconds(Seconds span) {
  const std::int64_t tenths = std::llround(span.count() * 10);
  if (tenths >= 100)
    return std::to_string(std::llround(span.count())) + " s";
  std::string text = std::to_string(tenths / 10);
  if (tenths % 10 != 0)
    text += "." + std::to_string(tenths % 10);
  return text + " s";
}

/// Connections a second; rounds to a tenth below ten.
std::string rate(std::uint64_t count, std::chrono::nanoseconds span) {
  const double per_second = static_cast<double>(count) / std::max(Seconds(span).count(), 1e-9);
  const std::int64_t tenths = std::llround(per_second * 10);
  if (tenths >= 100 || tenths % 10 == 0)
    return std::to_string(std::llround(per_second)) + "/s";
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + "/s";
}

bool syn_queue_at_limit(const ListenerFacts &facts) {
  return facts.family == Family::tcp && facts.syn_length &&
         *facts.syn_length >= std::max<std::uint64_t>(facts.limit, 1);
}

/// Whether the kernel's counters show that a SYN queue was full, given one at its limit.
Cause syn_cause(const ListenerFacts &facts, const NamespaceFacts &common) {
  if (common.req_q_full_drop_rose && facts.drops > 0 && common.tcp_syncookies.value_or(0) == 0)
    return Cause::syn_queue_full;
  if (common.cookies_rose && common.tcp_syncookies != syncookies_always)
    return Cause::syn_flood;
  return Cause::none;
}

/// A queue that is too small for WarningMinimum is high when it is full.
bool is_high_in(const ListenerFacts &facts, const DiagnosisLimits &limits) {
  const std::uint64_t capacity = layout::group_capacity(facts.limit, facts.members);
  if (capacity < limits.warning_minimum)
    return capacity >= full_minimum && facts.queue.used_percent >= 100;
  return facts.queue.used_percent >= limits.warning_percent &&
         facts.queue.peak >= limits.warning_minimum;
}

class Judgement {
public:
  Judgement(const ListenerFacts &facts, const NamespaceFacts &common, const DiagnosisLimits &limits,
            const ListenerHistory &history)
      : facts_(facts), common_(common), limits_(limits), history_(history) {}

  Diagnosis diagnose();

private:
  Diagnosis diagnose_absent() const;
  ListenerState state() const;
  Cause cause(ListenerState state) const;
  Cause cause_of_full_run() const;
  Cause cause_of_seen_run() const;

  bool overflowed() const;
  bool waits_too_long() const;
  bool has_stopped() const;
  bool was_never_accepted_from() const;
  bool is_uneven() const;
  bool is_skewed() const;
  bool is_open() const;
  std::optional<std::uint64_t> enough(Cause cause) const;

  std::string figures(ListenerState state, Cause cause) const;
  std::string peak() const;
  std::string drops() const;
  std::string ok() const;
  std::string so_far() const;
  std::string unseen() const;
  std::string none_accepted_so_far() const;
  std::string ended(Cause cause) const;
  std::string stalled() const;
  std::string syn_queue() const;
  std::string advice(Cause cause) const;
  std::string held(Cause cause) const;
  bool blames_other(Cause cause) const;
  std::string with_remarks(std::string text, const Diagnosis &diagnosis) const;
  std::string rates(Cause cause) const;
  std::string waits(Cause cause) const;
  std::string longest_wait(const Diagnosis &diagnosis) const;
  /// Whether name and owner have room beside it, as far as people need them.
  bool fits(std::string_view text) const {
    constexpr std::size_t name_bytes = 48;
    constexpr std::size_t owner_bytes = 32;
    constexpr std::size_t frame = 5; // " (): "
    return std::min(facts_.name.size(), name_bytes) +
               std::min(printable(facts_.owner).size(), owner_bytes) + frame + text.size() <=
           message_max_bytes;
  }
  std::string skew() const;
  std::string knob() const;
  std::string in_span() const {
    return common_.measured < shortest_shown ? "" : " in " + seconds(common_.measured);
  }

  const ListenerFacts &facts_;
  const NamespaceFacts &common_;
  const DiagnosisLimits &limits_;
  const ListenerHistory &history_;
  LimitSource limit_source_ = LimitSource::unknown;
  bool is_brief_ = false; ///< the message leaves out what it can
};

Diagnosis Judgement::diagnose() {
  if (!facts_.is_there)
    return diagnose_absent();
  limit_source_ = limit_source(facts_.lowest_limit, {.now = common_.somaxconn,
                                                     .at_listen = facts_.somaxconn_at_listen,
                                                     .first_seen = facts_.somaxconn_first_seen});
  Diagnosis diagnosis;
  diagnosis.state = state();
  diagnosis.cause = cause(diagnosis.state);
  diagnosis.cause_is_open = diagnosis.state != ListenerState::ok &&
                            diagnosis.cause == Cause::none &&
                            (diagnosis.state == ListenerState::stalled || is_open());
  diagnosis.limit_source = limit_source_;
  diagnosis.is_expected = limits_.expected;
  diagnosis.overflowed = overflowed();
  diagnosis.overflows = facts_.overflows;
  diagnosis.enough = enough(diagnosis.cause);
  std::string text = figures(diagnosis.state, diagnosis.cause);
  is_brief_ = !fits(text);
  if (is_brief_)
    text = figures(diagnosis.state, diagnosis.cause);
  diagnosis.message =
      message_about(facts_.name, facts_.owner, with_remarks(std::move(text), diagnosis));
  if (!diagnosis.overflowed && !facts_.runs.full_run_goes_on &&
      std::max(facts_.runs.longest_full_run, facts_.runs.longest_pause) > Seconds(0))
    diagnosis.ended_cause = cause_of_full_run();
  if (diagnosis.ended_cause != Cause::none) {
    is_brief_ = false;
    is_brief_ = !fits(ended(diagnosis.ended_cause));
    diagnosis.ended_message =
        message_about(facts_.name, facts_.owner, ended(diagnosis.ended_cause));
  }
  return diagnosis;
}

Diagnosis Judgement::diagnose_absent() const {
  Diagnosis diagnosis;
  diagnosis.is_there = false;
  diagnosis.is_expected = limits_.expected;
  std::string text = "not listening";
  if (limits_.expected) {
    const std::string absent_for = seconds(history_.absent_for());
    text = facts_.file_is_gone ? "its file is gone and no client can connect, for " + absent_for
                               : "expected, but not listening for " + absent_for;
    if (history_.absent_for() >= limits_.missing_after) {
      diagnosis.state = ListenerState::missing;
      text = "missing, " + text + (facts_.file_is_gone ? ": restart it" : ": start it");
    }
  }
  diagnosis.message = message_about(facts_.name, facts_.owner, text);
  return diagnosis;
}

ListenerState Judgement::state() const {
  if (waits_too_long() || has_stopped())
    return ListenerState::stalled;
  if (overflowed())
    return ListenerState::overflow;
  return history_.is_high() ? ListenerState::high : ListenerState::ok;
}

bool Judgement::overflowed() const {
  if (facts_.drops_known || facts_.overflows > 0)
    return facts_.overflows > 0;
  return facts_.queue.peak >= full_minimum && (facts_.runs.longest_full >= uncounted_full_for ||
                                               facts_.runs.full_times >= uncounted_full_times);
}

// A scan cannot tell the members apart, and a member that accepts may have a long queue. So with
// several members it is a single member that must have stopped.
bool Judgement::waits_too_long() const {
  return facts_.queue.last > 0 && facts_.members == 1 &&
         facts_.oldest_wait >= limits_.stalled_after;
}

bool Judgement::has_stopped() const {
  return facts_.queue.last > 0 && facts_.none_accepted_for >= limits_.stalled_after;
}

/// Whether nobody has been accepted since the first look at a queue that was not empty then. The
/// oldest may have waited for long before that, behind others that were accepted.
bool Judgement::was_never_accepted_from() const {
  constexpr double nearly_all = 0.9;
  return facts_.none_accepted_for && !facts_.accepted &&
         *facts_.none_accepted_for >= nearly_all * Seconds(facts_.runs.not_empty_for);
}

// In a small queue a connection or two that are accepted at once are more than a tenth.
bool Judgement::is_uneven() const {
  constexpr double few_percent = 200; // of a queue of one: two connections
  constexpr double most_few_percent = 50;
  const double few =
      std::min(most_few_percent, few_percent / (static_cast<double>(facts_.lowest_limit) + 1));
  return facts_.members > 1 && facts_.worst_member_percent >= stuck_member_percent &&
         facts_.median_member_percent <= std::max(idle_member_percent, few);
}

bool Judgement::is_skewed() const {
  return is_uneven() && facts_.longest_hot_member >= first_retransmission;
}

/// Whether the queue has been full and is not empty yet. Only its end will show whether it was a
/// burst or a pause; accepts can show earlier that the server does not keep up, unless they are
/// those of other members than the full one.
bool Judgement::is_open() const {
  const QueueRuns &runs = facts_.runs;
  if (!runs.full_run_goes_on)
    return false;
  if (is_uneven())
    return true;
  const bool another_was_longer =
      runs.longest_full_run > runs.full_run_for && runs.longest_full_run >= first_retransmission;
  if (another_was_longer)
    return false;
  return runs.full_run_for < first_retransmission ||
         (2 * runs.full_untouched_for >= runs.full_run_for && !facts_.accepted);
}

// A full accept queue holds requests back in the SYN queue, which then is full too. So the accept
// queue's own cause wins.
Cause Judgement::cause(ListenerState state) const {
  if (state == ListenerState::ok)
    return history_.syn_queue_is_full() ? syn_cause(facts_, common_) : Cause::none;
  if (is_skewed())
    return Cause::skew;
  if (state == ListenerState::stalled) {
    if (facts_.none_accepted_for < has_nearly_stalled * limits_.stalled_after &&
        was_never_accepted_from())
      return Cause::none;
    return facts_.none_accepted_for >= perhaps_stopped * limits_.stalled_after
               ? Cause::not_accepting
               : Cause::slow_accept;
  }
  return is_open() ? Cause::none : cause_of_full_run();
}

/// While nobody looked, the queue may have been full for longer, or empty, or accepted from.
Cause Judgement::cause_of_full_run() const {
  const Cause cause = cause_of_seen_run();
  const bool is_proved =
      cause == Cause::slow_accept && (facts_.accepted || facts_.accepts.value_or(0) > 0);
  return facts_.runs.unseen_for > Seconds(0) && !is_proved ? Cause::none : cause;
}

Cause Judgement::cause_of_seen_run() const {
  const QueueRuns &runs = facts_.runs;
  const bool is_long = runs.longest_full_run >= first_retransmission;
  const bool never_empty =
      runs.not_empty_for >= std::max<QueueRuns::Duration>(common_.measured, first_retransmission);
  if (!is_long && !never_empty)
    return Cause::burst;
  if (runs.longest_pause >= shortest_pause && runs.longest_full_run <= 2 * runs.longest_pause)
    return Cause::pause;
  return Cause::slow_accept;
}

/// The limit of each member. A queue holds one more than its limit, as layout::group_capacity() has
/// it.
std::optional<std::uint64_t> Judgement::enough(Cause cause) const {
  const bool helps = cause == Cause::burst || cause == Cause::pause;
  if (!helps || !facts_.unlimited_peak || *facts_.unlimited_peak <= facts_.lowest_limit + 1ULL)
    return std::nullopt;
  return *facts_.unlimited_peak - 1;
}

std::string Judgement::figures(ListenerState state, Cause cause) const {
  std::string text;
  if (state == ListenerState::stalled)
    text = stalled();
  else if (state == ListenerState::overflow && facts_.overflows == 0)
    text = "accept queue full " +
           (facts_.runs.longest_full >= uncounted_full_for
                ? "for " + seconds(facts_.runs.longest_full)
                : std::to_string(facts_.runs.full_times) + " times") +
           ", " + peak() + in_span();
  else if (state == ListenerState::overflow)
    text = "accept queue overflow, " + peak() + ", " + drops() + in_span();
  else if (cause == Cause::syn_flood || cause == Cause::syn_queue_full)
    text = syn_queue();
  else if (state == ListenerState::high)
    text = "accept queue high, " + peak() + " (" + percent(facts_.queue.used_percent) + ")" +
           in_span();
  else
    text = ok();
  if (state != ListenerState::ok && cause == Cause::none)
    text += "; " + (state == ListenerState::stalled ? none_accepted_so_far()
                    : is_open()                     ? so_far()
                                                    : unseen());
  if (cause != Cause::none)
    text.append("; ").append(name_of(cause)).append(": ").append(advice(cause));
  return text;
}

std::string Judgement::peak() const {
  const Window::Queues &queues = facts_.queue.peak_queues;
  std::string text =
      "peak " + std::to_string(facts_.queue.peak) + " of " + std::to_string(queues.capacity());
  if (queues.members > 1)
    text += " in " + count_of(queues.members, "socket");
  return text;
}

std::string Judgement::drops() const { return count_of(facts_.drops, "drop"); }

/// Mentions a full queue, which must not read as if all were well.
std::string Judgement::ok() const {
  const bool was_full = facts_.queue.peak >= facts_.queue.peak_queues.capacity();
  std::string text = (was_full ? "accept queue was full, " : "accept queue ok, ") + peak();
  if (facts_.drops > 0)
    text += ", " + drops() + " without overflow";
  else if (was_full && facts_.drops_known)
    text += ", no overflow";
  else if (was_full && facts_.runs.longest_full >= shortest_shown)
    text += " for " + seconds(facts_.runs.longest_full);
  return text + in_span();
}

/// Describes a queue whose cause is open; advises on the limit, which holds in any case.
std::string Judgement::so_far() const {
  const QueueRuns::Duration full_for = facts_.runs.full_run_for;
  std::string text =
      full_for < shortest_shown ? "full just now" : "full for " + seconds(full_for) + " so far";
  if (full_for >= first_retransmission && limit_source_ == LimitSource::unknown &&
      common_.somaxconn && facts_.lowest_limit < *common_.somaxconn)
    text += "; limit " + std::to_string(facts_.lowest_limit) + ", " + unknown_source;
  return text;
}

std::string Judgement::unseen() const {
  return "not looked at for " + seconds(facts_.runs.unseen_for) + ", so its cause is not known";
}

std::string Judgement::none_accepted_so_far() const {
  return "none accepted for " + seconds(*facts_.none_accepted_for) + " so far";
}

/// Of a full run whose last drops were in an earlier interval.
std::string Judgement::ended(Cause cause) const {
  std::string text = "accept queue was full";
  if (facts_.runs.longest_full_run >= shortest_shown)
    text += " for " + seconds(facts_.runs.longest_full_run);
  return text.append("; ").append(name_of(cause)).append(": ").append(advice(cause));
}

std::string Judgement::stalled() const {
  std::string text = "accept queue stalled, " + std::to_string(facts_.queue.last) + " waiting";
  if (!(facts_.oldest_wait >= limits_.stalled_after))
    text += ", none accepted for " + seconds(*facts_.none_accepted_for);
  else if (facts_.queue.last == 1)
    text += " for " + seconds(*facts_.oldest_wait);
  else
    text += ", the oldest for " + seconds(*facts_.oldest_wait);
  if (facts_.overflows > 0)
    text += ", " + drops() + in_span();
  return text;
}

std::string Judgement::syn_queue() const {
  const std::uint64_t capacity = layout::group_capacity(facts_.limit, facts_.members);
  std::string text = "SYN queue full, " + std::to_string(facts_.syn_length.value_or(0)) + " of " +
                     std::to_string(capacity);
  if (facts_.drops > 0)
    text += ", " + drops();
  return text + in_span();
}

std::string Judgement::advice(Cause cause) const {
  const bool is_of_syn_queue = cause == Cause::syn_flood || cause == Cause::syn_queue_full;
  if (facts_.held_by_manager && cause != Cause::none && !is_of_syn_queue)
    return "no service accepts, see systemctl list-sockets";
  if (blames_other(cause))
    return "it waits for " + std::string(facts_.waits_for) + ", look there first";
  switch (cause) {
  case Cause::burst:
    return knob() + held(cause);
  case Cause::pause:
    return "none accepted for " + seconds(facts_.runs.longest_pause) +
           ", a longer queue would hold them that long: " + knob() + held(cause);
  case Cause::slow_accept:
    return "the application does not keep up, a longer queue only adds waiting";
  case Cause::skew:
    return skew();
  case Cause::syn_flood:
    return "cookies are sent instead; if these are clients, " + knob();
  case Cause::syn_queue_full:
    return "set net.ipv4.tcp_syncookies to 1";
  case Cause::not_accepting:
    if (facts_.none_accepted_for < has_nearly_stalled * limits_.stalled_after)
      return none_accepted_so_far();
    return facts_.members > 1 ? "a process has stopped calling accept(), restart it"
                              : "the application has stopped calling accept(), restart it";
  case Cause::none:
    break;
  }
  return "";
}

/// Whether to look elsewhere is the remedy. A queue that is only too short is too short all the
/// same.
bool Judgement::blames_other(Cause cause) const {
  return !facts_.waits_for.empty() &&
         (cause == Cause::slow_accept || cause == Cause::not_accepting);
}

std::string Judgement::held(Cause cause) const {
  const std::optional<std::uint64_t> limit = is_brief_ ? std::nullopt : enough(cause);
  return limit ? "; a limit of " + std::to_string(*limit) + " would have held them" : "";
}

/// Appends what else is known of a listener in trouble. Where there is not room for all, the more
/// important remarks stay, and the last one always.
std::string Judgement::with_remarks(std::string text, const Diagnosis &diagnosis) const {
  if (diagnosis.state == ListenerState::ok)
    return text;
  struct Remark {
    std::string text;
    bool stays;
  };
  std::array<Remark, 5> remarks{
      Remark{rates(diagnosis.cause), false}, Remark{waits(diagnosis.cause), false},
      Remark{longest_wait(diagnosis), false}, Remark{std::string(facts_.clients), false},
      Remark{facts_.waits_for.empty() || blames_other(diagnosis.cause)
                 ? ""
                 : "waits for " + std::string(facts_.waits_for),
             true}};
  constexpr std::array<std::size_t, 5> by_importance{4, 3, 0, 1, 2};
  constexpr std::string_view separator = "; ";
  std::size_t bytes = 0;
  for (const std::size_t i : by_importance) {
    Remark &remark = remarks.at(i);
    const std::size_t more = separator.size() + remark.text.size();
    remark.stays =
        !remark.text.empty() && (remark.stays || fits(text + std::string(bytes + more, ' ')));
    bytes += remark.stays ? more : 0;
  }
  for (const Remark &remark : remarks)
    if (remark.stays)
      text.append(separator).append(remark.text);
  return text;
}

std::string Judgement::rates(Cause cause) const {
  if (cause != Cause::slow_accept || blames_other(cause) || !facts_.came || !facts_.accepts ||
      static_cast<double>(*facts_.came) <= clearly_more * static_cast<double>(*facts_.accepts))
    return "";
  return rate(*facts_.came, common_.measured) + " come, " +
         rate(*facts_.accepts, common_.measured) + " are accepted: no limit helps";
}

/// Describes how long those waited who were accepted.
std::string Judgement::waits(Cause cause) const {
  if (cause != Cause::slow_accept && cause != Cause::pause)
    return "";
  if (facts_.wait_p99) {
    if (*facts_.wait_p99 < shortest_shown)
      return "";
    const bool has_median = facts_.wait_p50 && *facts_.wait_p50 >= shortest_shown;
    return "waits: " + (has_median ? "p50 " + seconds(*facts_.wait_p50) + ", " : "") + "p99 " +
           seconds(*facts_.wait_p99);
  }
  return facts_.wait_mean && *facts_.wait_mean >= shortest_shown
             ? "waits: " + seconds(*facts_.wait_mean) + " on average"
             : "";
}

std::string Judgement::longest_wait(const Diagnosis &diagnosis) const {
  const bool is_told =
      diagnosis.state == ListenerState::stalled && facts_.oldest_wait >= limits_.stalled_after;
  const bool tells = diagnosis.cause == Cause::slow_accept || diagnosis.cause == Cause::pause;
  if (!tells || is_told || facts_.queue.last == 0 || !facts_.oldest_wait ||
      *facts_.oldest_wait < shortest_shown)
    return "";
  return "the oldest waits " + seconds(*facts_.oldest_wait);
}

std::string Judgement::skew() const {
  return "the fullest of " + count_of(facts_.members, "member") + " at " +
         percent(facts_.worst_member_percent) + ", the median at " +
         percent(facts_.median_member_percent) + ", restart the stuck one";
}

std::string Judgement::knob() const {
  const std::string limit = std::to_string(facts_.lowest_limit);
  if (!common_.somaxconn)
    return "raise listen() backlog (" + limit + ") or net.core.somaxconn";
  const std::string somaxconn = std::to_string(*common_.somaxconn);
  const bool is_perhaps_applications =
      limit_source_ == LimitSource::application || limit_source_ == LimitSource::unknown;
  if (facts_.lowest_limit > *common_.somaxconn ||
      (facts_.lowest_limit == *common_.somaxconn && is_perhaps_applications))
    return "raise listen() backlog (" + limit + ") and net.core.somaxconn (" + somaxconn +
           "), then restart it";
  if (facts_.lowest_limit == *common_.somaxconn)
    return "raise net.core.somaxconn (" + somaxconn + "), then restart it";
  if (limit_source_ == LimitSource::stale)
    return "restart it to listen() again (limit still " + limit + ", somaxconn now " + somaxconn +
           ")";
  std::string advice = "raise listen() backlog (" + limit + ", somaxconn " + somaxconn + ")";
  if (limit_source_ == LimitSource::unknown)
    return advice + ", " + unknown_source;
  return advice;
}

/// Keeps the beginning and the end of a printable text that is too long.
std::string shortened(std::string_view text, std::size_t max_bytes) {
  constexpr std::string_view gap = "...";
  constexpr std::size_t longest_character = 4; // bytes, also of an escape
  if (text.size() <= max_bytes)
    return std::string(text);
  if (max_bytes <= gap.size())
    return std::string(gap.substr(0, max_bytes));
  const std::size_t kept = max_bytes - gap.size();
  const std::size_t tail = kept / 2;
  std::string result(text.substr(0, last_whole_character(text, kept - tail)));
  result += gap;
  const std::size_t before_tail = text.size() - tail;
  std::size_t begin = last_whole_character(text, before_tail);
  if (begin < before_tail)
    begin = last_whole_character(text, begin + longest_character);
  result += text.substr(begin);
  return result;
}

} // namespace

void ListenerHistory::add(const ListenerFacts &facts, const NamespaceFacts &common,
                          const DiagnosisLimits &limits) {
  const bool high = facts.is_there && is_high_in(facts, limits);
  high_ = static_cast<std::uint8_t>((high_ << 1 | static_cast<int>(high)) & high_window);
  if (high && common.is_baseline)
    high_ = high_window;
  syn_was_full_ = syn_full_;
  syn_full_ =
      facts.is_there && syn_queue_at_limit(facts) && syn_cause(facts, common) != Cause::none;
  if (facts.is_there || was_there_)
    absent_for_ = std::chrono::nanoseconds(0);
  else
    absent_for_ += common.measured;
  was_there_ = facts.is_there;
}

bool ListenerHistory::is_high() const {
  return (high_ & 1) != 0 && std::popcount(high_) >= high_intervals;
}

Diagnosis diagnose(const ListenerFacts &facts, const NamespaceFacts &common,
                   const DiagnosisLimits &limits, const ListenerHistory &history) {
  return Judgement(facts, common, limits, history).diagnose();
}

LimitSource limit_source(std::uint32_t limit, const Somaxconn &somaxconn) {
  if (somaxconn.now && limit > *somaxconn.now)
    return LimitSource::stale;
  // A limit that was set before the first look counts as somaxconn's if it was equal to it then.
  const std::optional<std::int64_t> then =
      somaxconn.at_listen ? somaxconn.at_listen : somaxconn.first_seen;
  if (somaxconn.now && then && then != somaxconn.now && limit == *then)
    return LimitSource::stale;
  if (limit == 0)
    return LimitSource::zero;
  if (!somaxconn.now)
    return LimitSource::unknown;
  if (limit == *somaxconn.now && !(then && limit < *then))
    return LimitSource::somaxconn;
  return somaxconn.at_listen ? LimitSource::application : LimitSource::unknown;
}

std::string message_about(std::string_view raw_name, std::string_view raw_owner,
                          std::string_view raw_text) {
  constexpr std::string_view before_owner = " (";
  constexpr std::string_view after_owner = ")";
  constexpr std::string_view before_text = ": ";
  // A long name leaves at least this to its owner.
  constexpr std::size_t owner_bytes = 24;
  constexpr std::size_t owner_share = 3; // at most this part of the room

  const std::string name = printable(raw_name);
  const std::string owner = printable(raw_owner);
  const std::string text = printable(raw_text);
  const std::size_t owner_frame = owner.empty() ? 0 : before_owner.size() + after_owner.size();
  const std::size_t fixed = owner_frame + before_text.size() + text.size();
  const std::size_t room = message_max_bytes - std::min(message_max_bytes, fixed);
  const std::size_t owner_room =
      std::min(owner.size(), std::max(room - std::min(room, name.size()),
                                      std::min(room / owner_share, owner_bytes)));

  std::string message = shortened(name, room - owner_room);
  if (!owner.empty())
    message.append(before_owner).append(shortened(owner, owner_room)).append(after_owner);
  message.append(before_text).append(text);
  message.resize(last_whole_character(message, message_max_bytes));
  return message;
}

} // namespace backlog
