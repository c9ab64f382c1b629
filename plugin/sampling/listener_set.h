#pragma once

#include "departed_drops.h"
#include "drop_ledger.h"
#include "event_book.h"
#include "function_ref.h"
#include "listener_flow.h"
#include "listener_identity.h"
#include "listener_names.h"
#include "listener_room.h"
#include "local_ports.h"
#include "pace.h"
#include "queue_runs.h"
#include "refused_clients.h"
#include "refused_kinds.h"
#include "window.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace backlog {

/// One listening socket in one sample.
struct MemberState {
  std::uint64_t cookie = 0;
  std::uint32_t length = 0; ///< connections
  std::uint32_t limit = 0;  ///< connections
  std::optional<std::uint32_t> drops;
  bool counted = true; ///< false for a further socket of the path that has no queue of its own
};

/// One listener's interval.
struct ListenerInterval {
  ListenerIdentity identity;
  std::uint32_t index = 0;        ///< see DropsMoved
  bool unstable = false;          ///< part of the set's aggregate
  std::uint32_t members = 0;      ///< at the end; 0 if the listener closed during the interval
  std::uint32_t counted = 0;      ///< members that the figures describe
  std::uint64_t limit = 0;        ///< sum over the members, connections
  std::uint32_t lowest_limit = 0; ///< smallest limit of a member
  /// The same over the interval, in which listen() may have been called again.
  std::uint32_t lowest_limit_seen = 0;
  /// For how many intervals a member has had that limit; 0: since this one; empty: since before the
  /// first sample.
  std::optional<std::uint32_t> lowest_limit_for;
  std::uint64_t cookie = 0;         ///< lowest cookie of the members
  double worst_member_percent = 0;  ///< the highest use in the interval, of the most used member
  double median_member_percent = 0; ///< the same of the median member (the lower of two)
  WindowFigures queue;
  QueueRuns runs;
  std::vector<WaitingMember> waiting; ///< counted ones
  std::optional<ListenerFlow> flow;   ///< empty: no events, or not of the whole interval
  /// Connections: the queue was nowhere longer, seen or not; empty: not known, or the peak is it.
  std::optional<std::uint64_t> peak_bound;
  /// How long a member's queue would have been with room for those whom it refused, the longest of
  /// all members; empty: nobody was refused, or it is not known.
  std::optional<std::uint64_t> unlimited_peak;
  /// The longest run of a member at 90 % or more, and whether one is at the end; runs cross the
  /// ends of intervals.
  QueueRuns::Duration longest_hot_member{0};
};

/// All listeners of one family in one net namespace, with the windows of the current interval.
/// Listening sockets with one name are members of one listener. A member is identified by its
/// cookie, and counts as closed when two dumps in a row have missed it, because a single dump can
/// miss a living socket while others come and go. Allocates only when members come or go.
class ListenerSet {
public:
  using TimePoint = std::chrono::steady_clock::time_point;
  using Duration = std::chrono::nanoseconds;
  using Identify = FunctionRef<std::optional<ListenerIdentity>()>;
  /// Whether a listener is unstable, so that it is counted in the aggregate, when it has been there
  /// without a break for that time. Duration::max() means that it was settled before.
  using IsUnstable = std::function<bool(const ListenerIdentity &, Duration listening_for)>;

  /// room: limits the members; nullptr for no limit.
  explicit ListenerSet(IsUnstable is_unstable, std::shared_ptr<ListenerRoom> room = nullptr);
  ListenerSet(const ListenerSet &) = delete;
  ListenerSet &operator=(const ListenerSet &) = delete;
  ~ListenerSet();

  /// Segments freed for a socket; empty if unknown. With it the drops are exact, whatever the
  /// queue's length, since ListenDrops does not count what was freed.
  using FreesOf = std::function<std::optional<FreedSegments>(std::uint64_t cookie)>;
  void ask_frees(FreesOf frees_of) { frees_of_ = std::move(frees_of); }
  /// Connections accepted from a socket's queue up to its last addition, less a constant; empty if
  /// unknown.
  using TakenOf = std::function<std::optional<std::uint32_t>(std::uint64_t cookie)>;
  void ask_taken(TakenOf taken_of) { taken_of_ = std::move(taken_of); }
  /// Whether note_opened() helps: a queue is full, and TakenOf cannot tell whether it is accepted
  /// from.
  bool wants_opened() const { return !taken_of_ && full_runs_ > 0; }
  /// opened: PassiveOpens of the net namespace, read just after the last sample.
  void note_opened(std::uint64_t opened);
  /// Returns the sum of all drops moved since the last call.
  std::uint64_t take_moved() { return std::exchange(moved_, 0); }
  /// Whether a member closed since the last call.
  bool take_has_lost() { return std::exchange(has_lost_, false); }

