#pragma once

#include "drop_ledger.h"
#include "event_book.h"
#include "function_ref.h"
#include "listener_flow.h"
#include "listener_identity.h"
#include "listener_room.h"
#include "local_ports.h"
#include "pace.h"
#include "queue_runs.h"
#include "window.h"

#include <chrono>
#include <cstdint>
#include <functional>
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
  bool counted = true; ///< false: a socket more, no queue
};

/// One listener's interval.
struct ListenerInterval {
  ListenerIdentity identity;
  std::uint32_t index = 0;          ///< as in DropsMoved
  bool unstable = false;            ///< counted in the set's aggregate
  std::uint32_t members = 0;        ///< at the end; 0: the listener went during the interval
  std::uint32_t counted = 0;        ///< of the members: those that the figures are of
  std::uint64_t limit = 0;          ///< sum over members, connections
  std::uint32_t lowest_limit = 0;   ///< of a member
  std::uint64_t cookie = 0;         ///< the lowest of its members'
  double worst_member_percent = 0;  ///< the most used in the interval, of the worst member
  double median_member_percent = 0; ///< likewise, of the median member (the lower one of two)
  WindowFigures queue;
  QueueRuns runs;
  std::vector<WaitingMember> waiting; ///< counted ones
  std::optional<ListenerFlow> flow;   ///< empty: no events, or not of the whole interval
  /// Connections: the queue was nowhere longer, seen or not; empty: not known, or the peak is it.
  std::optional<std::uint64_t> peak_bound;
  /// The longest run of a member at 90 % or more, and whether one is at the end; runs cross the
  /// ends of intervals.
  QueueRuns::Duration longest_hot_member{0};
};

/// All listeners of one kind in one net namespace, with the windows of the interval that is
/// under way. Listening sockets with one name are members of one listener; a member is known by
/// its cookie, and gone when two dumps in a row have missed it (a dump can miss a living socket
/// while others come and go). Allocates only when members come or go.
class ListenerSet {
public:
  using TimePoint = std::chrono::steady_clock::time_point;
  using Duration = std::chrono::nanoseconds;
  using Identify = FunctionRef<std::optional<ListenerIdentity>()>;
  /// Whether a listener that has been there for so long, without a break, counts as a member of the
  /// aggregate, the sum of those that make no series of their own. Duration::max(): it was settled
  /// once.
  using IsUnstable = std::function<bool(const ListenerIdentity &, Duration listening_for)>;

  /// room: of its members; nullptr: as much as they want.
  explicit ListenerSet(IsUnstable is_unstable, std::shared_ptr<ListenerRoom> room = nullptr);
  ListenerSet(const ListenerSet &) = delete;
  ListenerSet &operator=(const ListenerSet &) = delete;
  ~ListenerSet();

  /// What was freed for a socket ever, of what sk_drops counts; empty: not known now. With it the
  /// drops that moved are exact: those that ListenDrops counts, whatever the queue was like.
  using FreesOf = std::function<std::optional<std::uint64_t>(std::uint64_t cookie)>;
  void ask_frees(FreesOf frees_of) { frees_of_ = std::move(frees_of); }
  /// Sum of all drops moved since the last call.
  std::uint64_t take_moved() { return std::exchange(moved_, 0); }
  /// Whether a member went since the last call.
  bool take_has_lost() { return std::exchange(has_lost_, false); }

  void begin_sample();
  using IsNamed = FunctionRef<bool()>;
  /// identify is called for new members only; nullopt: it is not to be one yet. is_named, whether a
  /// Listener or Watch names it, is called for new ones where there is no room for all.
  void see(const MemberState &state, Identify identify, IsNamed is_named);
  void see(const MemberState &state, Identify identify) {
    see(state, identify, [] { return false; });
  }
  /// Of a member of the sample under way: it is not counted after all.
  void discount(std::uint64_t cookie);
  /// Between samples: the next one meets it as new, since it is another listener's now. To be
  /// followed by forget_gone().
  void move_out(std::uint64_t cookie);
  /// max_weight: the most time that this sample may stand for.
  void end_sample(TimePoint now, Duration max_weight);
  /// Nobody looked from the last sample to now, since nothing happened: the queues are taken to
  /// have been as they were.
  void pass_rest(TimePoint now);
  /// Whether two connections or more have waited for so long, and nobody was seen to be accepted.
  bool is_stuck(Duration time) const;
  /// The dump broke off: who was not seen is not missing, and the drops that were seen are told
  /// with those of the next sample.
  void abandon_sample();

