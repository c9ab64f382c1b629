#pragma once

namespace backlog {

/// A fault that comes and goes, such as a shortage of memory. It begins with the first failure and
/// ends after several successes in a row. It allocates nothing.
class FaultSpell {
public:
  static constexpr int calm = 3; ///< successes in a row that end the fault

  /// Notes a failure; returns whether the fault begins with it.
  bool fails() noexcept {
    well_ = 0;
    const bool begins = !goes_on_;
    goes_on_ = true;
    return begins;
  }
  /// Notes a success; returns whether the fault ends with it.
  bool goes_well() noexcept {
    if (!goes_on_ || ++well_ < calm)
      return false;
    goes_on_ = false;
    return true;
  }

private:
  bool goes_on_ = false;
  int well_ = 0; ///< successes in a row
};

} // namespace backlog
