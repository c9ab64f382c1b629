#pragma once

#include <array>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace backlog {

/// Whether the calling thread has the capability, e.g. CAP_SYS_PTRACE.
inline bool has_capability(unsigned number) {
  constexpr unsigned bits = 32;
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> sets{};
  return syscall(SYS_capget, &header, sets.data()) == 0 &&
         ((sets.at(number / bits).effective >> (number % bits)) & 1U) != 0;
}

} // namespace backlog
