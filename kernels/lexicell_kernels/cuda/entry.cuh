// The two kernels: embed rows, and select their genes.
//
//   embed: z = sum_i w_i T[g_i] / sum_i w_i + b, then length 1, over the k candidates g_i with the highest
//          (score, -table row), in one launch and without an intermediate in device memory.
//   pick:  the same selection, listed: table rows, scores, counts, how many, and what the row sums to.
//
// Grid: one block per row.  Per row of n values, k picks and P columns the block moves
//   device memory  n (sizeof V + sizeof I) in, 4 dim + 12 out
//   L2 or L1       the same values and columns once more (twice where columns are not in lexicon order; again for
//                  each further chunk of picks), k P sizeof T of the table, one bit for each column
//
// Preconditions: a row lies within the values and its columns ascend strictly (else it is flagged); a column's
// rank is -1 or below n_genes, and of columns with the same at most one is not 0; candidates and rank agree;
// factor > 0; the table's rows are 16-byte aligned; dynamic shared memory as
// lexicell_kernels.cuda.source.shared_bytes says.
#pragma once
#include "pool.cuh"

namespace lexicell {

// How dynamic shared memory is cut: picks, then keys where they are sorted, then bitmaps; see shared_bytes.
struct Memory {
  Pick* picks;
  u64* keys;
  Bitmaps maps;

  __device__ __forceinline__ Memory(unsigned char* start, int chunk, bool sorted, int n_genes) {
    picks = reinterpret_cast<Pick*>(start);
    unsigned char* const behind = aligned(start, chunk * int(sizeof(Pick)));
    keys = reinterpret_cast<u64*>(behind);
    maps = bitmaps_at(sorted ? aligned(behind, power_of_two(chunk) * int(sizeof(u64))) : behind, n_genes);
  }

  static __device__ __forceinline__ unsigned char* aligned(unsigned char* memory, int bytes) {
    return memory + (bytes + 15) / 16 * 16;
  }
};

// Selects, and lets `use(picks, begin, count)` see the picks, `chunk` at a time and in lexicon order.
template <int NT, bool kInOrder, class V, class I, class Use>
__device__ __forceinline__ void for_each_chunk(const Row<V, I>& row, const Columns& columns, const Threshold& t,
                                               const Memory& memory, int (&sums)[2][NT / kWarp], int chunk,
                                               const Use& use) {
  if (!kInOrder) mark<NT>(row, columns, t, memory.maps, sums);
  for (int begin = 0; begin < t.count; begin += chunk) {
    const int end = min(begin + chunk, t.count);
    if (begin) __syncthreads();  // all are done with the picks of before
    if (kInOrder)
      emit_in_order(row, columns, t, begin, end, memory.picks);
    else
      emit_marked(row, columns, t, memory.maps, begin, end, memory.picks);
    __syncthreads();
    use(memory.picks, begin, end - begin);
  }
}

template <class V, class I, class T, int P, int NT, bool kInOrder>
__device__ __forceinline__ void embed(const V* values, const I* columns, const i64* indptr, i64 n_values,
                                      int n_columns, const u32* candidates, const int* rank,
                                      const float* column_factor, const T* table, int n_genes, const float* bias,
                                      int dim, int k, int chunk, int weight, int normalise, float* vectors,
                                      int* used, float* coverage, int* tied) {
  constexpr int kWarps = NT / kWarp;
  using L = Layout<T, P, NT>;
  struct Fixed {
    union {  // the histogram is read for the last time before the first slice is stored
      __align__(16) int hist[kWarps][kBins];
      float slices[L::kSlices * P];
    };
    Part parts[2][kWarps];
    int sums[2][kWarps];
    u32 tops[kWarps];
    float weights[kWarps], squares[kWarps];
  };
  LEXICELL_SHARED(Fixed, fixed);
  LEXICELL_DYNAMIC_SHARED(start);
  const Memory memory(start, chunk, weight == kRank, n_genes);

  const i64 r = blockIdx.x;
  const Columns all = {n_columns, candidates, rank, column_factor};
  const Row<V, I> row = row_of<NT>(values, columns, indptr, n_values, r);
  if (!kInOrder) clear<NT>(memory.maps);
  const Facts facts = scan_row(row, all, fixed.hist, fixed.parts);
  if (threadIdx.x == 0)
    coverage[r] = facts.fault || !facts.sum ? 0.f : float(facts.described) / float(facts.sum);
  Weigher weigher = {weight, 0, 0.f};
  Threshold t = {0u, 0, 0, 0, 0, 0};
  if (!facts.fault) {
    weigher = make_weigher(weight, facts, row, all, fixed.tops);
    t = find_threshold<kInOrder>(row, all, facts, k, fixed.hist);
  }
  if (threadIdx.x == 0) {
    used[r] = facts.fault ? facts.fault : t.count;
    tied[r] = t.tied;
  }
  float* const out = vectors + r * dim;
  if (t.count == 0) {
    for (int q = threadIdx.x; q < dim; q += NT) out[q] = 0.f;
    return;
  }

  float weights = 0.f;
  for_each_chunk<NT, kInOrder>(row, all, t, memory, fixed.sums, chunk, [&](Pick* some, int begin, int count) {
    weights += weigh<NT>(some, count, all, weigher, memory.keys);
    __syncthreads();
    gather<T, P, NT>(some, count, table, begin == 0, fixed.slices);
  });
  weights = warp_sum(weights);
  if (threadIdx.x % kWarp == 0) fixed.weights[threadIdx.x / kWarp] = weights;
  __syncthreads();
  finish<P, NT, L::kSlices>(fixed.slices, 1.f / sum_of(fixed.weights), bias, dim, normalise != 0, fixed.squares,
                            out);
}

template <class V, class I, int NT, bool kInOrder>
__device__ __forceinline__ void pick(const V* values, const I* columns, const i64* indptr, i64 n_values,
                                     int n_columns, const u32* candidates, const int* rank,
                                     const float* column_factor, int n_genes, int k, int stride, int chunk,
                                     int by_score, int* genes, float* scores, float* counts, int* used,
                                     double* totals) {
  constexpr int kWarps = NT / kWarp;
  struct Fixed {
    __align__(16) int hist[kWarps][kBins];
    Part parts[2][kWarps];
    int sums[2][kWarps];
  };
  LEXICELL_SHARED(Fixed, fixed);
  LEXICELL_DYNAMIC_SHARED(start);
  const Memory memory(start, chunk, by_score != 0, n_genes);

  const i64 r = blockIdx.x;
  const Columns all = {n_columns, candidates, rank, column_factor};
  const Row<V, I> row = row_of<NT>(values, columns, indptr, n_values, r);
  if (!kInOrder) clear<NT>(memory.maps);
  const Facts facts = scan_row(row, all, fixed.hist, fixed.parts);
  Threshold t = {0u, 0, 0, 0, 0, 0};
  if (!facts.fault) t = find_threshold<kInOrder>(row, all, facts, k, fixed.hist);
  int* const gene_row = genes + r * stride;
  float* const score_row = scores + r * stride;
  float* const count_row = counts + r * stride;  // the same where there is no factor
  if (threadIdx.x == 0) {
    used[r] = facts.fault ? facts.fault : t.count;
    totals[r] = facts.fault ? 0. : facts.total();
  }
#pragma unroll 1
  for (int j = t.count + int(threadIdx.x); j < stride; j += NT)
    gene_row[j] = -1, score_row[j] = count_row[j] = 0.f;
  if (t.count == 0) return;

  for_each_chunk<NT, kInOrder>(row, all, t, memory, fixed.sums, chunk, [&](Pick* some, int begin, int n) {
    if (by_score) sort_by_score<NT>(some, n, all, memory.keys);  // then all picks are held at once
#pragma unroll 1
    for (int j = threadIdx.x; j < n; j += NT) {
      const Pick p = some[by_score ? int(u32(memory.keys[j])) : j];
      gene_row[begin + j] = rank[p.gene];
      count_row[begin + j] = p.weight;
      if (column_factor) score_row[begin + j] = all.score(p.weight, u32(p.gene));
    }
  });
}

}  // namespace lexicell