  void begin_sample();
  using IsNamed = FunctionRef<bool()>;
  /// identify is called for new members only; nullopt defers the member. is_named, called for new
  /// members when room is short, says whether a Listener or Watch names it.
  void see(const MemberState &state, Identify identify, IsNamed is_named);
  void see(const MemberState &state, Identify identify) {
    see(state, identify, [] { return false; });
  }
  /// Stops counting a member of the current sample.
  void discount(std::uint64_t cookie);
  /// Removes a member between samples, because it belongs to another listener now; the next sample
  /// adds it anew. Call forget_gone() afterwards.
  void move_out(std::uint64_t cookie);
  /// max_weight: the longest time that this sample may stand for.
  void end_sample(TimePoint now, Duration max_weight);
  /// Covers the time from the last sample to now, in which events showed that nothing happened: the
  /// queues are assumed unchanged.
  void pass_rest(TimePoint now);
  /// Whether two or more connections have waited for that time and none was seen to be accepted.
  bool is_stuck(Duration time) const;
  /// Ends a sample whose dump broke off: members not seen are not missing, and the drops seen are
  /// reported with the next sample.
  void abandon_sample();

  /// Drops moved in the last sample.
  std::span<const DropsMoved> drops_moved() const { return drops_moved_; }
  /// Whether a member came in the last sample, or was missing from it.
  bool members_changed() const { return members_changed_; }
  /// The members that closed with the last sample and may have unreported drops; several of one
  /// listener can be reported as one.
  std::span<const GoneSocket> gone_sockets() const { return gone_sockets_; }
  /// What counters of the net namespace have risen by since the last call; empty: not known.
  struct Risen {
    std::optional<std::uint64_t> overflows{};  ///< ListenOverflows
    std::optional<std::uint64_t> syns_again{}; ///< TCPSynRetrans
    std::optional<std::uint64_t> deferred{};   ///< TCPDeferAcceptDrop
    std::optional<std::uint64_t> cookies{};    ///< SyncookiesRecv
  };
  /// After each sample. Where ListenOverflows is not known, all that sk_drops has moved by at a
  /// full queue counts.
  void note_refused(Risen risen);
  /// Whether a member was missing from the last sample but not yet from two.
  bool has_missed() const { return missed_members_ > 0; }
  /// Whether a member's queue is at or above an eighth of its limit and at least 4.
  bool filling() const { return filling_members_ > 0; }
  /// Sockets in the last sample for which there was no room.
  std::size_t without_room() const { return without_room_; }
  /// How busy the queues were in the last sample.
  QueueActivity activity() const;
  /// Cookies of the members that closed with the last sample.
  std::span<const std::uint64_t> gone_members() const { return gone_members_; }

  /// crowded: there is no room for the listener, even if it has something to report.
  using MayForget = FunctionRef<bool(std::uint32_t listener, bool unstable, bool crowded)>;
  /// Forgets the listeners that closed with the last sample, have nothing to report in this
  /// interval, and for which may_forget returns true. Their indexes may be reused. So any number of
  /// listeners can come and go in an interval.
  void forget_gone(MayForget may_forget);
  /// Whether take_events() will have something for a closed socket; nullptr for never.
  using HasEvents = std::function<bool(std::uint64_t cookie)>;
  void ask_events(HasEvents has_events) { has_events_ = std::move(has_events); }
  /// Adds the events of the interval that the next harvest() ends, after the last sample, and marks
  /// the sockets that the set knows. Peaks of events are never above the truth, so the higher of
  /// both peaks counts.
  void take_events(EventReading &events);
  /// Size of the index space, in use or free.
  std::size_t capacity() const { return listeners_.size(); }

  /// Whether a member of the listener was full in the interval so far.
  bool was_full(std::uint32_t index) const;

  struct Interval {
    std::vector<ListenerInterval> listeners;
    std::vector<NameCollision> collisions; ///< found in this interval
    ListenerInterval aggregate;            ///< members is 0 if there is none
    std::size_t without_room = 0;          ///< sockets in the last sample
  };
  /// Ends the interval. Indexes of closed listeners may be reused afterwards.
  Interval harvest();
  /// Calls is_unstable again for every listener; between harvest() and the next sample.
  void aggregate_again();
  /// Calls it again for those that have reached settling_time since the last call; likewise.
  void settle();

private:
  /// Whom a member has refused.
  struct Refusals {
    RefusedClients clients;
    /// Segments freed that drops have not moved by yet, as far as `clients` knows.
    std::uint64_t final_acks = 0;
    std::uint64_t repeated = 0;
    RefusedKinds kinds;     ///< without events
    bool was_empty = false; ///< when it was noted last
    /// Set when clients were refused while nobody looked: begin of that time, and how long they may
    /// come again, at least while the queue is full.
    std::optional<TimePoint> unknown_since{};
    TimePoint unknown_until{};
  };
  static constexpr std::uint32_t no_limit = std::numeric_limits<std::uint32_t>::max();

