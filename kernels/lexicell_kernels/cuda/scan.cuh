// First pass over a row: is it sound, what does it sum to, and a histogram of its counts.
//
// Reads every value and column once, n * (sizeof(V) + sizeof(I)) bytes from device memory; the later passes
// find them in L1 or L2.  Most counts are 1 or 2 (60-70 % are 1), so these two are counted in registers and
// only the others go to the histogram in shared memory, one histogram for each warp: little contention, and
// it holds what each segment has, which the ordered emission needs (select.cuh).
#pragma once
#include "common.cuh"

namespace lexicell {

constexpr int kBins = 256;  // counts from 0 to 254, and "255 or more"

// One warp's part of what a row is.
struct Part {
  u64 sum, described;  // whole counts, all and those of candidates
  u32 top;             // bits of the largest
  u32 flags;
};

enum Flag : u32 { kHasDisorder = 1u, kHasFraction = 2u };

// A row's totals are exact integers of 2**-shift, so they don't depend on the order of columns.
struct Facts {
  int fault;           // 0 or a Fault
  bool small;          // whole numbers below 2**23, so the histogram of counts holds
  u64 sum, described;  // in units of 2**-shift
  int shift;

  __device__ __forceinline__ double total() const {
    return double(sum) * __longlong_as_double(i64(1023 - shift) << 52);
  }
};

template <class V, class I>
__device__ __forceinline__ Part scan_segment(const Row<V, I>& row, const Columns& columns, int* hist) {
  const int lane = threadIdx.x % kWarp;
  for (int b = lane; b < kBins; b += kWarp) hist[b] = 0;
  __syncwarp();
  u64 sum = 0, described = 0;
  u32 top = 0;
  int ones = 0, twos = 0;
  bool disorder = false, fraction = false;
  const u32 last = u32(max(columns.n - 1, 0));  // a row that names a column beyond is found out later
  for_each_group(row, row.lo, [&](const auto& g, int at) {
    u32 group_sum = 0, group_described = 0;  // four times less than 2**23
#pragma unroll
    for (int u = 0; u < kAhead; ++u) {
      const int j = at + u * kWarp + lane;
      if (g.holds(row, at, u)) disorder |= int(g.c[u]) <= (u || j ? int(row.columns[j - 1]) : -1);
      const Seen seen = look(g.x[u]);
      top = max(top, seen.bits);
      fraction |= !seen.whole;
      const u32 counted = columns.has(min(g.c[u], last)) ? seen.value : 0u;
      group_sum += seen.value;
      group_described += counted;
      const u32 level = min(counted, u32(kBins - 1));
      ones += level == 1u;
      twos += level == 2u;
      if (level > 2u) atomicAdd(&hist[level], 1);
    }
    sum += group_sum;
    described += group_described;
  });
  ones = warp_sum(ones);
  twos = warp_sum(twos);
  if (lane == 0) hist[1] = ones, hist[2] = twos;
  const u32 flags = (__any_sync(kAll, disorder) ? kHasDisorder : 0u) |
                    (__any_sync(kAll, fraction) ? kHasFraction : 0u);
  return {warp_sum(sum), warp_sum(described), warp_max(top), flags};
}

// Sums of numbers that are not small and whole, as integers of 2**-shift.
template <class I>
__device__ inline Part fixed_point_segment(const Row<float, I>& row, const Columns& columns, int shift) {
  u64 sum = 0, described = 0;
#pragma unroll 1
  for (int j = row.lo + int(threadIdx.x % kWarp); j < row.hi; j += kWarp) {
    const u64 q = u64(scaled(row.values[j], shift));
    sum += q;
    if (columns.has(u32(row.columns[j]))) described += q;
  }
  return {warp_sum(sum), warp_sum(described), 0u, 0u};
}
template <class I>
__device__ inline Part fixed_point_segment(const Row<u16, I>&, const Columns&, int) {
  return {0, 0, 0u, 0u};  // never asked: these are small and whole
}

// Leaves `hist` filled and visible to the block.
template <int NW, class V, class I>
__device__ __forceinline__ Facts scan_row(const Row<V, I>& row, const Columns& columns, int (&hist)[NW][kBins],
                                          Part (&parts)[2][NW]) {
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  Part mine = scan_segment(row, columns, hist[warp]);
  if (lane == 0) parts[0][warp] = mine;
  __syncthreads();
  Part all = {0, 0, 0u, 0u};
  for (int w = 0; w < NW; ++w) {
    const Part& p = parts[0][w];
    all = {all.sum + p.sum, all.described + p.described, max(all.top, p.top), all.flags | p.flags};
  }
  Facts facts = {0, true, all.sum, all.described, 0};
  if (row.n < 0) return facts.fault = row.n, facts;
  if (all.top >= kInfinity) return facts.fault = kInvalid, facts;
  if (all.flags & kHasDisorder) return facts.fault = kDisordered, facts;
  if (row.n && int(row.columns[row.n - 1]) >= columns.n) return facts.fault = kOutside, facts;  // they ascend
  facts.small = !(all.flags & kHasFraction) && all.top < __float_as_uint(kTwo23);
  if (!facts.small) {
    // n values below 2**exponent each, so that their sum is below 2**61.
    facts.shift = 61 - exponent(all.top) - (32 - __clz(row.n));
    mine = fixed_point_segment(row, columns, facts.shift);
    if (lane == 0) parts[1][warp] = mine;
    __syncthreads();
    facts.sum = facts.described = 0;
    for (int w = 0; w < NW; ++w) facts.sum += parts[1][w].sum, facts.described += parts[1][w].described;
  }
  return facts;
}

}  // namespace lexicell
