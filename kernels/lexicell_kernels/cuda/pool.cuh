// Weights, the weighted sum of table rows, bias and length.
//
// The gather is what the kernel's speed rests on: k rows of P numbers, 65 kB a cell at k = 128, P = 256 in
// float16, from a table that fits L2.  A thread keeps its columns in registers as float32 and reads 16 bytes
// of a table row at a time; where a row has fewer pieces than the block has threads, slices of the block take
// every kSlices-th pick.  A pick's slice depends on its place alone, so the order of every sum is fixed.
#pragma once
#include "select.cuh"

namespace lexicell {

enum Weighting { kLog1p = 0, kCount = 1, kUniform = 2, kRank = 3 };

template <class T>
struct Piece;  // 16 bytes of a table row
template <>
struct Piece<float> {
  static constexpr int kN = 4;
  static __device__ __forceinline__ void fma(float (&sums)[kN], uint4 q, float w) {
    sums[0] += w * __uint_as_float(q.x);
    sums[1] += w * __uint_as_float(q.y);
    sums[2] += w * __uint_as_float(q.z);
    sums[3] += w * __uint_as_float(q.w);
  }
};
template <>
struct Piece<Half> {
  static constexpr int kN = 8;
  static __device__ __forceinline__ void fma(float (&sums)[kN], uint4 q, float w) {
    const u32 pairs[4] = {q.x, q.y, q.z, q.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float2 f = halves(pairs[i]);
      sums[2 * i] += w * f.x;
      sums[2 * i + 1] += w * f.y;
    }
  }
};

template <class T, int P, int NT>
struct Layout {
  static constexpr int kN = Piece<T>::kN;
  static constexpr int kPieces = P / kN;                            // of a table row
  static constexpr int kLanes = kPieces < NT ? kPieces : NT;        // threads that share a row
  static constexpr int kSlices = NT / kLanes;                       // rows in flight side by side
  static constexpr int kPer = (kPieces + kLanes - 1) / kLanes;      // pieces per thread
  static_assert(P % kN == 0, "table rows are padded to 16 bytes");
};

// From counts to weights.
struct Weigher {
  int kind;
  int shift;    // counts are taken in units of 2**-shift
  float total;  // of the row; 0 where candidates are next to nothing in it

