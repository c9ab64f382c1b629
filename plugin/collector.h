#pragma once

#include "alarms.h"
#include "backlog/table_reader.h"
#include "config.h"
#include "fault_log.h"
#include "harvest.h"
#include "high_water.h"
#include "notice_log.h"
#include "reply_watchdog.h"
#include "survey.h"
#include "table_builder.h"
#include "table_encoder.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace backlog {

/// One of the two threads that the collector asks; tests supply their own. It answers each question
/// once.
template <class Answer> class AnsweringThread {
public:
  using TimePoint = std::chrono::steady_clock::time_point;

  AnsweringThread() = default;
  AnsweringThread(const AnsweringThread &) = delete;
  AnsweringThread &operator=(const AnsweringThread &) = delete;
  virtual ~AnsweringThread() = default;

  virtual bool is_running() const = 0;
  /// interval: collectd's. The error is an errno.
  virtual std::optional<int> start(std::chrono::duration<double> interval) = 0;
  /// The exception that ended the thread, if one did.
  virtual std::optional<std::string> failure() const = 0;
  /// The kernel request that the thread waits for, in the words of the manual; "" for none.
  virtual std::string step() const = 0;
  virtual void ask() = 0;
  /// Returns the answer if it comes in time; a later one stays for the next call.
  virtual std::optional<Answer> take_until(TimePoint deadline) = 0;
  virtual std::optional<Answer> try_take() = 0;
  /// Returns false if the thread did not end in time and was left behind.
  virtual bool stop(std::chrono::milliseconds patience) = 0;
};

/// One interval to publish. It can only be moved, because the rows refer to the harvest.
struct Report {
  Report() = default;
  Report(Report &&) = default;
  Report &operator=(Report &&) = default;
  Report(const Report &) = delete;
  Report &operator=(const Report &) = delete;
  ~Report() = default;

  Harvest harvest;
  Table table;
  // Both are empty in the first interval, which begins with the plugin and has seen next to
  // nothing.
  std::optional<TableContents> contents; ///< contents of the table file; empty without TableFile
  std::vector<Notification> notifications;
};

/// Runs one interval for the plugin and for `backlog-table --live`: asks the threads, restarts
/// those that have ended, judges their answers, and collects lines for the log. It knows nothing of
/// collectd. Only one thread may use it.
class Collector {
public:
  using Clock = std::chrono::steady_clock;
  using Seconds = std::chrono::duration<double>;

  /// Runs the sampler and the surveyor.
  explicit Collector(std::shared_ptr<const Config> config);
  /// Runs other threads, for tests.
  Collector(std::shared_ptr<const Config> config, std::unique_ptr<AnsweringThread<Harvest>> sampler,
            std::unique_ptr<AnsweringThread<Survey>> surveyor);

  /// The result of one read().
  struct Reading {
    std::vector<Report> reports; ///< the oldest first: a late one, if any, then the current one
    std::vector<LogLine> log;
    bool has_listeners = false; ///< the current interval has come and its listeners could be read
  };

  /// Starts the threads. The log names those that failed to start; read() tries them again.
  std::vector<LogLine> start(Seconds interval);
  /// Ends the interval and waits at most longest_wait. Answers that are not ready by then are in
  /// the next reading. interval: collectd's.
  Reading read(Seconds interval, std::chrono::milliseconds longest_wait);
  /// Waits for each thread at most `patience`; returns a line for each that is left behind.
  std::vector<LogLine> stop(std::chrono::milliseconds patience);

private:
  template <class Thread> std::optional<int> start_thread(Thread &thread, Seconds interval);
  void start_threads(Seconds interval);
  Reading reading_without_log(Seconds interval, std::chrono::milliseconds longest_wait);
  void note_ended_threads();
  void note_silence(std::chrono::milliseconds longest_wait);
  Report report(Harvest harvest, const std::optional<Survey> &survey, Seconds interval);
  void note_harvest(const Harvest &harvest, const std::optional<Survey> &survey);
  void say_once(const char *kind, const std::string &notice);

  std::shared_ptr<const Config> config_;
  std::unique_ptr<AnsweringThread<Harvest>> sampler_;
  std::unique_ptr<AnsweringThread<Survey>> surveyor_;
  TableBuilder builder_;
  Alarms alarms_;
  std::int64_t began_ns_ = clock_ns();
  RecentWorst recent_worst_;
  FaultLog sampler_faults_;
  FaultLog survey_faults_;
  FaultLog thread_faults_;
  NoticeLog notices_;
  std::vector<LogLine> unsaid_;            ///< outlives a reading that an exception ends
  std::optional<int> sampler_not_started_; ///< the errno; likewise the next
  std::optional<int> surveyor_not_started_;
  ReplyWatchdog harvest_watchdog_;
  ReplyWatchdog survey_watchdog_;
  bool reported_ = false;
  HighWater rows_{1000, 3};
};

} // namespace backlog