// One instantiation per module; these lines end the source.  The caps leave 64 registers a thread, so that a
// multiprocessor holds 1,024 threads.
#ifdef LEXICELL_EMULATE
#define LEXICELL_EMBED(V, I, T, P, NT, IN_ORDER) \
  LEXICELL_ENTRY(lexicell_embed, (lexicell::embed<V, I, T, P, NT, IN_ORDER>), NT)
#define LEXICELL_PICK(V, I, NT, IN_ORDER) LEXICELL_ENTRY(lexicell_pick, (lexicell::pick<V, I, NT, IN_ORDER>), NT)
#else
#define LEXICELL_EMBED(V, I, T, P, NT, IN_ORDER)                                                               \
  extern "C" __global__ void __launch_bounds__(NT, 1024 / NT) lexicell_embed(                                  \
      const V* values, const I* columns, const long long* indptr, long long n_values, int n_columns,           \
      const unsigned* candidates, const int* rank, const float* column_factor, const T* table, int n_genes,    \
      const float* bias, int dim, int k, int chunk, int weight, int normalise, float* vectors, int* used,      \
      float* coverage, int* tied) {                                                                            \
    lexicell::embed<V, I, T, P, NT, IN_ORDER>(values, columns, indptr, n_values, n_columns, candidates, rank,  \
                                              column_factor, table, n_genes, bias, dim, k, chunk, weight,      \
                                              normalise, vectors, used, coverage, tied);                       \
  }
#define LEXICELL_PICK(V, I, NT, IN_ORDER)                                                                      \
  extern "C" __global__ void __launch_bounds__(NT, 1024 / NT) lexicell_pick(                                   \
      const V* values, const I* columns, const long long* indptr, long long n_values, int n_columns,           \
      const unsigned* candidates, const int* rank, const float* column_factor, int n_genes, int k, int stride, \
      int chunk, int by_score, int* genes, float* scores, float* counts, int* used, double* totals) {          \
    lexicell::pick<V, I, NT, IN_ORDER>(values, columns, indptr, n_values, n_columns, candidates, rank,         \
                                       column_factor, n_genes, k, stride, chunk, by_score, genes, scores,      \
                                       counts, used, totals);                                                  \
  }
#endif
