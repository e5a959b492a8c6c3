// Which candidates of a row are selected, and at which place each stands in lexicon order.
//
// 1. Threshold: the k-th largest key.  For counts the scan's histogram answers at once; fractions, rank
//    factors and thresholds of 255 or more take four radix passes over the ordered bits of the scores.
// 2. Places.  A GeneTable's rows are in lexicon order, so a pick's place is its rank among the picks' table
//    rows, and of the candidates at the threshold the first in that order are taken.
//    - Columns in lexicon order (a packed atlas): the order of the row is the order of the lexicon.  Each warp
//      knows from the per-warp histograms how many picks lie in the segments before its own and counts on
//      from there with ballots: one pass, no communication.
//    - Any other order: picks and ties set bits in two bitmaps over the table's rows.  Reading bits upwards
//      is the sort: the first ties are moved over, and a running count of bits gives every pick its place.
//      Two passes and 12 bytes of shared memory for each 32 genes.
// 3. Emission of the places in [begin, end) to shared memory, so that k may exceed what is held at once.
#pragma once
#include "scan.cuh"

namespace lexicell {

struct Threshold {
  u32 key;        // everything above is taken
  int ties;       // how many of those equal to it are taken
  int count;      // picks
  int tied;       // size of the group at the threshold; 0 where k cuts nothing
  int above, at;  // entries above / at the threshold in the segments before this warp's
};

// A pick: first its column and count, then (pool.cuh) its table row and weight.
struct Pick {
  int gene;
  float weight;
};

struct Found {
  int bin, above, at;  // bin that holds the wanted entry; entries above and in it
  int total;
  int mine_above, mine_at, mine_total;  // the same in the segments before this warp's
};

// The bin of the `need`-th largest entry.  Every warp reads all histograms rather than wait for one; only an
// ordered emission asks for what lies in the segments before.
template <bool kInOrder, int NW>
__device__ __forceinline__ Found find_bin(const int (&hist)[NW][kBins], int need) {
  constexpr int kPer = kBins / kWarp;  // lane 0 owns the highest bins, lane 31 the lowest
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int low = kBins - (lane + 1) * kPer;
  int all[kPer] = {}, mine[kPer] = {};
#pragma unroll 1  // its loads would take 32 registers
  for (int w = 0; w < NW; ++w)
#pragma unroll
    for (int q = 0; q < kPer; q += 4) {
      const int4 h = *reinterpret_cast<const int4*>(&hist[w][low + q]);
      const int four[4] = {h.x, h.y, h.z, h.w};
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        all[q + i] += four[i];
        if (kInOrder && w < warp) mine[q + i] += four[i];
      }
    }
  int sum = 0, mine_sum = 0;
#pragma unroll
  for (int i = 0; i < kPer; ++i) sum += all[i], mine_sum += mine[i];
  const int inclusive = warp_scan(sum);
  Found found;
  found.total = __shfl_sync(kAll, inclusive, kWarp - 1);
  need = min(need, found.total);
  const int owner = __ffs(__ballot_sync(kAll, inclusive >= need)) - 1;
  int bin = low, above = inclusive - sum, at = all[0];
  bool reached = false;
#pragma unroll
  for (int i = kPer - 1; i >= 0; --i) {
    if (!reached && above + all[i] >= need) reached = true, bin = low + i, at = all[i];
    if (!reached) above += all[i];
  }
  found.bin = __shfl_sync(kAll, bin, owner);
  found.above = __shfl_sync(kAll, above, owner);
  found.at = __shfl_sync(kAll, at, owner);
  found.mine_above = found.mine_at = found.mine_total = 0;
  if (kInOrder) {
    int part = 0, tied = 0;
#pragma unroll
    for (int i = 0; i < kPer; ++i) {
      if (low + i > found.bin) part += mine[i];
      if (low + i == found.bin) tied += mine[i];
    }
    found.mine_above = warp_sum(part);
    found.mine_at = warp_sum(tied);
    found.mine_total = warp_sum(mine_sum);
  }
  return found;
}