  /// Of the last sample.
  std::span<const DropsMoved> drops_moved() const { return drops_moved_; }
  /// Whether a member came in it, or was missing from it.
  bool members_changed() const { return members_changed_; }
  /// Of the members that are gone with the last sample those that could have drops to tell; several
  /// of one listener can be told as one.
  std::span<const GoneSocket> gone_sockets() const { return gone_sockets_; }
  /// Whether a member was missing from the last sample but not yet from two.
  bool has_missed() const { return missed_members_ > 0; }
  /// Whether a member's queue is at or above an eighth of its limit and at least 4.
  bool filling() const { return filling_members_ > 0; }
  /// Sockets in the last sample that there was no room for.
  std::size_t without_room() const { return without_room_; }
  /// What the last sample has seen.
  QueueActivity activity() const;
  /// Those that the last sample has given up, by cookie.
  std::span<const std::uint64_t> gone_members() const { return gone_members_; }

  /// crowded: for want of room, whatever is still to be told of it.
  using MayForget = FunctionRef<bool(std::uint32_t listener, bool unstable, bool crowded)>;
  /// Forgets the listeners that the last sample has given up and of which the interval has nothing
  /// to tell, as far as the answer is yes; their indexes may be given to others from here on. So
  /// many listeners can come and go in an interval as may.
  void forget_gone(MayForget may_forget);
  /// Whether take_events() will have something of a socket that has gone; nullptr: never.
  using HasEvents = std::function<bool(std::uint64_t cookie)>;
  void ask_events(HasEvents has_events) { has_events_ = std::move(has_events); }
  /// What the kernel told of the interval that the next harvest() ends; marks in it the sockets
  /// that the set knows. After the last sample. No peak of events is above the truth, so that the
  /// higher of both counts.
  void take_events(EventReading &events);
  /// Listeners there is room for, taken or free.
  std::size_t capacity() const { return listeners_.size(); }

  /// Whether a member of the listener was full in the interval so far.
  bool was_full(std::uint32_t index) const;

  /// Two addresses that meet in one name. The one that does not keep it has another one.
  struct Collision {
    std::string name;
    std::string keeper; ///< address; it may be gone
    std::string other;  ///< address
    std::string other_name;