  struct Member {
    std::uint64_t cookie = 0;
    std::uint32_t listener = 0;
    std::uint32_t length = 0;
    std::uint32_t length_before = 0; ///< in the sample before
    std::uint32_t limit = 0;
    /// Interval in which it got its limit; 0: before the first sample.
    std::uint32_t limit_since = 0;
    std::uint32_t drops = 0;
    float peak_percent = 0;       ///< highest use in the interval
    std::uint32_t run_length = 0; ///< see WaitingMember::not_shrinking_from
    /// At the end of the previous interval, if it was in the same run.
    std::uint32_t last_length = 0;
    TimePoint hot_since;                ///< valid while it is hot
    QueueRuns::Duration longest_hot{0}; ///< in this interval
    TimePoint run_begin;                ///< sample in which run_length was taken
    std::uint32_t sample = 0;           ///< last sample that showed it
    std::uint32_t successor = 0;        ///< member that followed it in the last dump
    bool has_drops = false;
    bool missed = false; ///< missing from the last dump
    bool counted = true;
    bool fell = false;    ///< in the current sample it was accepted from, or it was empty before
    bool filled = false;  ///< it had room since `refusals` noted kinds
    bool changed = false; ///< it is in changed_members_
    bool hot = false;     ///< at 90 % or more
    bool used = false;    ///< the slot is in use
    std::uint32_t begin_length = 0;     ///< at the last harvest
    FreedSegments freed;                ///< at the last sample in which drops moved
    std::uint64_t freed_more = 0;       ///< frees beyond what drops have moved by
    std::uint32_t taken = 0;            ///< highest result of TakenOf
    std::uint32_t taken_sample = 0;     ///< last sample that asked TakenOf
    std::uint32_t moved_sample = 0;     ///< last sample in which drops moved
    bool accepted = false;              ///< TakenOf has risen in the current sample
    std::unique_ptr<Refusals> refusals; ///< while anybody is expected to come again
  };
  /// Of a socket that is no member yet, or no longer.
  struct LimitSince {
    std::uint32_t since = 0; ///< see Member::limit_since
    std::uint32_t noted = 0; ///< interval
  };
  /// A member that closed in this interval.
  struct GoneMember {
    std::uint64_t cookie = 0;
    std::uint32_t listener = 0;
    std::uint32_t begin_length = 0;
    std::uint32_t length = 0; ///< when it was last seen
    bool counted = true;
  };
  struct Listener {
    ListenerIdentity identity;
    std::uint32_t members = 0;
    std::uint32_t counted = 0;
    std::uint32_t full_members = 0;
    std::uint64_t length = 0;                       ///< sum over the members
    std::uint64_t limit = 0;                        ///< sum over the members
    Window::Queues widest;                          ///< in this interval
    std::uint32_t lowest_limit = 0;                 ///< of a member at the last harvest
    std::uint32_t lowest_limit_since = 0;           ///< see Member::limit_since
    std::uint32_t lowest_replaced_limit = no_limit; ///< that a member had earlier in the interval
    std::uint64_t lowest_cookie = 0;                ///< at the last harvest
    double worst_member_percent = 0;                ///< at the last harvest; see ListenerInterval
    double median_member_percent = 0;               ///< at the last harvest
    QueueRuns::Duration longest_hot_member{0};      ///< at the last harvest
    std::vector<WaitingMember> waiting;             ///< at the last harvest
    bool unstable = false;
    bool settled = false; ///< has been there for settling_time, now or before
    /// There without a break since then; nullopt for the first sample.
    std::optional<TimePoint> since;
    bool active = false;          ///< it is in active_
    bool is_kept = false;         ///< kept without members
    bool has_gone_events = false; ///< a closed member had events
    Window window;
    RunClock run;
    std::optional<std::uint64_t>
        accepted;                     ///< in the sample under way, as RunClock::advance() takes it
    std::optional<ListenerFlow> flow; ///< of take_events()
    double waited_before = 0; ///< connections x s of those that wait, up to the last harvest
    std::uint64_t unlimited_peak = 0; ///< in this interval, as far as it was taken from members
    /// Longest time without a look in which clients came that were refused, in this interval.
    Duration refused_unseen{0};
    bool has_unknown_refusals = false; ///< in this interval
    Duration window_begin{0};          ///< as elapsed_
  };