// The threshold from the bits of the scores, eight at a time from the top.  A call, and by value: counts seldom
// come here, and inlined it costs the others registers.
template <bool kInOrder, int NW, class V, class I>
__device__ __noinline__ Threshold radix_threshold(Row<V, I> row, Columns columns, int k, int (&hist)[NW][kBins]) {
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  Threshold t = {0u, 0, k, 0, 0, 0};
  u32 settled = 0;  // bits of the key that are known
  for (int shift = 24; shift >= 0; shift -= 8) {
    __syncthreads();  // all have read the histogram of before
    for (int b = lane; b < kBins; b += kWarp) hist[warp][b] = 0;
    __syncwarp();
    for_each_group(row, row.lo, [&](const auto& g, int) {
#pragma unroll
      for (int u = 0; u < kAhead; ++u) {
        const u32 key = columns.key(as_float(g.x[u]), g.c[u]);
        if (key && (key & settled) == t.key) atomicAdd(&hist[warp][key >> shift & 255u], 1);
      }
    });
    __syncthreads();
    const Found found = find_bin<kInOrder>(hist, shift == 24 ? k : t.ties);
    if (shift == 24) {
      if (found.total <= k) return {0u, 0, found.total, 0, found.mine_total, 0};
      t.ties = k;
    }
    t.key |= u32(found.bin) << shift;
    settled |= 255u << shift;
    t.ties -= found.above;
    t.above += found.mine_above;
    t.at = found.mine_at;
    t.tied = found.at;
  }
  return t;
}

template <bool kInOrder, int NW, class V, class I>
__device__ __forceinline__ Threshold find_threshold(const Row<V, I>& row, const Columns& columns,
                                                    const Facts& facts, int k, int (&hist)[NW][kBins]) {
  if (facts.small && !columns.factor) {
    const Found found = find_bin<kInOrder>(hist, k);
    if (found.total <= k) return {0u, 0, found.total, 0, found.mine_total, 0};
    if (found.bin < kBins - 1)
      return {__float_as_uint(small_float(u32(found.bin))) + 1u, k - found.above, k, found.at,
              found.mine_above, found.mine_at};
  }
  return radix_threshold<kInOrder>(row, columns, k, hist);
}

// One comparison: what lies below `begin` is large without its sign.
__device__ __forceinline__ bool within(int place, int begin, int end) {
  return u32(place - begin) < u32(end - begin);
}

// ---- places: columns in lexicon order --------------------------------------------------------------
template <class V, class I>
__device__ __forceinline__ void emit_in_order(const Row<V, I>& row, const Columns& columns, const Threshold& t,
                                              int begin, int end, Pick* picks) {
  constexpr int kStep = kWarp * kWarp;
  const int lane = threadIdx.x % kWarp;
  int above = t.above, equal = t.at;  // entries above / at the threshold so far
  for (int start = row.lo; start < row.hi && above + min(equal, t.ties) < end; start += kStep) {
    // Lane l keeps where the picks of the l-th 32 values are, and then lists them.
    Row<V, I> part = row;
    part.hi = min(start + kStep, row.hi);
    u32 aboves = 0, equals = 0;
    for_each_group(part, start, [&](const auto& g, int at) {
#pragma unroll
      for (int u = 0; u < kAhead; ++u) {
        const u32 key = columns.key(as_float(g.x[u]), g.c[u]);
        const u32 a = __ballot_sync(kAll, key > t.key), e = __ballot_sync(kAll, key && key == t.key);
        if (lane == (at - start) / kWarp + u) aboves = a, equals = e;
      }
    });
    const int all_above = warp_scan(__popc(aboves)), all_equal = warp_scan(__popc(equals));
    int a = above + all_above - __popc(aboves), e = equal + all_equal - __popc(equals);
    for (u32 bits = aboves | equals; bits; bits &= bits - 1u) {
      const int b = __ffs(int(bits)) - 1, j = start + lane * kWarp + b;
      const bool is_equal = equals >> b & 1u;
      const int place = a + min(e, t.ties);
      if (within(place, begin, end) && !(is_equal && e >= t.ties))
        picks[place - begin] = Pick{int(row.columns[j]), as_float(row.values[j])};
      a += !is_equal;
      e += is_equal;
    }
    above += __shfl_sync(kAll, all_above, kWarp - 1);
    equal += __shfl_sync(kAll, all_equal, kWarp - 1);
  }
}

// ---- places: any order of columns ------------------------------------------------------------------
struct Bitmaps {
  u32* chosen;
  u32* ties;
  int* before;  // bits of `chosen` in the words before
  int words;
};

__device__ __forceinline__ Bitmaps bitmaps_at(unsigned char* memory, int n_genes) {
  const int words = (n_genes + 31) / 32;
  u32* const start = reinterpret_cast<u32*>(memory);
  return {start, start + words, reinterpret_cast<int*>(start + 2 * words), words};
}

