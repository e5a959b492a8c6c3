// Words that the other files share: types, halves, reductions, and what a row and its columns are.
//
// One block works on one row, and every thread of it takes every branch that holds a barrier, so a
// condition in front of a barrier is always the same for all threads.  Nothing here needs a header: NVRTC
// compiles the files of this folder, joined, wherever a driver is.
#pragma once
#ifndef LEXICELL_EMULATE
#define LEXICELL_SHARED(type, name) __shared__ type name
#define LEXICELL_DYNAMIC_SHARED(name) extern __shared__ __align__(16) unsigned char name[]
#endif

namespace lexicell {

typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

constexpr int kWarp = 32;
constexpr int kAhead = 4;  // independent loads in flight per thread and array
constexpr u32 kAll = 0xffffffffu;
constexpr u32 kInfinity = 0x7f800000u;  // as bits; negative numbers and NaN lie above it
constexpr float kTwo23 = 8388608.f;     // from here on a float has no fraction bits

// What a row's number of genes says where the row can't be used.
enum Fault { kInvalid = -1, kOutside = -2, kDisordered = -3, kNowhere = -4 };

// ---- numbers ---------------------------------------------------------------------------------------
struct Half {
  u16 bits;
};

// Two halves of one register as floats.
__device__ __forceinline__ float2 halves(u32 pair) {
  float2 f;
#ifdef LEXICELL_EMULATE
  const u32 h[2] = {pair & 0xffffu, pair >> 16};
  float* out[2] = {&f.x, &f.y};
  for (int i = 0; i < 2; ++i) {
    const u32 sign = (h[i] & 0x8000u) << 16, exponent = h[i] >> 10 & 31u, fraction = h[i] & 0x3ffu;
    const float tiny = float(fraction) * (1.f / 16777216.f);
    const u32 bits = exponent == 0   ? __float_as_uint(tiny)
                     : exponent < 31 ? (exponent + 112u) << 23 | fraction << 13
                                     : kInfinity | fraction << 13;
    *out[i] = __uint_as_float(sign | bits);
  }
#else
  asm("{ .reg .f16 low, high; mov.b32 {low, high}, %2; cvt.f32.f16 %0, low; cvt.f32.f16 %1, high; }"
      : "=f"(f.x), "=f"(f.y)
      : "r"(pair));
#endif
  return f;
}

// Integers below 2**23 as floats and back: an addition each, where conversions run at a quarter of the rate.
__device__ __forceinline__ float small_float(u32 x) {
  return __uint_as_float(__float_as_uint(kTwo23) | x) - kTwo23;
}

__device__ __forceinline__ float as_float(u16 x) { return small_float(x); }
__device__ __forceinline__ float as_float(float x) { return x; }

// CuPy compiles with -ftz=true.  These three keep what is too small to be normal, as the CPU does.
__device__ __forceinline__ float product(float a, float b) {
#ifdef LEXICELL_EMULATE
  return a * b;
#else
  float c;
  asm("mul.rn.f32 %0, %1, %2;" : "=f"(c) : "f"(a), "f"(b));
  return c;
#endif
}

// x * 2**shift, exactly.
__device__ __forceinline__ double scaled(float x, int shift) {
  double wide;
#ifdef LEXICELL_EMULATE
  wide = x;
#else
  asm("cvt.f64.f32 %0, %1;" : "=d"(wide) : "f"(x));
#endif
  return wide * __longlong_as_double(i64(1023 + shift) << 52);
}

// The e for which a positive float with these bits is in [2**(e-1), 2**e).
__device__ __forceinline__ int exponent(u32 bits) {
  return bits >> 23 ? int(bits >> 23) - 126 : -117 - __clz(int(bits));
}

// A count as the scan sees it.
struct Seen {
  u32 value;   // the count, if it is a whole number below 2**23
  u32 bits;    // ordered like the counts; invalid ones lie at or above kInfinity
  bool whole;  // no fraction
};

__device__ __forceinline__ Seen look(u16 x) { return {x, 0u, true}; }
__device__ __forceinline__ Seen look(float x) {
  const float shifted = x + kTwo23;
  const u32 bits = __float_as_uint(x) == 0x80000000u ? 0u : __float_as_uint(x);  // -0 is a zero
  return {__float_as_uint(shifted) & 0x7fffffu, bits, __float_as_uint(shifted - kTwo23) == bits};
}

// ---- reductions, in a fixed order ------------------------------------------------------------------
template <class T>
__device__ __forceinline__ T warp_sum(T x) {
  for (int d = kWarp / 2; d; d >>= 1) x += __shfl_xor_sync(kAll, x, d);
  return x;
}

template <class T>
__device__ __forceinline__ T warp_max(T x) {
  for (int d = kWarp / 2; d; d >>= 1) x = max(x, __shfl_xor_sync(kAll, x, d));
  return x;
}

// Sum over the lanes up to this one.
__device__ __forceinline__ int warp_scan(int x) {
  for (int d = 1; d < kWarp; d <<= 1) {
    const int up = __shfl_up_sync(kAll, x, d);
    if (int(threadIdx.x % kWarp) >= d) x += up;
  }
  return x;
}

// Sum of what each warp has left in shared memory.
template <int NW>
__device__ __forceinline__ float sum_of(const float (&each)[NW]) {
  float sum = 0.f;
  for (int w = 0; w < NW; ++w) sum += each[w];
  return sum;
}

// ---- a row and its columns -------------------------------------------------------------------------
template <class V, class I>
struct Row {
  const V* __restrict__ values;
  const I* __restrict__ columns;
  int n;       // kNowhere where the offsets don't lie within the values; the segments are then empty
  int lo, hi;  // this warp's segment
};

template <int NT, class V, class I>
__device__ __forceinline__ Row<V, I> row_of(const V* values, const I* columns, const i64* indptr, i64 n_values,
                                             i64 row) {
  constexpr int kWarps = NT / kWarp;
  const i64 begin = indptr[row], end = indptr[row + 1];
  const int n = begin < 0 || end < begin || end > n_values ? int(kNowhere) : int(end - begin);
  const int segment = ((n + kWarps - 1) / kWarps + kWarp - 1) / kWarp * kWarp;
  const int lo = min(int(threadIdx.x / kWarp) * segment, n);
  return {values + begin, columns + begin, n, lo, min(lo + segment, n)};
}

// What the data set's columns are; see GeneTable.
struct Columns {
  int n;
  const u32* __restrict__ candidates;  // one bit a column: 4 kB for 30,000 columns, so it stays in L1
  const int* __restrict__ rank;
  const float* __restrict__ factor;  // by column, or null

