#pragma once

#include "test_program.h"

#include <array>
#include <initializer_list>
#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/// While it lives, the process can open nothing.
class NoDescriptors {
public:
  NoDescriptors() {
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before_), 0);
    const rlimit none{.rlim_cur = 0, .rlim_max = before_.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
  }
  NoDescriptors(const NoDescriptors &) = delete;
  NoDescriptors &operator=(const NoDescriptors &) = delete;
  ~NoDescriptors() { ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before_), 0); }

private:
  rlimit before_{};
};

/// While it lives, the calling thread has none of these capabilities in force: CAP_SYS_ADMIN, ...
class WithoutCapabilities {
public:
  WithoutCapabilities(std::initializer_list<unsigned> numbers) {
    ck_assert_int_eq(syscall(SYS_capget, &header_, before_.data()), 0);
    auto fewer = before_;
    for (const unsigned number : numbers)
      fewer.at(number / bits).effective &= ~(1U << (number % bits));
    ck_assert_int_eq(syscall(SYS_capset, &header_, fewer.data()), 0);
  }
  WithoutCapabilities(const WithoutCapabilities &) = delete;
  WithoutCapabilities &operator=(const WithoutCapabilities &) = delete;
  ~WithoutCapabilities() { ck_assert_int_eq(syscall(SYS_capset, &header_, before_.data()), 0); }

private:
  static constexpr unsigned bits = 32; // of a set

  __user_cap_header_struct header_{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> before_{};
};
