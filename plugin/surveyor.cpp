#include "surveyor.h"

#include "net_limits.h"

#include <exception>

namespace backlog {

namespace {

/// What the thread owns.
class SurveyingLoop {
public:
  void run(Mailbox<Survey> &mailbox) {
    while (mailbox.sleep_until(std::nullopt) != Mailbox<Survey>::Wake::stopping)
      mailbox.deliver(survey());
  }

private:
  Survey survey() {
    Survey survey;
    try {
      survey.limits = limits_.read();
      if (!survey.limits.somaxconn)
        survey.faults.push_back({"limits of the kernel", "cannot read net.core.somaxconn"});
    } catch (const std::exception &exception) {
      survey.faults.push_back({"survey", exception.what()});
    }
    return survey;
  }

  NetLimitsReader limits_;
};

} // namespace

std::optional<int> Surveyor::start() {
  return AskedWorker::start("backlog survey",
                            [](Mailbox<Survey> &mailbox) { SurveyingLoop().run(mailbox); });
}

} // namespace backlog