    bool operator==(const Collision &) const = default;
  };
  struct Interval {
    std::vector<ListenerInterval> listeners;
    std::vector<Collision> collisions; ///< found in this interval
    ListenerInterval aggregate;        ///< members 0: none
    std::size_t without_room = 0;      ///< sockets in the last sample
  };
  /// Ends the interval. Indexes of listeners that went may be given to others from here on.
  Interval harvest();
  /// Asks `is_unstable` again for every listener; between harvest() and the next sample.
  void aggregate_again();
  /// Asks `is_unstable` again for those that have been there for settling_time since; likewise.
  void settle();

private:
  struct Member {
    std::uint64_t cookie = 0;
    std::uint32_t listener = 0;
    std::uint32_t length = 0;
    std::uint32_t limit = 0;
    std::uint32_t drops = 0;
    float peak_percent = 0;             ///< used, the most in the interval
    std::uint32_t run_length = 0;       ///< as WaitingMember::not_shrinking_from
    std::uint32_t last_length = 0;      ///< at the end of the interval before, if in the same run
    TimePoint hot_since;                ///< if it is hot
    QueueRuns::Duration longest_hot{0}; ///< of this interval
    TimePoint run_begin;                ///< of the sample that run_length is of
    std::uint32_t sample = 0;           ///< the last one in which it was seen
    std::uint32_t successor = 0;        ///< the member that followed it in the last dump
    bool has_drops = false;
    bool missed = false; ///< in the last dump
    bool counted = true;
    bool fell = false;              ///< in the sample under way, or it was empty before
    bool changed = false;           ///< in changed_members_
    bool hot = false;               ///< at 90 % or more
    bool used = false;              ///< the slot is taken
    std::uint32_t begin_length = 0; ///< at the last harvest
    std::uint64_t freed = 0;        ///< as of the last sample in which drops moved
    std::uint64_t freed_more = 0;   ///< than drops have moved by
  };
  /// A member that went in this interval.
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
    std::uint64_t length = 0;                  ///< sum over members
    std::uint64_t limit = 0;                   ///< sum over members
    std::uint32_t lowest_limit = 0;            ///< of a member, as of the last harvest
    std::uint64_t lowest_cookie = 0;           ///< likewise
    double worst_member_percent = 0;           ///< likewise, as in ListenerInterval
    double median_member_percent = 0;          ///< likewise
    QueueRuns::Duration longest_hot_member{0}; ///< likewise
    std::vector<WaitingMember> waiting;        ///< likewise
    bool unstable = false;
    bool settled = false;           ///< there for settling_time, now or before
    std::optional<TimePoint> since; ///< there without a break; nullopt: since the first sample
    std::string address_name;       ///< by its address alone, where another one keeps that
    bool active = false;            ///< in active_
    bool is_kept = false;           ///< though it has no members
    bool has_gone_events = false;   ///< a member that went had some
    Window window;
    RunClock run;
    std::optional<ListenerFlow> flow; ///< of take_events()
    double waited_before = 0; ///< connections x s of those that wait, up to the last harvest
    Duration window_begin{0}; ///< as elapsed_
  };

  Member *find(std::uint64_t cookie);
  bool has_room(const MemberState &state, IsNamed is_named);
  Member &admit(const MemberState &state, ListenerIdentity identity);
  std::uint32_t listener_for(ListenerIdentity identity);
  std::optional<std::uint32_t> known_listener(const ListenerIdentity &identity) const;
  void give_name(std::uint32_t index);
  void note_gone_name(const Listener &listener);
  Duration listening_for(const Listener &listener) const;
  void change(Member &member, std::uint32_t length, std::uint32_t limit);
  void apply(Listener &listener, const Member &member, std::uint32_t length, std::uint32_t limit);
  void begin_runs(TimePoint before, TimePoint now);
  void count(Member &member, bool counted);
  std::uint32_t known_drops(std::uint64_t cookie);
  void forget(std::uint32_t listener);
  void note_drops(Member &member, const MemberState &state);
  std::uint32_t less_frees(Member &member, std::uint32_t moved) const;
  void remove(Member &member);
  void remove_missing();
  void note_gone(const Member &member);
  void find_member_figures();
  void take_socket(const SocketEvents &socket, const GoneMember &member, bool is_whole);
  static void find_mean_wait(Listener &listener, std::optional<ListenerFlow> &flow);
  ListenerInterval finish(Listener &listener, std::uint32_t index);

  IsUnstable is_unstable_;
  std::shared_ptr<ListenerRoom> room_;
  /// Those without room, so that none is asked for its name twice, and the last sample with each.
  std::unordered_map<std::uint64_t, std::uint32_t> unnamed_;
  std::size_t without_room_ = 0; ///< in the sample under way
  std::vector<Member> members_;
  std::vector<std::uint32_t> free_members_;
  std::unordered_map<std::uint64_t, std::uint32_t> by_cookie_;
  std::vector<Listener> listeners_;
  std::vector<std::uint32_t> free_listeners_;
  std::unordered_map<std::string, std::uint32_t> by_name_;
  /// Those whose name another address keeps, by that name and their address.
  std::unordered_map<std::string, std::uint32_t> renamed_;
  /// Names of listeners that are gone, and their addresses: who has the lesser claim does not get
  /// one while its service is restarted. At most most_gone_names, the last ones.
  std::unordered_map<std::string, std::string> gone_names_;
  std::vector<std::string> gone_names_in_order_; ///< a ring
  std::size_t next_gone_name_ = 0;
  std::unordered_set<std::string> settled_names_; ///< of those that were unstable before
  std::vector<std::uint32_t> active_;             ///< listeners whose queue is not empty
  Listener aggregate_;
  std::vector<Collision> collisions_;
  std::vector<DropsMoved> drops_moved_;
  bool members_changed_ = false;
  std::vector<GoneSocket> gone_sockets_;
  std::vector<std::uint64_t> gone_members_;
  std::vector<std::uint32_t> gone_listeners_; ///< in the last sample
  std::size_t kept_listeners_ = 0;            ///< those without members
  /// What sockets had dropped that were given up lately: shutdown() and listen() bring one back.
  struct Departed {
    std::uint64_t cookie;
    std::uint32_t drops;
  };
  void note_departed(Departed socket);
  void note_collision(Collision collision);
  std::vector<Departed> departed_; ///< a ring
  std::size_t next_departed_ = 0;
  std::vector<std::uint32_t> changed_members_; ///< whose queue did, in the sample under way
  HasEvents has_events_;
  FreesOf frees_of_;
  std::uint64_t moved_ = 0;
  bool has_lost_ = false;
  std::vector<GoneMember> gone_with_events_; ///< since the last harvest
  std::uint32_t filling_members_ = 0;
  std::uint32_t missed_members_ = 0;

  std::uint32_t sample_ = 0;      ///< number of the sample under way
  bool broken_off_ = false;       ///< the sample before
  std::uint32_t seen_ = 0;        ///< members seen in it
  std::uint32_t predecessor_ = 0; ///< the member seen last in it
  std::optional<TimePoint> last_; ///< end of the last complete sample
  TimePoint weighed_until_;       ///< what the weights are of
  Duration elapsed_{0};           ///< weights of all samples
  std::uint64_t samples_ = 0;     ///< complete ones
};

} // namespace backlog
