#pragma once

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>
#include <optional>
#include <unistd.h>

// Replaces the program's operator new; for programs of one source file.
// NOLINTBEGIN(misc-definitions-in-headers)

/// How many the calling thread has made.
inline thread_local std::size_t allocation_count = 0;
/// How many more it can make; empty: as many as it likes.
inline thread_local std::optional<std::size_t> allocations_left;
/// Whether no thread but the main one can make any.
inline std::atomic<bool> only_main_thread_allocates;

inline bool may_allocate() {
  ++allocation_count;
  if (only_main_thread_allocates && gettid() != getpid())
    return false;
  if (!allocations_left)
    return true;
  if (*allocations_left == 0)
    return false;
  --*allocations_left;
  return true;
}

// Inlined, g++ takes the pair of malloc() and delete for a mistake.
[[gnu::noinline]] void *operator new(std::size_t size, const std::nothrow_t & /*tag*/) noexcept {
  return may_allocate() ? std::malloc(size) : nullptr;
}
[[gnu::noinline]] void *operator new(std::size_t size) {
  if (void *memory = operator new(size, std::nothrow))
    return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void *memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void *memory, std::size_t) noexcept { std::free(memory); }
// NOLINTEND(misc-definitions-in-headers)