  Member *find(std::uint64_t cookie);
  bool has_room(const MemberState &state, IsNamed is_named);
  Member &admit(const MemberState &state, ListenerIdentity identity);
  std::uint32_t listener_for(ListenerIdentity identity);
  Duration listening_for(const Listener &listener) const;
  void change(Member &member, std::uint32_t length, std::uint32_t limit);
  void apply(Listener &listener, const Member &member, std::uint32_t length, std::uint32_t limit);
  void begin_runs(TimePoint before, TimePoint now);
  void count(Member &member, bool counted);
  static Window::Queues queues_of(const Listener &listener) {
    return {.limit = listener.limit, .members = listener.counted};
  }
  void note_limit_since(std::uint64_t cookie, std::uint32_t since);
  void forget(std::uint32_t listener);
  void note_drops(Member &member, const MemberState &state);
  std::uint32_t less_frees(Member &member, std::uint32_t moved);
  void note_taken(Member &member);
  void note_changed(Member &member);
  void remove(Member &member);
  void remove_missing();
  void note_gone(const Member &member);
  void note_lengths(TimePoint before);
  bool note_kinds(Member &member);
  /// The queue at the last sample.
  RefusedClients::Sample look_at(const Member &member, TimePoint before,
                                 RefusedClients::Segments refused = {},
                                 std::optional<std::uint64_t> syns_again = std::nullopt) const;
  void note_unknown(Member &member);
  Refusals &refusals_of(Member &member);
  void take_refusals(Member &member);
  void forget_not_refusing();
  void find_member_figures();
  void take_socket(const SocketEvents &socket, const GoneMember &member, bool is_whole);
  static void find_mean_wait(Listener &listener, const QueueRuns &runs,
                             std::optional<ListenerFlow> &flow);
  ListenerInterval finish(Listener &listener, std::uint32_t index);

  IsUnstable is_unstable_;
  std::shared_ptr<ListenerRoom> room_;
  /// Sockets without room and the last sample that showed each, so that none is identified twice.
  std::unordered_map<std::uint64_t, std::uint32_t> unnamed_;
  std::size_t without_room_ = 0; ///< in the current sample
  std::vector<Member> members_;
  std::vector<std::uint32_t> free_members_;
  std::unordered_map<std::uint64_t, std::uint32_t> by_cookie_;
  std::vector<Listener> listeners_;
  std::vector<std::uint32_t> free_listeners_;
  ListenerNames names_;
  std::unordered_set<std::string> settled_names_; ///< names that were unstable before they settled
  std::vector<std::uint32_t> active_;             ///< listeners whose queue is not empty
  Listener aggregate_;
  std::vector<DropsMoved> drops_moved_;
  std::uint32_t moved_since_ = 0; ///< the first sample that these are of
  std::vector<std::uint32_t>
      refusing_members_; ///< those with refusals, perhaps twice, and some without
  bool members_changed_ = false;
  std::vector<GoneSocket> gone_sockets_;
  std::vector<std::uint64_t> gone_members_;
  std::vector<std::uint32_t> gone_listeners_; ///< in the last sample
  std::size_t kept_listeners_ = 0;            ///< kept listeners that have no members
  DepartedDrops departed_;
  /// Members whose queue changed in the current sample.
  std::vector<std::uint32_t> changed_members_;
  HasEvents has_events_;
  FreesOf frees_of_;
  TakenOf taken_of_;
  std::uint32_t full_runs_ = 0; ///< listeners whose run holds a full sample, in the last one
  std::uint64_t length_ = 0;    ///< of all queues together
  std::uint64_t moved_ = 0;
  bool has_lost_ = false;
  std::vector<GoneMember> gone_with_events_; ///< since the last harvest
  std::uint32_t filling_members_ = 0;
  std::uint32_t missed_members_ = 0;

  std::uint32_t sample_ = 0;      ///< number of the current sample
  bool broken_off_ = false;       ///< the previous sample broke off
  std::uint32_t seen_ = 0;        ///< members seen in the current sample
  std::uint32_t predecessor_ = 0; ///< member seen last in the current sample
  std::optional<TimePoint> last_; ///< end of the last complete sample
  TimePoint before_last_;         ///< end of the complete sample before
  Duration unseen_{0}; ///< before the last sample, without the time that events have covered
  std::uint64_t more_overflows_ = 0; ///< risen since the sockets of the last sample were read
  TimePoint weighed_until_;          ///< end of the time that the weights cover
  Duration elapsed_{0};              ///< sum of the weights of all samples
  std::uint64_t samples_ = 0;        ///< complete samples
  std::unordered_map<std::uint64_t, LimitSince> limits_since_; ///< keyed by cookie
  std::uint32_t interval_ = 1;                                 ///< number of the current one
};

} // namespace backlog
