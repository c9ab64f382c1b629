#pragma once

namespace backlog {

/// A fault that comes and goes, such as memory that runs out: it begins once, and ends when things
/// have gone well for some times in a row. Needs no memory itself.
class FaultSpell {
public:
  static constexpr int calm = 3; ///< so many times

  /// Whether it begins with this.
  bool fails() noexcept {
    well_ = 0;
    const bool begins = !goes_on_;
    goes_on_ = true;
    return begins;
  }
  /// Whether it ends with this.
  bool goes_well() noexcept {
    if (!goes_on_ || ++well_ < calm)
      return false;
    goes_on_ = false;
    return true;
  }

private:
  bool goes_on_ = false;
  int well_ = 0; ///< times in a row
};

} // namespace backlog