  __device__ __forceinline__ bool has(u32 c) const { return candidates[c >> 5] >> (c & 31u) & 1u; }
  __device__ __forceinline__ float score(float x, u32 c) const { return factor ? product(x, factor[c]) : x; }

  // Ordered like the scores; 0 is no candidate.  A score may underflow to 0, hence the + 1.
  __device__ __forceinline__ u32 key(float x, u32 c) const {
    return int(__float_as_uint(x)) > 0 && has(c) ? __float_as_uint(score(x, c)) + 1u : 0u;
  }
};

// kGroup values of a warp's segment: lane l holds the l-th of each 32.
constexpr int kGroup = kAhead * kWarp;

template <class V, bool kWhole>
struct Group {
  V x[kAhead];
  u32 c[kAhead];

  template <class I>
  __device__ __forceinline__ Group(const Row<V, I>& row, int at) {
    const V* const values = row.values + at + threadIdx.x % kWarp;
    const I* const columns = row.columns + at + threadIdx.x % kWarp;
#pragma unroll
    for (int u = 0; u < kAhead; ++u) {
      const bool inside = kWhole || holds(row, at, u);
      x[u] = inside ? values[u * kWarp] : V(0);
      c[u] = inside ? u32(columns[u * kWarp]) : 0u;
    }
  }

  // Whether this lane's u-th value lies in the segment; where not, its count and column are 0.
  template <class I>
  static __device__ __forceinline__ bool holds(const Row<V, I>& row, int at, int u) {
    return kWhole || at + u * kWarp + int(threadIdx.x % kWarp) < row.hi;
  }
};

// Calls `body(group, at)` from `at` to the end of the segment.  All groups but the last are whole, and theirs is
// the code without a condition on every load.
template <class V, class I, class Body>
__device__ __forceinline__ void for_each_group(const Row<V, I>& row, int at, const Body& body) {
#pragma unroll 1
  for (; at + kGroup <= row.hi; at += kGroup)
    body(Group<V, true>(row, at), at);
  if (at < row.hi) body(Group<V, false>(row, at), at);
}

}  // namespace lexicell
