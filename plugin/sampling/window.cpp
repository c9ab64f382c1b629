#include "window.h"

namespace backlog {

WindowFigures figures_of(const Window &window, std::uint64_t last, Window::Weight elapsed) {
  WindowFigures figures;
  figures.last = last;
  figures.peak = window.peak;
  figures.peak_queues = window.peak_queues;
  figures.used_percent = window.used_percent;
  if (elapsed.count() > 0) {
    figures.mean = window.length_x_weight / static_cast<double>(elapsed.count());
    figures.full_percent = 100.0 * static_cast<double>(window.full_weight.count()) /
                           static_cast<double>(elapsed.count());
  }
  return figures;
}

} // namespace backlog