// Before the row's first barrier.
template <int NT>
__device__ __forceinline__ void clear(const Bitmaps& maps) {
#pragma unroll 1
  for (int w = threadIdx.x; w < maps.words; w += NT) maps.chosen[w] = maps.ties[w] = 0u;
}

// Sum of `x` over the threads before this one; `sums` is used once only.
template <int NW>
__device__ __forceinline__ int block_exclusive(int x, int (&sums)[NW]) {
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int inclusive = warp_scan(x);
  if (lane == kWarp - 1) sums[warp] = inclusive;
  __syncthreads();
  int before = inclusive - x;
  for (int w = 0; w < warp; ++w) before += sums[w];
  return before;
}

template <int NT, class V, class I>
__device__ __forceinline__ void mark(const Row<V, I>& row, const Columns& columns, const Threshold& t,
                                     const Bitmaps& maps, int (&sums)[2][NT / kWarp]) {
  for_each_group(row, row.lo, [&](const auto& g, int) {
#pragma unroll
    for (int u = 0; u < kAhead; ++u) {
      const u32 key = columns.key(as_float(g.x[u]), g.c[u]);
      if (key && key >= t.key) {
        const u32 gene = u32(columns.rank[g.c[u]]);
        atomicOr((key > t.key ? maps.chosen : maps.ties) + (gene >> 5), 1u << (gene & 31u));
      }
    }
  });
  __syncthreads();
  // Each thread owns a run of words: it moves its share of the ties over, then counts.
  const int per = (maps.words + NT - 1) / NT;
  const int lo = min(int(threadIdx.x) * per, maps.words), hi = min(lo + per, maps.words);
  int tied = 0;
  for (int w = lo; w < hi; ++w) tied += __popc(maps.ties[w]);
  int wanted = t.ties - block_exclusive(tied, sums[0]);
  int chosen = 0;
#pragma unroll 1
  for (int w = lo; w < hi; ++w) {
    for (u32 bits = maps.ties[w]; bits && wanted > 0; --wanted) {
      const u32 lowest = bits & (0u - bits);
      maps.chosen[w] |= lowest;
      bits ^= lowest;
    }
    chosen += __popc(maps.chosen[w]);
  }
  int before = block_exclusive(chosen, sums[1]);
#pragma unroll 1
  for (int w = lo; w < hi; ++w) {
    maps.before[w] = before;
    before += __popc(maps.chosen[w]);
  }
  __syncthreads();
}

template <class V, class I>
__device__ __forceinline__ void emit_marked(const Row<V, I>& row, const Columns& columns, const Threshold& t,
                                            const Bitmaps& maps, int begin, int end, Pick* picks) {
  for_each_group(row, row.lo, [&](const auto& g, int) {
#pragma unroll
    for (int u = 0; u < kAhead; ++u) {
      const float x = as_float(g.x[u]);
      const u32 key = columns.key(x, g.c[u]);
      if (key && key >= t.key) {
        const u32 gene = u32(columns.rank[g.c[u]]), word = maps.chosen[gene >> 5], bit = 1u << (gene & 31u);
        const int place = maps.before[gene >> 5] + __popc(word & (bit - 1u));
        if (word & bit && within(place, begin, end)) picks[place - begin] = Pick{int(g.c[u]), x};
      }
    }
  });
}

// ---- score order -----------------------------------------------------------------------------------
__device__ inline int power_of_two(int n) {
  int size = 1;
  while (size < n) size *= 2;
  return size;
}

// Sorts the block's picks: afterwards the low half of keys[r] is the place, in lexicon order, of the r-th by
// (score descending, lexicon row ascending).  A bitonic network; `keys` holds the next power of two.
template <int NT>
__device__ inline void sort_by_score(const Pick* picks, int count, const Columns& columns, u64* keys) {
  const int size = power_of_two(count);
#pragma unroll 1
  for (int j = threadIdx.x; j < size; j += NT) {
    const u32 score = j < count ? __float_as_uint(columns.score(picks[j].weight, u32(picks[j].gene))) : 0u;
    keys[j] = j < count ? u64(~score) << 32 | u64(j) : ~u64(0);
  }
  for (int run = 2; run <= size; run *= 2)
    for (int step = run / 2; step > 0; step /= 2) {
      __syncthreads();
#pragma unroll 1
      for (int i = threadIdx.x; i < size / 2; i += NT) {
        const int a = i / step * 2 * step + i % step, b = a + step;
        const u64 x = keys[a], y = keys[b];
        if ((x > y) == ((a & run) == 0)) keys[a] = y, keys[b] = x;
      }
    }
  __syncthreads();
}

}  // namespace lexicell