  __device__ __forceinline__ float operator()(float x) const {
    if (kind == kUniform) return 1.f;
    const float units = shift ? float(scaled(x, shift)) : x;
    if (total == 0.f) return units;  // log1p is linear there, and float32 too coarse for the share
    const float share = 1e4f * (units / total);
    return kind == kLog1p ? log1pf(share) : share;
  }
};

// The shift that brings the largest candidate's count just below 1.  A call, and by value: almost no row comes
// here, and inlined it costs the others registers.
template <int NW, class V, class I>
__device__ __noinline__ int unit_shift(Row<V, I> row, Columns columns, u32 (&tops)[NW]) {
  u32 top = 0;
  for (int j = row.lo + int(threadIdx.x % kWarp); j < row.hi; j += kWarp) {
    const u32 bits = __float_as_uint(as_float(row.values[j]));
    if (int(bits) > 0 && columns.has(u32(row.columns[j]))) top = max(top, bits);
  }
  top = warp_max(top);
  if (threadIdx.x % kWarp == 0) tops[threadIdx.x / kWarp] = top;
  __syncthreads();
  for (int w = 0; w < NW; ++w) top = max(top, tops[w]);
  return top ? -exponent(top) : 0;
}

template <int NW, class V, class I>
__device__ __forceinline__ Weigher make_weigher(int kind, const Facts& facts, const Row<V, I>& row,
                                                const Columns& columns, u32 (&tops)[NW]) {
  const float total = float(facts.sum);
  if (kind == kUniform || kind == kRank || float(facts.described) >= 1e-16f * total)
    return {kind, facts.shift, total};
  return {kind, unit_shift(row, columns, tops), 0.f};
}

// Turns columns and counts into table rows and weights; returns this thread's share of their sum.
template <int NT>
__device__ __forceinline__ float weigh(Pick* picks, int count, const Columns& columns, const Weigher& weight,
                                       u64* keys) {
  float sum = 0.f;
  if (weight.kind == kRank) {  // then all picks are held at once
    sort_by_score<NT>(picks, count, columns, keys);
#pragma unroll 1
    for (int r = threadIdx.x; r < count; r += NT) {
      Pick& p = picks[u32(keys[r])];
      p = Pick{columns.rank[p.gene], float(count - r) / float(count)};
      sum += p.weight;
    }
    return sum;
  }
#pragma unroll 1
  for (int j = threadIdx.x; j < count; j += NT) {
    const Pick p = picks[j];
    const float w = weight(p.weight);
    picks[j] = Pick{columns.rank[p.gene], w};
    sum += w;
  }
  return sum;
}

// Adds the picks' rows to the slices; each thread sees its own numbers of them only.
template <class T, int P, int NT>
__device__ __forceinline__ void gather(const Pick* picks, int count, const T* __restrict__ table, bool first,
                                       float (&slices)[Layout<T, P, NT>::kSlices * P]) {
  using L = Layout<T, P, NT>;
  const int slice = threadIdx.x / L::kLanes, piece = threadIdx.x % L::kLanes;
  if (slice >= L::kSlices) return;
  constexpr int kFlight = L::kPer < 4 ? 4 / L::kPer : 1;  // rows per thread; more would not fit its registers
  float sums[L::kPer][L::kN] = {};
  const uint4* const pieces = reinterpret_cast<const uint4*>(table) + piece;
#pragma unroll kFlight
  for (int j = slice; j < count; j += L::kSlices) {
    const Pick p = picks[j];
#pragma unroll
    for (int c = 0; c < L::kPer; ++c)
      if (L::kPieces % L::kLanes == 0 || piece + c * L::kLanes < L::kPieces)
        Piece<T>::fma(sums[c], __ldg(pieces + i64(p.gene) * L::kPieces + c * L::kLanes), p.weight);
  }
#pragma unroll
  for (int c = 0; c < L::kPer; ++c)
    if (L::kPieces % L::kLanes == 0 || piece + c * L::kLanes < L::kPieces)
#pragma unroll
      for (int i = 0; i < L::kN; ++i) {
        float& sum = slices[slice * P + (piece + c * L::kLanes) * L::kN + i];
        sum = first ? sums[c][i] : sum + sums[c][i];
      }
}

// z = sum over slices / sum of weights + bias, then length 1.
template <int P, int NT, int kSlices>
__device__ __forceinline__ void finish(const float (&slices)[kSlices * P], float inverse, const float* bias,
                                       int dim, bool normalise, float (&squares)[NT / kWarp], float* out) {
  constexpr int kPer = (P + NT - 1) / NT;
  float z[kPer], square = 0.f;
#pragma unroll
  for (int c = 0; c < kPer; ++c) {
    const int q = int(threadIdx.x) + c * NT;
    z[c] = 0.f;
    if (q < dim) {
      for (int s = 0; s < kSlices; ++s) z[c] += slices[s * P + q];
      z[c] = z[c] * inverse + (bias ? bias[q] : 0.f);
      square += z[c] * z[c];
    }
  }
  float scale = 1.f;
  if (normalise) {
    square = warp_sum(square);
    if (threadIdx.x % kWarp == 0) squares[threadIdx.x / kWarp] = square;
    __syncthreads();
    const float length = sqrtf(sum_of(squares));
    scale = length > 0.f ? 1.f / length : 0.f;
  }
#pragma unroll
  for (int c = 0; c < kPer; ++c) {
    const int q = int(threadIdx.x) + c * NT;
    if (q < dim) out[q] = z[c] * scale;
  }
}

}  // namespace lexicell
