#include "host_figures.h"

namespace backlog {

void HostFigures::count_state(ListenerState state) {
  switch (state) {
  case ListenerState::ok:
    return;
  case ListenerState::high:
    ++high;
    return;
  case ListenerState::overflow:
    ++overflow;
    return;
  case ListenerState::stalled:
    ++stalled;
    return;
  case ListenerState::missing:
    ++missing;
    return;
  }
}

} // namespace backlog
