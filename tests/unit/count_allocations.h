#pragma once

#include <cstddef>
#include <cstdlib>
#include <new>

// Replaces the program's operator new; for programs of one source file.
// NOLINTBEGIN(misc-definitions-in-headers)

inline std::size_t allocation_count = 0;

// Inlined, g++ takes the pair of malloc() and delete for a mistake.
[[gnu::noinline]] void *operator new(std::size_t size) {
  ++allocation_count;
  if (void *memory = std::malloc(size))
    return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void *memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void *memory, std::size_t) noexcept { std::free(memory); }
// NOLINTEND(misc-definitions-in-headers)
