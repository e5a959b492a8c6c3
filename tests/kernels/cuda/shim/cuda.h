// The subset of CUDA C++ that the kernels use, for a CPU: include it before the kernel's source.
//
// Every thread of a block is a fiber (fibers.h). Barriers and full-mask warp collectives are the only places
// where one thread gives way to another; a seed decides to which, so that a missing barrier shows as a wrong
// answer. Shared memory starts as garbage in every block. Only what a GPU would do with defined results is
// here: partial masks, textures, clocks and the like are not.
#pragma once
#include "fibers.h"
#include "intrinsics.h"

#define LEXICELL_EMULATE 1

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __restrict__ __restrict
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __constant__ static const

#define threadIdx (lexicell_shim::thread_index)
#define blockIdx (lexicell_shim::block_index)
#define blockDim (lexicell_shim::block_size)
#define gridDim (lexicell_shim::grid_size)
constexpr int warpSize = 32;

// An object that the threads of a block share. `__shared__` itself is left undefined on purpose: what is
// declared with it would keep its value from block to block, and hide that nobody wrote to it.
#define LEXICELL_SHARED(Type, name)                \
  static lexicell_shim::Shared<Type> name##_store; \
  Type& name = name##_store.object

// The launch's dynamic shared memory, 16-byte aligned and exactly as large as was asked for.
#define LEXICELL_DYNAMIC_SHARED(name) \
  unsigned char* const name = static_cast<unsigned char*>(lexicell_shim::dynamic_shared)

// A kernel that `build.py` can find and start; `function` stands in parentheses. Returns nullptr, or what
// went wrong. `args` are as for cudaLaunchKernel.
#define LEXICELL_ENTRY(name, function, threads)                                                   \
  extern "C" const char* name(unsigned blocks, size_t shared_bytes, unsigned seed, void** args) { \
    return lexicell_shim::launch(function, threads, blocks, shared_bytes, seed, args);            \
  }                                                                                               \
  extern "C" const char* name##_parameters() { return lexicell_shim::parameters(function); }      \
  extern "C" unsigned name##_threads() { return threads; }

// The line that a default argument is evaluated at is the caller's.
#define LEXICELL_HERE \
  lexicell_shim::Site site = { __builtin_FILE(), __builtin_LINE() }

// ---- barriers and collectives: each is one exchange of a word per thread ---------------------------------

namespace lexicell_shim {

template <class T> uint64_t pack(T value) {
  static_assert(sizeof(T) <= 8, "collectives move at most 8 bytes");
  uint64_t word = 0;
  __builtin_memcpy(&word, &value, sizeof value);
  return word;
}

template <class T> T unpack(uint64_t word) {
  T value;
  __builtin_memcpy(&value, &word, sizeof value);
  return value;
}

inline int lane() { return int(thread_index.x % 32); }

template <class T, class Operation> T fold(unsigned mask, T value, Operation operation, Site site) {
  const uint64_t* words = warp_exchange(mask, pack(value), site);
  T result = unpack<T>(words[0]);
  for (int i = 1; i < 32; ++i) result = operation(result, unpack<T>(words[i]));
  return result;
}

}  // namespace lexicell_shim

inline void __syncthreads(LEXICELL_HERE) { lexicell_shim::block_exchange(false, site); }
inline int __syncthreads_count(int p, LEXICELL_HERE) {
  return int(lexicell_shim::block_exchange(p != 0, site));
}
inline int __syncthreads_or(int p, LEXICELL_HERE) {
  return lexicell_shim::block_exchange(p != 0, site) != 0;
}
inline int __syncthreads_and(int p, LEXICELL_HERE) {
  return lexicell_shim::block_exchange(p == 0, site) == 0;
}

inline void __syncwarp(unsigned mask = ~0u, LEXICELL_HERE) {
  lexicell_shim::warp_exchange(mask, 0, site);
}
inline unsigned __ballot_sync(unsigned mask, int p, LEXICELL_HERE) {
  const uint64_t* words = lexicell_shim::warp_exchange(mask, p != 0, site);
  unsigned bits = 0;
  for (int i = 0; i < 32; ++i) bits |= unsigned(words[i]) << i;
  return bits;
}
inline int __any_sync(unsigned mask, int p, LEXICELL_HERE) {
  return __ballot_sync(mask, p, site) != 0;
}
inline int __all_sync(unsigned mask, int p, LEXICELL_HERE) {
  return __ballot_sync(mask, p, site) == ~0u;
}
template <class T> T __shfl_sync(unsigned mask, T value, int source, LEXICELL_HERE) {
  using namespace lexicell_shim;
  return unpack<T>(warp_exchange(mask, pack(value), site)[source & 31]);
}
template <class T> T __shfl_xor_sync(unsigned mask, T value, int bits, LEXICELL_HERE) {
  using namespace lexicell_shim;
  return unpack<T>(warp_exchange(mask, pack(value), site)[(lane() ^ bits) & 31]);
}
template <class T> T __shfl_up_sync(unsigned mask, T value, unsigned by, LEXICELL_HERE) {
  using namespace lexicell_shim;
  const uint64_t* words = warp_exchange(mask, pack(value), site);
  return unpack<T>(words[unsigned(lane()) >= by ? lane() - int(by) : lane()]);
}
template <class T> T __shfl_down_sync(unsigned mask, T value, unsigned by, LEXICELL_HERE) {
  using namespace lexicell_shim;
  const uint64_t* words = warp_exchange(mask, pack(value), site);
  return unpack<T>(words[unsigned(lane()) + by < 32 ? lane() + int(by) : lane()]);
}
inline int __reduce_add_sync(unsigned mask, int v, LEXICELL_HERE) {
  return lexicell_shim::fold(mask, v, [](int a, int b) { return int(unsigned(a) + unsigned(b)); }, site);
}
inline unsigned __reduce_add_sync(unsigned mask, unsigned v, LEXICELL_HERE) {
  return lexicell_shim::fold(mask, v, [](unsigned a, unsigned b) { return a + b; }, site);
}
#define LEXICELL_REDUCTION(name, T, expression)                               \
  inline T name(unsigned mask, T v, LEXICELL_HERE) {            \
    return lexicell_shim::fold(mask, v, [](T a, T b) { return expression; }, site); \
  }
LEXICELL_REDUCTION(__reduce_min_sync, int, a < b ? a : b)
LEXICELL_REDUCTION(__reduce_min_sync, unsigned, a < b ? a : b)
LEXICELL_REDUCTION(__reduce_max_sync, int, a > b ? a : b)
LEXICELL_REDUCTION(__reduce_max_sync, unsigned, a > b ? a : b)
LEXICELL_REDUCTION(__reduce_or_sync, unsigned, a | b)
LEXICELL_REDUCTION(__reduce_and_sync, unsigned, a & b)
LEXICELL_REDUCTION(__reduce_xor_sync, unsigned, a ^ b)
#undef LEXICELL_REDUCTION
#undef LEXICELL_HERE
inline void __threadfence() {}
inline void __threadfence_block() {}
