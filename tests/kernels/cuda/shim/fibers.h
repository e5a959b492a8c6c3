// Threads of a block as fibers: what a kernel sees of the scheduler (fibers.cpp).
#pragma once
#include <stddef.h>
#include <stdint.h>

namespace lexicell_shim {

struct Index {
  unsigned x, y, z;
};
extern Index thread_index, block_index, block_size, grid_size;
extern void* dynamic_shared;

// Where a thread waits.
struct Site {
  const char* file;
  int line;
};

// Offers `word`, waits for all 32 lanes, and shows every lane's word until the next exchange.
const uint64_t* warp_exchange(unsigned mask, uint64_t word, Site site);
// Waits for all threads of the block and counts those that came with `predicate`.
unsigned block_exchange(bool predicate, Site site);

// Memory that is filled with garbage before each block.
void poison(void* memory, size_t bytes);
void register_shared(void* memory, size_t bytes);

template <class T> struct Shared {
  Shared() { register_shared(&object, sizeof object); }
  alignas(16) alignas(T) T object;
};

// Runs `body(kernel)` for every thread of every block; returns nullptr or what went wrong.
const char* run(void (*body)(const void* kernel), const void* kernel, unsigned threads, unsigned blocks,
                size_t shared_bytes, unsigned seed);

template <class... A> struct Kernel {
  void (*function)(A...);
  void** args;

  static void body(const void* kernel) {
    const Kernel& k = *static_cast<const Kernel*>(kernel);
    k.call(k.args, static_cast<Types<A...>*>(nullptr));
  }

 private:
  template <class...> struct Types {};
  // Peels one type after the other, so that no index sequence (and no <utility>) is needed.
  template <class First, class... Rest, class... Values>
  void call(void** args, Types<First, Rest...>*, Values... values) const {
    call(args + 1, static_cast<Types<Rest...>*>(nullptr), values..., *static_cast<First*>(*args));
  }
  template <class... Values> void call(void**, Types<>*, Values... values) const { function(values...); }
};

template <class... A>
const char* launch(void (*function)(A...), unsigned threads, unsigned blocks, size_t shared_bytes,
                   unsigned seed, void** args) {
  const Kernel<A...> kernel{function, args};
  return run(&Kernel<A...>::body, &kernel, threads, blocks, shared_bytes, seed);
}

// One letter and a size for each parameter: p4 is a pointer to 4-byte elements, i4 an int, f4 a float.
template <class T> struct Parameter {
  static constexpr char kind = T(1) / T(2) == T(0) ? 'i' : 'f';
  static constexpr int size = sizeof(T);
};
template <class T> struct Parameter<T*> {
  static constexpr char kind = 'p';
  static constexpr int size = sizeof(T);
};
template <class... A> const char* parameters(void (*)(A...)) {
  static char text[] = {(Parameter<A>::kind)..., 0};
  static char all[4 * sizeof...(A) + 1];
  static const int sizes[] = {Parameter<A>::size...};
  char* out = all;
  for (size_t i = 0; i < sizeof...(A); ++i) {
    *out++ = text[i];
    if (sizes[i] >= 10) *out++ = char('0' + sizes[i] / 10);
    *out++ = char('0' + sizes[i] % 10);
    *out++ = ' ';
  }
  return all;
}

}  // namespace lexicell_shim
